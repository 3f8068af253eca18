/** The inputs that a reader moved, and the address that carries them. Pure: nothing in an address is ever executed. */

/** By path, such as `run.mfu`: the number, in the unit in which the input was offered; or a word, such as a chip's. */
export type Changes = ReadonlyMap<string, number | string>;

const MAX_CHANGES = 40;
const MAX_SEARCH = 4000;
const NUMBER = /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i;
const WORD = /^[a-z][a-z0-9 .+-]{0,39}$/i;
const PATH = /^[a-z][a-z0-9_.]{0,79}$/;

/** What `?set=run.mfu:0.4&set=hardware.chip:H20` says. What is no path with a number or a plain word is passed over. */
export function changesIn(search: string): Changes {
  const found = new Map<string, number | string>();
  if (search.length > MAX_SEARCH) return found;
  for (const one of new URLSearchParams(search).getAll("set")) {
    const at = one.indexOf(":");
    const [path, text] = [one.slice(0, at), one.slice(at + 1)];
    if (at < 1 || !PATH.test(path)) continue;
    // Number() alone would also read "", " " and "0x10"; none of them is how a number is written here.
    if (NUMBER.test(text)) {
      if (Number.isFinite(Number(text))) found.set(path, Number(text));
    } else if (WORD.test(text)) found.set(path, text);
    if (found.size >= MAX_CHANGES) break;
  }
  return found;
}

/** The other way: "" where nothing was changed. */
export function searchOf(changes: Changes): string {
  const search = new URLSearchParams();
  for (const [path, value] of changes) search.append("set", `${path}:${typeof value === "number" ? written(value) : value}`);
  const text = search.toString().replaceAll("%3A", ":");
  return text && `?${text}`;
}

/** Short enough to share: six digits count. */
export function written(value: number): string {
  return String(Number(value.toPrecision(6)));
}

/** How far along a slider (0 to 1) a value is. */
export function positionOf(value: number, low: number, high: number, log: boolean): number {
  if (!(high > low)) return 0;
  const at = log && low > 0 ? Math.log(Math.max(value, low) / low) / Math.log(high / low) : (value - low) / (high - low);
  return Math.min(1, Math.max(0, at));
}

/** The value at a place along a slider, at the three digits that the reader sees (and never outside). */
export function valueAt(position: number, low: number, high: number, log: boolean): number {
  const raw = log && low > 0 ? low * (high / low) ** position : low + (high - low) * position;
  return Math.min(high, Math.max(low, Number(raw.toPrecision(3))));
}
