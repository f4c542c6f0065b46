/**
 * What a running proxy learns of clients that do not take its CA, with the wall clock and the file that it
 * outlives its process by. The answers are immediate; the file follows behind. Others change the file too
 * (another proxy, `soth-mitm learned clear`), so that before anyone is let through it is looked at again.
 *
 * Only with `tls.learned_bypass` = `on` is there a file: what is merely suggested is in the notice and the log.
 */
import type { ClientTlsFailure, LearningKey, LearningNote } from "../core/session.ts";
import type { Settings } from "../core/settings.ts";
import { isInForce, LEARNED_MAX, type LearnedBypass, Learning, learningRules } from "../policy/learning.ts";
import { formatDuration } from "./config/units.ts";
import { asidePath, changeLearned, learnedPath, learnedVersion, readLearned } from "./learned_file.ts";
import type { Notice } from "./running_proxy.ts";

export interface LearnedBypassesOptions {
  readonly notice: (notice: Notice) => void;
  /** Milliseconds of the wall clock. */
  readonly nowMs: () => number;
}

export class LearnedBypasses {
  readonly #learning: Learning;
  readonly #path: string;
  /** The version of the file that is known. */
  #version: string | null = null;
  /** Learned here and not in the file yet. */
  #unsaved: LearnedBypass[] = [];
  #saving: Promise<void> | null = null;

  constructor(
    private readonly settings: Pick<Settings, "stateDir" | "tls">,
    private readonly options: LearnedBypassesOptions,
  ) {
    this.#learning = new Learning(learningRules(settings.tls));
    this.#path = learnedPath(settings.stateDir);
    if (settings.tls.learnedBypass === "on") this.#read();
  }

  learn(failure: ClientTlsFailure): LearningNote | null {
    const nowMs = this.options.nowMs();
    const note = this.#learning.failed(failure, nowMs);
    if (note?.outcome === "suggested") this.#suggest(failure, note);
    if (note?.outcome === "learned") this.#learned(failure, note, nowMs);
    return note;
  }

  learned(client: LearningKey): LearningNote | null {
    const nowMs = this.options.nowMs();
    // Only what would let somebody through is worth a look at the file.
    if (this.#learning.find(client, nowMs) !== null) this.#readIfChanged();
    return this.#learning.bypass(client, nowMs);
  }

  /** Resolves when all that was learned is in the file, or cannot be put there. */
  async saved(): Promise<void> {
    while (this.#saving !== null) await this.#saving;
  }

  #suggest({ host, fingerprint }: ClientTlsFailure, { failures }: LearningNote): void {
    const { learnedBypassTtlMs } = this.settings.tls;
    this.#notice(
      "info",
      `A client (JA4 ${fingerprint}) has refused this proxy's CA for ${host} ${times(failures)}. ` +
        `Policy lets it through untouched with --tunnel ${host}, or ignore_hosts = ["${host}"] in [policy]; ` +
        `tls.learned_bypass = "on" does so for such a client alone, ${
          formatDuration(learnedBypassTtlMs)
        } at a time`,
    );
  }

  #learned(failure: ClientTlsFailure, { failures }: LearningNote, nowMs: number): void {
    const entry = this.#learning.find(failure, nowMs);
    if (entry === null) return;
    const { host, fingerprint } = failure;
    this.#notice(
      "warn",
      `${host} is tunnelled for ${formatDuration(this.settings.tls.learnedBypassTtlMs)} for a client ` +
        `(JA4 ${fingerprint}) that has refused this proxy's CA ${times(failures)}; ` +
        `"soth-mitm learned list" shows it, "soth-mitm learned clear --host ${host}" ends it`,
    );
    this.#unsaved.push(entry);
    this.#saving ??= this.#save();
  }

  /** One at a time, and all that was learned meanwhile at once. */
  async #save(): Promise<void> {
    try {
      // A copy: what is learned while these are written is not among them.
      while (this.#unsaved.length > 0) await this.#saveSome([...this.#unsaved]);
    } catch (error) {
      // It still holds in this process; the next that is learned tries again with all of it that is in force then.
      this.#unsaved = merged([], this.#unsaved, this.options.nowMs());
      this.#notice("warn", `What was learned is not in ${this.#path}: ${messageOf(error)}`);
    } finally {
      this.#saving = null;
    }
  }

  async #saveSome(fresh: readonly LearnedBypass[]): Promise<void> {
    const nowMs = this.options.nowMs();
    const change = await changeLearned(this.settings.stateDir, (entries) => merged(entries, fresh, nowMs));
    this.#unsaved = this.#unsaved.slice(fresh.length);
    this.#version = change.version;
    if (change.setAside !== null) this.#warnOfSetAside(change.setAside);
    this.#adopt(change.entries);
  }

  #readIfChanged(): void {
    try {
      if (learnedVersion(this.#path) !== this.#version) this.#read();
    } catch (error) {
      this.#forget(error);
    }
  }

  #read(): void {
    try {
      this.#version = learnedVersion(this.#path);
      const found = readLearned(this.#path);
      if (found.type === "unusable") {
        Deno.renameSync(this.#path, asidePath(this.#path));
        this.#version = null;
        this.#warnOfSetAside(found.detail);
      }
      this.#adopt(found.type === "entries" ? found.entries : []);
    } catch (error) {
      this.#forget(error);
    }
  }

  /** What cannot be looked at lets nobody through. */
  #forget(error: unknown): void {
    this.#adopt([]);
    this.#notice("warn", `Cannot read what was learned from ${this.#path}: ${messageOf(error)}`);
  }

  #adopt(entries: readonly LearnedBypass[]): void {
    const nowMs = this.options.nowMs();
    this.#learning.replace(merged(entries, this.#unsaved, nowMs), nowMs);
  }

  #warnOfSetAside(detail: string): void {
    this.#notice(
      "warn",
      `What was learned cannot be read from ${this.#path} (${detail}); it was moved to ${
        asidePath(this.#path)
      }, ` +
        "and nothing of it is in force",
    );
  }

  #notice(level: Notice["level"], message: string): void {
    this.options.notice({ level, message });
  }
}

/** What is in force of both, as much as is kept; the later is the truer. */
export function merged(
  entries: readonly LearnedBypass[],
  fresh: readonly LearnedBypass[],
  nowMs: number,
): LearnedBypass[] {
  const known = new Map<string, LearnedBypass>();
  for (const entry of [...entries, ...fresh]) {
    if (!isInForce(entry, nowMs)) continue;
    const key = `${entry.fingerprint} ${entry.host}`;
    known.delete(key);
    known.set(key, entry);
  }
  return [...known.values()].slice(-LEARNED_MAX);
}

function times(count: number): string {
  return count === 1 ? "once" : `${count} times`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
