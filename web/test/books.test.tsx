import { render } from "preact";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Books } from "../src/books/Books";
import type { BooksAnswer, By, Totals } from "../src/books/shape";
import type { Basis, Quantity } from "../src/quantity";

const of = (value: number | null, unit: string, basis: Basis = "measured", how = ""): Quantity => ({
  value, unit, basis: value === null ? "unknown" : basis, how,
});
const totals = (answers: number, priced = true): Totals => ({
  answers, prompt_tokens: 400 * answers, cached_tokens: 100 * answers, completion_tokens: 50 * answers, reasoning_tokens: 0,
  wall: of(2 * answers, "s"), cpu: of(4 * answers, "s"), energy: of(130 * answers, "J", "modelled"),
  money: priced ? of(0.01 * answers, "USD", "declared") : of(null, "USD"), unknown_money: priced ? 0 : answers,
});
const ATTACK = `<img src=x onerror="window.__pwned=1">`;

function books(by: By, answers = 3, priced = true): BooksAnswer {
  const key = { day: "2026-11-23", model: "m", conversation: "c1", kind: "answer" }[by];
  return {
    by, since: 0, until: 0, rows: answers ? [{ key, label: ATTACK, ...totals(answers, priced) }] : [], total: totals(answers, priced),
    hosted: [{ offer: ATTACK, provider: "P", money: of(0.5, "USD", "declared"), source: "price list", as_of: "2026-09-05", note: null }],
    rates: {
      machine_usd_per_hour: of(priced ? 0.1 : null, "USD/h", "declared"), electricity_usd_per_kwh: of(null, "USD/kWh"),
      watts: of(65, "W", "declared"), grid_region: null, how_to_declare: "write machine_usd_per_hour",
    },
    budget: {
      day: { money: null, tokens: { cap: of(1000, "token", "declared"), spent: of(250, "token") }, resets_at: Date.now() / 1000 + 7200 },
      key: null,
    },
    chain: { entries: 7, head: "ab".repeat(32), state: "intact", problem: null },
  };
}

let root: HTMLElement;
function show(answer: (by: By) => BooksAnswer | { error: { message: string; code: string } }, status = 200): void {
  vi.stubGlobal("fetch", (path: string) => {
    const by = new URL(path, "http://x").searchParams.get("by") as By;
    return Promise.resolve(new Response(JSON.stringify(answer(by)), { status }));
  });
  render(<Books />, root);
}
const text = () => root.textContent?.replace(/\s+/g, " ") ?? "";

beforeEach(() => {
  root = document.body.appendChild(document.createElement("div"));
});
afterEach(() => {
  render(null, root);
  root.remove();
  vi.unstubAllGlobals();
});

describe("the books", () => {
  it("show totals with what they rest on, and the chain as checked", async () => {
    show((by) => books(by));
    await vi.waitFor(() => expect(text()).toContain("By model"));
    expect(root.querySelector(".totals")!.textContent).toContain("1,350 (measured)");
    expect(root.querySelector(".totals")!.textContent).toContain("$0.03 (declared)");
    expect(root.querySelector(".totals")!.textContent).toContain("390 J (modelled)");
    expect(root.querySelector('[data-chain="intact"]')!.className).toBe("good");
    expect(root.querySelector('[role="meter"]')!.getAttribute("aria-valuenow")).toBe("25");
    expect(text()).toContain("in 2 hours");
  });
  it("show every name as text", async () => {
    show((by) => books(by));
    await vi.waitFor(() => expect(root.querySelectorAll("tbody tr").length).toBeGreaterThanOrEqual(3));
    expect(text()).toContain(ATTACK);
    expect(root.querySelector("img")).toBeNull();
  });
  it("teach where money is unknown, and draw no bar for it", async () => {
    show((by) => books(by, 3, false));
    await vi.waitFor(() => expect(text()).toContain("Share of energy"));
    expect(root.querySelector(".totals")!.textContent).toContain("unknown (unknown)3 entries without a price");
    expect(text()).toContain("write machine_usd_per_hour");
  });
  it("teach where nothing was spent", async () => {
    show((by) => books(by, 0));
    await vi.waitFor(() => expect(text()).toContain("Nothing was spent in these 30 days."));
    expect(root.querySelector("table")).toBeNull();
  });
  it("do not call a broken chain intact", async () => {
    show((by) => ({ ...books(by), chain: { entries: 7, head: "ab", state: "broken", problem: "Line 4 was changed." } }));
    await vi.waitFor(() => expect(text()).toContain("Line 4 was changed."));
    expect(root.querySelector(".good")).toBeNull();
    expect(root.querySelector(".bad")!.textContent).toBe("broken");
  });
  it("tell what is wrong", async () => {
    show(() => ({ error: { message: "The ledger cannot be read.", code: "ledger" } }), 500);
    await vi.waitFor(() => expect(root.querySelector('[role="alert"]')!.textContent).toBe("The ledger cannot be read."));
  });
});
