/** Words of the audit that are the page's own. Pure. */

import { plainAmount, significant } from "../quantity";
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

/** A number at either end of a swing: percent for a utilisation. */
export function targetWords(target: string): (value: number) => string {
  if (target === "mfu") return (value) => `${significant(100 * value)}%`;
  const units: Record<string, string> = {
    gpu_hours: "chip*h", tokens: "token", count: "chip", wall_time: "h", usd: "USD", price: "USD/(chip*h)", energy: "kWh", co2: "kg",
  };
  return (value) => plainAmount(value, units[target] ?? "");
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
