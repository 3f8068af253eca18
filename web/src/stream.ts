/** What the events of a generation do to a message: a pure function, so that replay and reconnects can be tested. */

import type { StreamEvent } from "./sse";
import type { Message, Progress } from "./types";

/** A message as the page shows it, with what is only known while it is being written. */
export interface Entry {
  message: Message;
  progress: Progress | null;
  /** When the first thinking was seen here (milliseconds, this browser's clock); null otherwise. */
  thinkingSeenAt: number | null;
  /** Tokens made in this go and the seconds that took, by the server's count; null where nobody counts. */
  pace: Pace | null;
}

export interface Pace {
  tokens: number;
  seconds: number;
}

/** Where a listener stands: `after` is the number of the last event that is in `entry`. */
export interface Listening {
  entry: Entry;
  after: number;
  over: boolean;
}

export function entryOf(message: Message): Entry {
  return { message, progress: null, thinkingSeenAt: null, pace: null };
}

interface Payload {
  message?: Message;
  text?: string;
  started_at?: number;
  ended_at?: number;
  tokens?: number;
  seconds?: number;
}

/**
 * The listener after `event`. Events at or before `after` change nothing, so a replay after a reconnect never
 * doubles text; a snapshot always counts, because it carries the whole message.
 */
export function reduce(at: Listening, event: StreamEvent, now: number): Listening {
  const data = (event.data ?? {}) as Payload;
  const whole = event.event === "snapshot" || event.event === "done" || event.event === "error";
  if (at.over || (!whole && event.id !== null && event.id <= at.after)) return at;
  const after = event.id === null ? at.after : Math.max(at.after, event.id);
  const { entry } = at;
  const { message } = entry;
  const next = (changed: Partial<Entry>): Listening => ({ entry: { ...entry, ...changed }, after, over: false });
  const { tokens, seconds } = data;
  const pace = tokens !== undefined && seconds !== undefined ? { tokens, seconds } : entry.pace;

  switch (event.event) {
    case "snapshot":
      if (!data.message) return at;
      return next({
        message: data.message,
        thinkingSeenAt: data.message.thinking ? (entry.thinkingSeenAt ?? now) : null,
      });
    case "progress":
      return next({ progress: event.data as Progress });
    case "thinking":
      return next({
        message: { ...message, thinking: (message.thinking ?? "") + (data.text ?? "") },
        progress: null,
        pace,
        thinkingSeenAt: entry.thinkingSeenAt ?? now,
      });
    case "thinking_done":
      return next({
        message: {
          ...message,
          thinking_started_at: data.started_at ?? message.thinking_started_at,
          thinking_ended_at: data.ended_at ?? message.thinking_ended_at,
        },
      });
    case "answer":
      return next({ message: { ...message, content: message.content + (data.text ?? "") }, progress: null, pace });
    case "done":
    case "error":
      return { entry: { ...entry, message: data.message ?? message, progress: null, pace: null }, after, over: true };
    default:
      return at;
  }
}
