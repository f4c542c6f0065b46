/** Takes Alt-Svc (RFC 7838) out of what a server says, in fields and in frames, and says in the log that it did. */
import { ALT_SVC } from "../http/fields.ts";
import type { Http2Connection } from "./connection.ts";
import type { Direction } from "./direction.ts";
import type { FramePiece } from "./frame_reader.ts";
import { ALTSVC_FRAME_TYPE } from "./frames.ts";
import type { HpackField } from "./hpack_table.ts";

export class AltSvcFilter {
  constructor(private readonly connection: Http2Connection, private readonly active: boolean) {}

  /** Whether a frame goes no further. */
  takes({ by }: Direction, { header }: FramePiece): boolean {
    if (!this.active || by !== "server" || header.type !== ALTSVC_FRAME_TYPE) return false;
    this.#stripped(header.streamId);
    return true;
  }

  /** What is to be forwarded of a block; the very list where that is all of it. */
  fieldsToForward(
    direction: Direction,
    streamId: number,
    fields: readonly HpackField[],
  ): readonly HpackField[] {
    if (!this.active || direction.by !== "server" || !fields.some(isAltSvc)) return fields;
    this.#stripped(streamId);
    // From here on its receiver's table is behind.
    direction.withhold();
    return fields.filter((field) => !isAltSvc(field));
  }

  #stripped(streamId: number): void {
    this.connection.streams.get(streamId)?.recorder?.stripped(ALT_SVC);
  }
}

function isAltSvc({ field: [name] }: HpackField): boolean {
  return name === ALT_SVC;
}
