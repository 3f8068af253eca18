/** What `GET /api/books` answers, as docs/page-api.md writes it. */

import type { Quantity } from "../quantity";

export type By = "day" | "model" | "conversation" | "kind";

export interface Totals {
  answers: number;
  prompt_tokens: number;
  cached_tokens: number;
  completion_tokens: number;
  reasoning_tokens: number;
  wall: Quantity;
  cpu: Quantity;
  energy: Quantity;
  money: Quantity;
  flops?: Quantity | null;
  /** How many entries nobody knows the price of. */
  unknown_money: number;
}

export interface Row extends Totals {
  key: string;
  label: string;
}

export interface Hosted {
  offer: string;
  provider: string;
  money: Quantity;
  source: string;
  as_of: string;
  note: string | null;
  /** A letter: P the original was read, C a copy, S press, E an estimate, D derived, R recalled. */
  provenance?: string;
}

export interface Rates {
  machine_usd_per_hour: Quantity;
  electricity_usd_per_kwh: Quantity;
  watts: Quantity;
  grid_region: string | null;
  how_to_declare: string;
}

export interface Cap {
  cap: Quantity;
  spent: Quantity;
}

export interface BudgetState {
  money: Cap | null;
  tokens: Cap | null;
  resets_at: number | string | null;
}

export interface BooksAnswer {
  by: By;
  since: number | string;
  until: number | string;
  rows: Row[];
  total: Totals;
  hosted: Hosted[];
  rates: Rates;
  budget: { day: BudgetState | null; key: BudgetState | null } | null;
  chain: { entries: number; head: string | null; state: string; problem: string | null };
}
