/** What the audit's routes answer, as docs/page-api.md writes it. `shown` and `sum` are texts to be shown as they are. */

import type { Quantity } from "../quantity";

export interface ClaimRow {
  name: string;
  title: string;
  date: string | null;
  scope: string;
  status: string;
  headline: string;
  goodput: number | null;
  warnings: number;
}

export interface Input {
  name: string;
  path: string;
  label: string;
  quantity: Quantity;
  low: number;
  high: number;
  log: boolean;
  assumed: boolean;
}

export interface Line {
  name: string;
  label: string;
  shown: string;
  quantity: Quantity;
  kind: string;
  formula: string;
  sum: string;
  source: string;
  provenance: string;
}

export interface Check {
  name: string;
  label: string;
  stated: string;
  follows: string;
  how: string;
  off: string;
  ratio: number;
  state: "agrees" | "differs" | "contradicts";
}

export interface Convention {
  counting: string;
  peak: string;
  peak_value: number;
  flops_per_token: number;
  tflops_per_chip: number;
  goodput: number;
  status: string;
  named: boolean;
  published: string;
}

export interface Solution {
  target: string;
  label: string;
  shown: string;
  quantity: Quantity;
  stated: string;
  formula: string;
  sum: string;
  assumed: string[];
}

export interface Swing {
  name: string;
  label: string;
  words: string;
  at_low: number;
  at_high: number;
  crosses: boolean;
}

export interface Examination {
  claim: {
    name: string;
    title: string;
    date: string | null;
    scope: string;
    summary: string;
    notes: string[];
    sources: string[];
    against: string;
    work: string;
    chip: string | null;
  };
  verdict: { status: string; headline: string; why: string; goodput: Quantity; band: string; shares: Record<string, number> };
  bands: { status: string; low: number; high: number | null; words: string }[];
  warnings: string[];
  lines: Line[];
  checks: Check[];
  conventions: Convention[];
  solved: Solution[];
  binds: { resource: string; days: Quantity; words: string; binds: boolean }[];
  deadlines: { days: number; chips: Quantity; own: boolean }[];
  scope: string;
  fleet: { claimed: Quantity; floor: Quantity; ceiling: Quantity; capacity: Quantity; lines: string[] } | null;
  scenarios: { what: string; amount: Quantity; words: string; own: boolean }[];
  costs: { what: string; each: Quantity; whole: Quantity }[];
  legality: string[];
  swings: Swing[];
  swing_target: string;
  inputs: Input[];
  seed: number;
  draws: number;
}
