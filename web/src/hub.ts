/**
 * Everything that a browser hears from the server, on one connection, whatever number of tabs show the page: a browser
 * opens six to one server at most. Runs in a worker that all tabs share (hub.worker.ts), or in the tab where there is
 * no such thing.
 */

import { ApiError, backoff, callWith } from "./fetching";
import { readEvents, type StreamEvent } from "./sse";
import { entryOf, reduce, type Listening } from "./stream";
import type { Message } from "./types";

/** What a tab says. */
export type ToHub =
  /** It wants to hear of changes; also said again with another key. */
  | { kind: "hello"; key: string | null }
  /** All the generations that it wants to hear, and no others. */
  | { kind: "follow"; generations: string[] }
  /** The browser is online again, or somebody pressed "Try now". */
  | { kind: "retry" }
  /** It is hidden or closed. */
  | { kind: "bye" };

/** What a tab is told. */
export type FromHub =
  /** The hub is there. */
  | { kind: "here" }
  /** A conversation changed; null: any may have. */
  | { kind: "changed"; conversation: string | null }
  /** Something happened in a generation; also "gone", where there is none. */
  | { kind: "generation"; generation: string; event: StreamEvent }
  /** The connection stands; `again`: it was lost meanwhile, so that something may have been missed. */
  | { kind: "reached"; again: boolean }
  | { kind: "lost" }
  /** The server wants a key, or another one. */
  | { kind: "refused" };

/** Where the hub sends what a tab is told. */
export type Tab = (message: FromHub) => void;

interface Told {
  generation: string;
  event: string;
  id: number;
  data: unknown;
}

/** Never more: the server's own bound on what one stream may follow. */
const MAX_FOLLOWED = 100;

export class Hub {
  private readonly tabs = new Map<Tab, Set<string>>();
  /** What has come of each generation that is followed, so that a tab that comes late is told the same. */
  private readonly states = new Map<string, Listening>();
  private key: string | null = null;
  private running: AbortController | null = null;
  /** The name of the stream that is open; null while there is none. */
  private stream: string | null = null;
  private wake: (() => void) | null = null;
  private sending = false;
  private stale = false;

  hear(tab: Tab, message: ToHub): void {
    if (message.kind === "hello") {
      if (!this.tabs.has(tab)) this.tabs.set(tab, new Set());
      tab({ kind: "here" });
      if (this.stream !== null && message.key === this.key) tab({ kind: "reached", again: false });
      this.start(message.key);
    } else if (message.kind === "bye") {
      this.tabs.delete(tab);
      if (this.tabs.size === 0) this.stop();
      else this.tellFollowed();
    } else if (message.kind === "retry") {
      this.wake?.();
    } else {
      const before = this.tabs.get(tab);
      if (!before) return;
      const now = new Set(message.generations);
      this.tabs.set(tab, now);
      for (const generation of now) if (!before.has(generation)) this.catchUp(tab, generation);
      this.tellFollowed();
    }
  }

  private say(message: FromHub): void {
    for (const tab of this.tabs.keys()) tab(message);
  }

  private catchUp(tab: Tab, generation: string): void {
    const at = this.states.get(generation);
    if (!at) return;
    const { message, progress } = at.entry;
    tab({ kind: "generation", generation, event: { id: at.after, event: "snapshot", data: { message } } });
    if (progress) tab({ kind: "generation", generation, event: { id: null, event: "progress", data: progress } });
  }

  private start(key: string | null): void {
    if (this.running && key === this.key) return;
    this.stop();
    this.key = key;
    this.running = new AbortController();
    void this.run(this.running.signal, key);
  }

  private stop(): void {
    this.running?.abort();
    this.running = null;
    this.stream = null;
    this.states.clear();
  }

  private async run(abort: AbortSignal, key: string | null): Promise<void> {
    let before = false;
    for (let attempt = 0; !abort.aborted; attempt++) {
      const name = crypto.getRandomValues(new Uint32Array(4)).join("-");
      let opened = false;
      try {
        await readEvents(`/api/live?listener=${name}`, key, abort, (event) => this.take(event), () => {
          opened = true;
          attempt = 0;
          this.stream = name;
          this.say({ kind: "reached", again: before });
          before = true;
          this.tellFollowed();
        });
      } catch (error) {
        if (abort.aborted) return;
        if (error instanceof ApiError && error.status === 401) {
          this.stop();
          this.say({ kind: "refused" });
          return;
        }
        if (!opened || !(error instanceof ApiError)) this.say({ kind: "lost" });
      }
      if (abort.aborted) return;
      this.stream = null;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, backoff(attempt));
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.wake = null;
    }
  }

  private take(event: StreamEvent): void {
    if (event.event === "changed") {
      this.say({ kind: "changed", conversation: (event.data as { conversation: string | null } | null)?.conversation ?? null });
    } else if (event.event === "generation") {
      const { generation, event: name, id, data } = event.data as Told;
      this.pass(generation, { id, event: name, data });
    }
  }

  private pass(generation: string, event: StreamEvent): void {
    const over = event.event === "done" || event.event === "error" || event.event === "gone";
    const message = (event.data as { message?: Message } | null)?.message;
    const at = this.states.get(generation) ?? (message ? { entry: entryOf(message), after: 0, over: false } : null);
    if (over || !at) this.states.delete(generation);
    else this.states.set(generation, reduce(at, event, 0));
    for (const [tab, followed] of this.tabs) {
      if (!followed.has(generation)) continue;
      if (over) followed.delete(generation);
      tab({ kind: "generation", generation, event });
    }
  }

  /** Tells the server what is followed, once for many changes, and the last word last. */
  private tellFollowed(): void {
    this.stale = true;
    if (!this.sending) void this.send();
  }

  private async send(): Promise<void> {
    this.sending = true;
    while (this.stale && this.stream !== null) {
      this.stale = false;
      const followed = new Set([...this.tabs.values()].flatMap((one) => [...one]));
      for (const generation of this.states.keys()) if (!followed.has(generation)) this.states.delete(generation);
      const body = JSON.stringify({ follow: [...followed].slice(-MAX_FOLLOWED) });
      try {
        const headers = { "Content-Type": "application/json" };
        await callWith(this.key, `/api/live/${this.stream}`, { method: "POST", headers, body });
      } catch (error) {
        // Too busy: again in a moment. Anything else has ended the stream too, and the next one is told anew.
        if (!(error instanceof ApiError) || error.status !== 429) continue;
        this.stale = true;
        await new Promise((resolve) => setTimeout(resolve, backoff(1)));
      }
    }
    this.sending = false;
  }
}
