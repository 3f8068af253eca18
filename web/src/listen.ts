/** Listening to answers being written, and to the list of conversations; both survive lost connections. */

import { ApiError } from "./api";
import { readEvents } from "./sse";
import { announcement, lostSince, messages } from "./state";
import { reduce, type Listening } from "./stream";
import type { Message } from "./types";

interface Listener {
  abort: AbortController;
  generation: string;
}

const listeners = new Map<string, Listener>();

/** Waits grow from half a second to ten; a little chance keeps many tabs from knocking together. */
export function backoff(attempt: number): number {
  return Math.min(10_000, 500 * 2 ** attempt) * (0.8 + 0.4 * Math.random());
}

/** Follows the message's generation until it is over. Does nothing when it is already followed. */
export function follow(message: Message, onOver: (message: Message) => void, onGone: () => void): void {
  const generation = message.generation_id;
  if (message.status !== "generating" || generation === null) return;
  const running = listeners.get(message.id);
  if (running?.generation === generation) return;
  running?.abort.abort();
  const listener: Listener = { abort: new AbortController(), generation };
  listeners.set(message.id, listener);
  void run(message, listener, onOver, onGone).finally(() => {
    if (listeners.get(message.id) === listener) listeners.delete(message.id);
  });
}

export function unfollowAll(): void {
  for (const listener of listeners.values()) listener.abort.abort();
  listeners.clear();
}

async function run(
  message: Message,
  { abort, generation }: Listener,
  onOver: (message: Message) => void,
  onGone: () => void,
): Promise<void> {
  const target = messages.peek().get(message.id);
  if (!target) return;
  let at: Listening = { entry: target.peek(), after: 0, over: false };
  let scheduled = false;
  const show = () => {
    scheduled = false;
    if (abort.signal.aborted) return;
    announce(target.peek().message, at.entry.message);
    target.value = at.entry;
  };
  for (let attempt = 0; !at.over && !abort.signal.aborted; attempt++) {
    try {
      const path = `/api/generations/${encodeURIComponent(generation)}/events?after=${at.after}`;
      await readEvents(path, abort.signal, (event) => {
        attempt = 0;
        at = reduce(at, event, Date.now());
        if (!scheduled) {
          scheduled = true;
          nextFrame(show);
        }
      }, reached);
    } catch (error) {
      if (abort.signal.aborted) return;
      if (error instanceof ApiError && error.status === 404) return onGone();
      if (error instanceof ApiError && error.status === 401) return;
      lost();
    }
    if (!at.over) await pause(backoff(attempt), abort.signal);
  }
  if (abort.signal.aborted) return;
  show();
  onOver(at.entry.message);
}

/** Calls back before the next frame; a hidden tab has no frames, so there it is a timer. */
function nextFrame(callback: () => void): void {
  if (document.hidden) window.setTimeout(callback, 250);
  else requestAnimationFrame(callback);
}

function announce(before: Message, after: Message): void {
  if (after.thinking && !before.thinking && !after.content) announcement.value = "Thinking.";
  if (after.content && !before.content) announcement.value = "Answering.";
  if (before.status === "generating" && after.status !== "generating") {
    announcement.value = after.status === "complete" ? "The answer is complete." : `The answer was ${after.status}.`;
  }
}

export function reached(): void {
  lostSince.value = null;
}

export function lost(): void {
  lostSince.value ??= Date.now();
}

let live: AbortController | null = null;

/** Null where too much changed to say what. */
interface Changed {
  conversation: string | null;
}

/** Follows the list of conversations until `stopLive`. `onAgain` is called after every reconnect. */
export function startLive(onChanged: (conversation: string | null) => void, onAgain: () => void): void {
  if (live) return;
  const abort = (live = new AbortController());
  void (async () => {
    for (let attempt = 0; !abort.signal.aborted; attempt++) {
      let opened = false;
      try {
        await readEvents("/api/live", abort.signal, (event) => {
          if (event.event === "changed") onChanged((event.data as Changed | null)?.conversation ?? null);
        }, () => {
          opened = true;
          if (attempt > 0) onAgain();
          attempt = 0;
          reached();
        });
      } catch (error) {
        if (abort.signal.aborted) return;
        if (error instanceof ApiError && error.status === 401) {
          if (live === abort) live = null;
          return;
        }
        if (!opened || !(error instanceof ApiError)) lost();
      }
      await pause(backoff(attempt), abort.signal);
    }
  })();
}

export function stopLive(): void {
  live?.abort();
  live = null;
}

let wake: (() => void)[] = [];

/** Ends all waiting between attempts: called when the browser says that it is online or visible again. */
export function retryNow(): void {
  const all = wake;
  wake = [];
  for (const one of all) one();
}

/** Waits; ended early by `abort` and by `retryNow`. */
export function pause(ms: number, abort: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = window.setTimeout(done, ms);
    function done(): void {
      window.clearTimeout(timer);
      abort.removeEventListener("abort", done);
      wake = wake.filter((one) => one !== done);
      resolve();
    }
    abort.addEventListener("abort", done);
    wake.push(done);
  });
}
