/** Words of the audit that are the page's own. Pure. */

import { amount, plainAmount, significant } from "../quantity";
import type { Changes } from "./changes";
import { written } from "./changes";
import type { Input } from "./shape";

export const SCOPES: Record<string, string> = {
  stage: "one stage",
  "final-run": "the final run",
  programme: "a whole programme",
  fleet: "a fleet",
};

/** "scope-mismatch" is "scope mismatch"; unknown ones are shown as they are. */
export function statusWords(status: string): string {
  return status.replaceAll("-", " ");
}

/** The headline without the status that stands beside it. */
export function headlineWords(headline: string): string {
  return capital(headline.replace(/^[A-Z][a-z ]*: /, ""));
}

export function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** A fraction as a percentage where the number is one, otherwise with its unit. */
export function inputWords(input: Input, value: number): string {
  if (isShare(input)) return `${significant(100 * value)}%`;
  if (input.quantity.unit === "s") return `${significant(value)} s`;
  return plainAmount(value, input.quantity.unit);
}

function isShare({ name, quantity }: Input): boolean {
  return quantity.unit === "" && /^mfu|margin$/.test(name);
}

/** What the swings are swings of, its unit, and the name under which it is solved for. */
const TARGETS: Record<string, readonly [words: string, unit: string, solved: string]> = {
  mfu: ["Goodput", "percent", "mfu"],
  gpu_hours: ["Chip-hours", "chip*h", "gpu_hours"],
  tokens: ["Tokens", "token", "tokens"],
  count: ["Chips", "chip", "count"],
  wall_time: ["Wall time", "h", "days"],
  usd: ["Money", "USD", "usd"],
  price: ["The price of a chip-hour", "USD/(chip*h)", "price"],
  energy: ["Energy", "kWh", ""],
  co2: ["CO2", "kg", ""],
};

export function targetName(target: string): string {
  return TARGETS[target]?.[0] ?? capital(target.replaceAll("_", " "));
}

export function solvedAs(target: string): string {
  return TARGETS[target]?.[2] ?? target;
}

/** From one end of a swing to the other. */
export function swingWords(target: string, low: number, high: number): string {
  const [unit, factor] = target === "mfu" ? ["percent", 100] : [TARGETS[target]?.[1] ?? "", 1];
  return amount({ value: low * factor, low: low * factor, high: high * factor, unit, basis: "modelled", how: "" });
}

/** The same in a terminal. Only words that need no quoting but for the space in a unit. */
export function commandFor(claim: string, changes: Changes, inputs: readonly Input[]): string {
  const parts = [...changes].map(([path, value]) => {
    const unit = inputs.find((input) => input.path === path)?.quantity.unit ?? "";
    const text = typeof value === "number" ? `${written(value)}${unit && ` ${unit}`}` : value;
    return ` --set '${path}=${text}'`;
  });
  return `clearseek audit ${claim}${parts.join("")}`;
}
