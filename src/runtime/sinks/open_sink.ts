/** From `SINK` of the command line to something that takes lines. */
import { StartError } from "../start_error.ts";
import { FileSink, type FileSinkOptions } from "./file_sink.ts";
import { explainFault, type Sink } from "./sink.ts";
import { StreamSink } from "./stream_sink.ts";

/** Throws a `StartError` that names the sink and the mend. */
export async function openSink(name: string, options: FileSinkOptions): Promise<Sink> {
  if (name === "-") return StreamSink.standardOutput();
  if (name.startsWith("unix:")) return await StreamSink.unixSocket(name);
  if (name === "") throw refusal(name, "the name is empty; give a file path, - or unix:/path");
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(name);
  if (scheme !== null) {
    throw refusal(name, `sinks of the scheme "${scheme[1]}" do not exist; give a file path, - or unix:/path`);
  }
  try {
    const existing = await statOrNull(name);
    if (existing?.isDirectory) throw refusal(name, "it is a folder; name a file in it");
    if (existing === null || existing.isFile) return await FileSink.open(name, options);
    if (existing.isSocket) throw refusal(name, `it is a Unix socket; write unix:${name}`);
    return await StreamSink.device(name);
  } catch (fault) {
    if (fault instanceof StartError) throw fault;
    throw refusal(name, explainFault(fault), fault);
  }
}

async function statOrNull(path: string): Promise<Deno.FileInfo | null> {
  try {
    return await Deno.stat(path);
  } catch (fault) {
    if (fault instanceof Deno.errors.NotFound) return null;
    throw fault;
  }
}

function refusal(name: string, detail: string, cause?: unknown): StartError {
  return new StartError("event_sink_init_failed", `cannot open event sink ${name}: ${detail}`, { cause });
}
