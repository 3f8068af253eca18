/** Event streams over `fetch`, so that the key travels in a header and a silent connection is noticed. */

import { createParser } from "eventsource-parser";
import { callWith } from "./fetching";

export interface StreamEvent {
  /** The growing number of the event; null where the server sent none. */
  id: number | null;
  event: string;
  data: unknown;
}

/** The server sends a comment every 15 seconds of silence, so twice that and a bit means the line is dead. */
const SILENCE_MS = 40_000;
/** One event never comes near this; a broken sender must not fill the memory. */
const MAX_EVENT_CHARS = 32 * 1024 * 1024;

/**
 * Reads one stream to its end. Resolves when the server closes it; rejects with ApiError or a network error, and with
 * an AbortError when `abort` fires.
 */
export async function readEvents(
  path: string,
  key: string | null,
  abort: AbortSignal,
  onEvent: (event: StreamEvent) => void,
  onOpen?: () => void,
): Promise<void> {
  const quiet = new AbortController();
  let timer = setTimeout(() => quiet.abort(), SILENCE_MS);
  const either = AbortSignal.any([abort, quiet.signal]);
  try {
    const response = await callWith(key, path, { headers: { Accept: "text/event-stream" }, signal: either });
    onOpen?.();
    if (!response.body) return;
    const parser = createParser({
      maxBufferSize: MAX_EVENT_CHARS,
      onEvent: ({ id, event, data }) => {
        const number = id === undefined || id === "" ? NaN : Number(id);
        onEvent({ id: Number.isFinite(number) ? number : null, event: event ?? "message", data: parseJson(data) });
      },
    });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => quiet.abort(), SILENCE_MS);
      parser.feed(value);
    }
  } catch (error) {
    if (quiet.signal.aborted && !abort.aborted) throw new Error("The connection went silent.");
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
