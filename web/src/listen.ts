/** Listening to answers being written, and to the list of conversations; both survive lost connections. */

import { keyWanted, storedKey } from "./api";
import { Hub, type FromHub, type ToHub } from "./hub";
import { announcement, lostSince, messages } from "./state";
import { reduce, type Listening } from "./stream";
import type { Message } from "./types";

interface Listener {
  message: string;
  at: Listening;
  scheduled: boolean;
  onOver: (message: Message) => void;
  onGone: () => void;
}

/** By generation. */
const listeners = new Map<string, Listener>();

/** Follows the message's generation until it is over. Does nothing when it is already followed. */
export function follow(message: Message, onOver: (message: Message) => void, onGone: () => void): void {
  const generation = message.generation_id;
  if (message.status !== "generating" || generation === null || listeners.has(generation)) return;
  const entry = messages.peek().get(message.id)?.peek();
  if (!entry) return;
  for (const [other, listener] of listeners) if (listener.message === message.id) listeners.delete(other);
  listeners.set(generation, { message: message.id, at: { entry, after: 0, over: false }, scheduled: false, onOver, onGone });
  tellFollowed();
}

export function unfollowAll(): void {
  if (listeners.size === 0) return;
  listeners.clear();
  tellFollowed();
}

function tellFollowed(): void {
  say({ kind: "follow", generations: [...listeners.keys()] });
}

function show(listener: Listener, generation: string): void {
  listener.scheduled = false;
  if (listeners.get(generation) !== listener) return;
  const target = messages.peek().get(listener.message);
  if (!target) return;
  announce(target.peek().message, listener.at.entry.message);
  target.value = listener.at.entry;
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

let onChanged: (conversation: string | null) => void = () => {};
let onAgain: () => void = () => {};
let awake = false;

/** Hears of changes of conversations until `stopLive`. `again` is called after every reconnect. */
export function startLive(changed: (conversation: string | null) => void, again: () => void): void {
  onChanged = changed;
  onAgain = again;
  awake = true;
  say({ kind: "hello", key: storedKey() });
  if (listeners.size > 0) tellFollowed();
}

export function stopLive(): void {
  awake = false;
  say({ kind: "bye" });
}

function hear(message: FromHub): void {
  window.clearTimeout(watchdog);
  if (!awake) return;
  if (message.kind === "changed") onChanged(message.conversation);
  else if (message.kind === "lost") lost();
  else if (message.kind === "refused") keyWanted.value = true;
  else if (message.kind === "reached") {
    reached();
    if (message.again) onAgain();
  } else if (message.kind === "generation") {
    const { generation, event } = message;
    const listener = listeners.get(generation);
    if (!listener) return;
    if (event.event === "gone") {
      listeners.delete(generation);
      return listener.onGone();
    }
    listener.at = reduce(listener.at, event, Date.now());
    if (listener.at.over) {
      show(listener, generation);
      listeners.delete(generation);
      listener.onOver(listener.at.entry.message);
    } else if (!listener.scheduled) {
      listener.scheduled = true;
      nextFrame(() => show(listener, generation));
    }
  }
}

/** How long the shared worker may take to show itself before this tab does without it, in milliseconds. */
const WORKER_MS = 10_000;
let watchdog = 0;
let post: ((message: ToHub) => void) | null = null;

function say(message: ToHub): void {
  post ??= shared() ?? own();
  post(message);
}

/** The hub that all tabs share; null where there are no shared workers (Chrome on Android). */
function shared(): ((message: ToHub) => void) | null {
  if (typeof SharedWorker !== "function") return null;
  try {
    const worker = new SharedWorker(new URL("./hub.worker.ts", import.meta.url), { type: "module", name: "clearseek" });
    const alone = () => {
      window.clearTimeout(watchdog);
      worker.port.postMessage({ kind: "bye" } satisfies ToHub);
      worker.port.onmessage = null;
      post = own();
      if (!awake) return;
      say({ kind: "hello", key: storedKey() });
      tellFollowed();
    };
    worker.onerror = alone;
    worker.port.onmessage = ({ data }: MessageEvent<FromHub>) => hear(data);
    watchdog = window.setTimeout(alone, WORKER_MS);
    return (message) => worker.port.postMessage(message);
  } catch {
    return null;
  }
}

function own(): (message: ToHub) => void {
  const hub = new Hub();
  return (message) => hub.hear(hear, message);
}

let wake: (() => void)[] = [];

/** Ends all waiting between attempts: called when the browser says that it is online or visible again. */
export function retryNow(): void {
  if (awake) say({ kind: "retry" });
  const all = wake;
  wake = [];
  for (const one of all) one();
}

/** Waits; ended early by `retryNow`. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = window.setTimeout(done, ms);
    function done(): void {
      window.clearTimeout(timer);
      wake = wake.filter((one) => one !== done);
      resolve();
    }
    wake.push(done);
  });
}
