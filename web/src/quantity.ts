/** Numbers that say what they rest on, as the server sends them, and how people read them. Pure. */

import { count, duration } from "./format";

export type Basis = "measured" | "modelled" | "declared" | "unknown";

/** `value` is null exactly where the basis is unknown; `how` says in a few words where the number came from. */
export interface Quantity {
  value: number | null;
  unit: string;
  basis: Basis;
  how: string;
  low?: number | null;
  high?: number | null;
}

export const BASES: readonly Basis[] = ["measured", "modelled", "declared", "unknown"];

/** What each basis means, for the legend and the tooltips. */
export const BASIS_WORDS: Record<Basis, string> = {
  measured: "an instrument or a clock read it",
  modelled: "computed from measured things by a formula that is named",
  declared: "someone said so: a price, a datasheet",
  unknown: "nobody knows it here, and nothing is put in its place",
};

/** The tooltip of a mark. */
export function basisTitle(basis: Basis, how: string): string {
  // A tooltip is plain text.
  return how ? `${basis}: ${how.replaceAll("`", "")}` : `${basis}: ${BASIS_WORDS[basis]}`;
}

/** "$0.0012", "94 J", "94–120 J", "unknown". The interval stands for the number where there is one. */
export function amount(quantity: Quantity): string {
  const { value, unit } = quantity;
  if (value === null) return "unknown";
  const low = quantity.low ?? value;
  const high = quantity.high ?? value;
  const format = formatOf(unit, Math.max(Math.abs(low), Math.abs(high)));
  const [from, to] = [format.text(low), format.text(high)];
  return from === to ? format.whole(from) : format.whole(`${from}–${to}`);
}

/** The number alone, without its interval: for axes and for what stands beside an interval. */
export function plainAmount(value: number, unit: string): string {
  const format = formatOf(unit, Math.abs(value));
  return format.whole(format.text(value));
}

interface Format {
  text: (value: number) => string;
  whole: (text: string) => string;
}

function formatOf(unit: string, size: number): Format {
  const [over, per] = unit === "USD" || unit.startsWith("USD/") ? ["USD", unit.slice(4)] : [unit, ""];
  if (over === "USD") {
    const [factor, letter] = size >= 999_500 ? letterScale(size) : [1, ""];
    const end = `${letter}${per ? ` per ${PER[per] ?? unitWords(per)}` : ""}`;
    return { text: (value) => dollars(value / factor), whole: (text) => `$${text}${end}` };
  }
  if (unit === "s") return { text: duration, whole: same };
  if (unit === "J") {
    const [factor, name] = size >= 360_000 ? [3.6e6, "kWh"] : size >= 999.5 ? [1e3, "kJ"] : [1, "J"];
    return scaled(factor, ` ${name}`);
  }
  if (unit === "token" && size < 999_500) {
    return { text: count, whole: (text) => `${text} ${text === "1" ? "token" : "tokens"}` };
  }
  if (unit === "percent") return scaled(1, "%");
  if (unit === "d" || unit === "h") {
    const name = unit === "d" ? "day" : "hour";
    return { text: significant, whole: (text) => `${text} ${name}${text === "1" ? "" : "s"}` };
  }
  if (/^FLOP(\/|$)/.test(unit)) {
    const [factor, prefix] = size >= 1e18 ? [1, ""] : prefixScale(size);
    return scaled(factor, ` ${prefix}${unitWords(unit)}`);
  }
  if (/^B(\/|$)/.test(unit)) {
    const [factor, prefix] = prefixScale(size);
    return scaled(factor, ` ${prefix}${unit}`);
  }
  const [factor, letter] = size >= 999_500 && size < 1e15 ? letterScale(size) : [1, ""];
  const name = unitWords(unit);
  return scaled(factor, `${letter}${name && ` ${name}`}`);
}

const same = (text: string): string => text;

function scaled(factor: number, end: string): Format {
  return { text: (value) => significant(value / factor), whole: (text) => `${text}${end}` };
}

/** Three significant digits, with commas from a thousand on and a power of ten where that is shorter. */
export function significant(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e7 || size < 1e-4) {
    const [digits = "", power = ""] = value.toExponential(2).split("e");
    return `${digits.replace(/\.?0+$/, "")} × 10${superscript(Number(power))}`;
  }
  if (size >= 999.5) return count(value);
  return value.toPrecision(3).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}

function superscript(power: number): string {
  return [...String(power)].map((digit) => (digit === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)])).join("");
}

/** Without the sign: cents from a dollar on, two significant digits under ten cents. */
function dollars(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 999.5) return count(value);
  if (size >= 0.0995) return value.toFixed(2);
  if (size >= 0.00995) return value.toFixed(3).replace(/0$/, "");
  if (size < 5e-9) return significant(value);
  return value.toFixed(Math.min(10, 1 - Math.floor(Math.log10(size))));
}

function letterScale(size: number): [number, string] {
  if (size >= 999.5e9) return [1e12, "T"];
  if (size >= 999.5e6) return [1e9, "B"];
  return [1e6, "M"];
}

function prefixScale(size: number): [number, string] {
  for (const [factor, prefix] of [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]] as const) {
    if (size >= 0.9995 * factor) return [factor, prefix];
  }
  return [1, ""];
}

const PER: Record<string, string> = { h: "hour", d: "day", "(chip*h)": "chip-hour" };
const UNIT_WORDS: Record<string, string> = {
  token: "tokens",
  "token/s": "tokens/s",
  "token/d": "tokens a day",
  "token/(chip*s)": "tokens/s a chip",
  parameter: "parameters",
  chip: "chips",
  "chip*h": "chip-hours",
  "chip*d": "chip-days",
};

/** "FLOP/token" stays as the field writes it; a few are words. */
export function unitWords(unit: string): string {
  return UNIT_WORDS[unit] ?? unit.replaceAll("**", "^").replaceAll("*", "·");
}
