/** Days of a period, without gaps, and what to draw for each. Pure. */

import type { Quantity } from "../quantity";
import type { Row, Totals } from "./shape";

export const MEASURES = ["money", "energy", "tokens", "time"] as const;
export type Measure = (typeof MEASURES)[number];

export const MEASURE_WORDS: Record<Measure, string> = { money: "Money", energy: "Energy", tokens: "Tokens", time: "Time" };

/** A total's figure for a measure. */
export function measured(totals: Totals, measure: Measure): Quantity {
  if (measure === "money") return totals.money;
  if (measure === "energy") return totals.energy;
  if (measure === "time") return totals.wall;
  return {
    value: totals.prompt_tokens + totals.completion_tokens,
    unit: "token",
    basis: "measured",
    how: "read and written, counted by the engine",
  };
}

const DAY = /^(\d{4})-(\d{2})-(\d{2})$/;

/** Milliseconds at noon of a day written as 2026-11-23 (noon: no change of the clocks moves it to another day). */
export function noon(day: string): number | null {
  const match = DAY.exec(day);
  return match ? Date.UTC(Number(match[1]), Number(match[2]) - 1, Number(match[3]), 12) : null;
}

/** Every day from the first to the last with its row, or null where nothing happened; at most `limit`, the newest. */
export function everyDay(rows: readonly Row[], last: string, limit: number): { day: string; row: Row | null }[] {
  const byKey = new Map(rows.map((row) => [row.key, row]));
  const times = [...byKey.keys(), last].map(noon).filter((time) => time !== null);
  const end = Math.max(...times);
  const days: { day: string; row: Row | null }[] = [];
  for (let time = end - (limit - 1) * 86_400_000; time <= end; time += 86_400_000) {
    const day = new Date(time).toISOString().slice(0, 10);
    days.push({ day, row: byKey.get(day) ?? null });
  }
  return days;
}

/** "23 Nov", with the year where it is another than now. */
export function dayWords(day: string, now: number): string {
  const time = noon(day);
  if (time === null) return day;
  const year = day.slice(0, 4) === String(new Date(now).getFullYear()) ? {} : ({ year: "numeric" } as const);
  return new Date(time).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC", ...year });
}

/** Today, by this machine's clock, as 2026-11-23. */
export function today(now: number): string {
  const date = new Date(now);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}
