/**
 * A plain text, looked for in what the exchanges of a log said: request lines, fields, bodies with their content
 * coding taken off, messages of WebSockets and gRPC. Not a pattern, so that no log can make the search slow. Keeps,
 * for each open message, as many characters as the text may reach over from one event into the next.
 */
import type { LoggedEvent } from "../core/event.ts";
import { fieldLinesOf, numberOf, octetsOf, textOf } from "./event_attributes.ts";

export class TextSearch {
  readonly #text: string;
  /** As fields spell it, in which a character is an octet. */
  readonly #octets: string;
  readonly #flows = new Map<string, Map<number, Place>>();

  /** `text` is not empty. */
  constructor(text: string) {
    this.#text = text;
    this.#octets = Array.from(new TextEncoder().encode(text), (octet) => String.fromCharCode(octet)).join("");
  }

  event(event: LoggedEvent): void {
    const { attributes, kind } = event;
    if (kind === "stream_closed") {
      this.#flows.delete(event.flow_id);
      return;
    }
    const id = numberOf(attributes["exchange_id"]);
    if (id === 0) return;
    const place = this.#placeOf(event.flow_id, id);
    if (place.found) return;
    place.found = this.#inEvent(event, place);
    if (place.found) place.messages.clear();
  }

  found(flowId: string, exchangeId: number): boolean {
    return this.#flows.get(flowId)?.get(exchangeId)?.found ?? false;
  }

  forget(flowId: string, exchangeId: number): void {
    this.#flows.get(flowId)?.delete(exchangeId);
  }

  /** The log was opened again: what was open is gone. */
  clear(): void {
    this.#flows.clear();
  }

  /** Whether it stands in a text that does not go on elsewhere. */
  isIn(text: string): boolean {
    return text.includes(this.#text) || text.includes(this.#octets);
  }

  #inEvent(event: LoggedEvent, place: Place): boolean {
    const { attributes, kind } = event;
    switch (kind) {
      case "request_headers":
        return this.isIn(`${textOf(attributes["method"])} ${textOf(attributes["target"])}`) ||
          this.#inFields(event);
      case "response_headers":
      case "request_trailers":
      case "response_trailers":
        return this.#inFields(event);
      case "request_body_chunk":
      case "response_body_chunk":
        return this.#inBody(event, place);
      default: {
        if (this.isIn(textOf(attributes["reason"]))) return true;
        const value = attributes["value"];
        if (value !== undefined && this.isIn(JSON.stringify(value))) return true;
        const data = attributes["data"];
        if (typeof data === "string") return this.isIn(data);
        const octets = octetsOf(event);
        return octets !== null && this.isIn(replacing.decode(octets));
      }
    }
  }

  #inFields({ attributes }: LoggedEvent): boolean {
    return fieldLinesOf(attributes["headers"]).some(([name, value]) => this.isIn(`${name}: ${value}`));
  }

  /** A span may end within a character, and the text may begin in one span and end in the next. */
  #inBody(event: LoggedEvent, { messages }: Place): boolean {
    const octets = octetsOf(event);
    if (octets === null) return false;
    let message = messages.get(event.kind);
    if (message === undefined) {
      message = { decoder: new TextDecoder("utf-8", { ignoreBOM: true }), end: "" };
      messages.set(event.kind, message);
    }
    const text = message.end + message.decoder.decode(octets, { stream: true });
    if (text.includes(this.#text)) return true;
    message.end = this.#text.length > 1 ? text.slice(1 - this.#text.length) : "";
    return false;
  }

  #placeOf(flowId: string, id: number): Place {
    let flow = this.#flows.get(flowId);
    if (flow === undefined) {
      flow = new Map();
      this.#flows.set(flowId, flow);
    }
    let place = flow.get(id);
    if (place === undefined) {
      place = { found: false, messages: new Map() };
      flow.set(id, place);
    }
    return place;
  }
}

interface Place {
  found: boolean;
  /** By the kind of their body events. */
  readonly messages: Map<string, { readonly decoder: TextDecoder; end: string }>;
}

const replacing = new TextDecoder("utf-8", { ignoreBOM: true });
