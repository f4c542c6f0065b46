/**
 * A set of positive integers kept as sorted ranges: when nearly all numbers from 1 on are in it, it is as
 * small as what is missing. It tells whether a flow number was used before without remembering each.
 */
export class NumberSet {
  readonly #firsts: number[] = [];
  readonly #lasts: number[] = [];

  get rangeCount(): number {
    return this.#firsts.length;
  }

  has(number: number): boolean {
    const at = this.#rangeAtOrBefore(number);
    return at >= 0 && number <= this.#lasts[at]!;
  }

  add(number: number): void {
    const before = this.#rangeAtOrBefore(number);
    if (before >= 0 && number <= this.#lasts[before]!) return;
    const joinsBefore = before >= 0 && this.#lasts[before] === number - 1;
    const joinsAfter = this.#firsts[before + 1] === number + 1;
    if (joinsBefore && joinsAfter) {
      this.#lasts.splice(before, 1);
      this.#firsts.splice(before + 1, 1);
    } else if (joinsBefore) {
      this.#lasts[before] = number;
    } else if (joinsAfter) {
      this.#firsts[before + 1] = number;
    } else {
      this.#firsts.splice(before + 1, 0, number);
      this.#lasts.splice(before + 1, 0, number);
    }
  }

  clear(): void {
    this.#firsts.length = 0;
    this.#lasts.length = 0;
  }

  /** The index of the last range that begins at or before the number; -1 if there is none. */
  #rangeAtOrBefore(number: number): number {
    let low = 0;
    let high = this.#firsts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#firsts[middle]! <= number) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
