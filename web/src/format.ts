/** Numbers, times and days, in words for people. Pure. */

import type { Model, Progress } from "./types";

const whole = new Intl.NumberFormat("en-US");

export function count(n: number): string {
  return whole.format(Math.round(n));
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** Seconds: one decimal below ten, minutes from one minute on; never "0.0" for what took some time. */
export function duration(seconds: number): string {
  if (seconds > 0 && seconds < 0.05) return "<0.1 s";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const total = Math.round(seconds);
  const minutes = Math.floor(total / 60);
  return total < 3600
    ? `${minutes} min ${total % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** "Thought for 3 s": whole seconds, never more than the answer as a whole took. */
export function thoughtFor(seconds: number): string {
  if (seconds < 1) return "under a second";
  return seconds < 59.5 ? `${Math.floor(seconds)} s` : duration(seconds);
}

/** Tokens a second. */
export function rate(tokens: number, seconds: number): string | null {
  if (seconds <= 0 || tokens <= 0) return null;
  const value = tokens / seconds;
  return `${value < 99.5 ? value.toFixed(1) : count(value)} tokens/s`;
}

/** 135M, 1.5B, 671B. */
export function parameters(n: number | null): string | null {
  if (!n) return null;
  const trim = (value: number) => (value < 9.95 ? value.toFixed(1).replace(/\.0$/, "") : String(Math.round(value)));
  if (n >= 999_500_000) return `${trim(n / 1e9)}B`;
  if (n >= 999_500) return `${trim(n / 1e6)}M`;
  return count(n);
}

export function thinkingStyle(model: Model): string {
  return { native: "trained to think", prompted: "asked to think", unknown: "thinking not known" }[model.thinking];
}

export function ordinal(n: number): string {
  const last = n % 10;
  const teen = n % 100 >= 11 && n % 100 <= 13;
  const ending = teen ? "th" : last === 1 ? "st" : last === 2 ? "nd" : last === 3 ? "rd" : "th";
  return `${n}${ending}`;
}

/** What is happening before the first token. */
export function progressWords(progress: Progress | null): string {
  if (!progress) return "starting";
  if (progress.state === "queued") {
    return progress.position <= 1 ? "waiting, next in line" : `waiting, ${ordinal(progress.position)} in line`;
  }
  const read = Math.min(progress.total, Math.max(progress.processed, progress.cached));
  return `reading ${count(read)} of ${plural(progress.total, "token")}`;
}

/** The heading a conversation of that day stands under. Both in milliseconds. */
export function dayOf(time: number, now: number): string {
  const then = new Date(time);
  const midnight = new Date(now);
  midnight.setHours(0, 0, 0, 0);
  const days = Math.ceil((midnight.getTime() - time) / 86_400_000);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days < 7) return then.toLocaleDateString("en-GB", { weekday: "long" });
  const year = then.getFullYear() === midnight.getFullYear() ? {} : ({ year: "numeric" } as const);
  if (days < 31) return then.toLocaleDateString("en-GB", { day: "numeric", month: "long", ...year });
  return then.toLocaleDateString("en-GB", { month: "long", ...year });
}

/** `2026-11-23T17:02:03.123Z` as "2026-11-23 17:02 UTC"; as it is where it is no such time. */
export function moment(text: string): string {
  const time = Date.parse(text);
  return Number.isFinite(time) ? `${new Date(time).toISOString().slice(0, 16).replace("T", " ")} UTC` : text;
}

/** Consecutive items of the same day together, order kept. */
export function byDay<T>(items: readonly T[], timeOf: (item: T) => number, now: number): [string, T[]][] {
  const groups: [string, T[]][] = [];
  for (const item of items) {
    const day = dayOf(timeOf(item), now);
    const last = groups.at(-1);
    if (last?.[0] === day) last[1].push(item);
    else groups.push([day, [item]]);
  }
  return groups;
}

/** A snippet cut at the marks around hits (U+E000, U+E001): texts, and whether each is a hit. */
export function snippetParts(snippet: string): { text: string; hit: boolean }[] {
  const parts: { text: string; hit: boolean }[] = [];
  for (const [index, piece] of snippet.split("\uE000").entries()) {
    const [inside = "", rest] = index === 0 ? ["", piece] : piece.split("\uE001", 2);
    if (inside) parts.push({ text: inside, hit: true });
    if (rest) parts.push({ text: rest, hit: false });
  }
  return parts;
}
