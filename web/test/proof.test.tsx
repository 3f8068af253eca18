import { render } from "preact";
import { describe, expect, it } from "vitest";
import { changeWords } from "../src/ui/ProofTables";
import { Told } from "../src/ui/Told";
import { ProofText, type OriginCard, type ProofOf, type ReceiptCard } from "../src/ui/ProofText";

const ATTACK = `<img src=x onerror="window.__pwned=1">`;
const origin: OriginCard = {
  kind: "origin", name: "m", description: ATTACK, source: "pypi:x", source_words: "the Python package x 1.0", revision: null,
  licence: "Apache-2.0", architecture: "llama", parameters: 134_515_008, quantisation: "Q8_0",
  sha256: { fetched: "aa".repeat(32), served: "bb".repeat(32) }, bytes: 145_000_000, changes: [ATTACK],
  unknown: [{ what: "training data", why: "the file does not say" }],
};
const receipt: ReceiptCard = {
  kind: "receipt", name: "m", receipt_sha256: "cc".repeat(32), keyid: "dd".repeat(32), ok: true, problems: [],
  signed: "It is signed with ClearSeek's own key.", all_runs: null,
  made: { at: "2026-11-23T00:00:00Z", by: "clearseek 0.1.0" }, run: { name: ATTACK, started_at: "2026-11-22", finished_at: "2026-11-23" },
  base: null,
  stages: [{ name: "sft", kind: "sft", quantities: { wall: { value: 60, unit: "s", basis: "measured", how: "clock" } } }],
  totals: { money: { value: null, unit: "USD", basis: "unknown", how: "no price" }, flops: { value: 1e15, unit: "FLOP", basis: "modelled", how: "6ND" } },
  evaluations: [{ name: "sums", results: { accuracy: { value: 0.5, unit: "", basis: "measured", how: "200 problems" } } }],
  cannot_prove: ["That no other run happened."],
};

function shown(proof: ProofOf, answered: string | null = null): HTMLElement {
  const root = document.createElement("div");
  render(<ProofText proof={proof} answered={answered} />, root);
  expect(root.querySelector("img")).toBeNull();
  return root;
}

describe("where weights come from", () => {
  it("an origin card says what is known and what is not, as text", () => {
    const root = shown(origin, "bb".repeat(32));
    for (const words of [ATTACK, "Apache-2.0", "135M", "145 MB, Q8_0", "training data", "Others made this model"]) {
      expect(root.textContent).toContain(words);
    }
    expect(root.textContent).not.toContain("Revision"); // what is not known has no empty line
    expect(root.querySelector('[role="alert"]')).toBeNull();
  });
  it("says when other weights gave the answer", () => {
    expect(shown(origin, "ee".repeat(32)).querySelector('[role="alert"]')!.textContent).toContain("eeee");
  });
  it("a receipt says what it holds, and what it cannot prove", () => {
    const root = shown(receipt);
    expect(root.querySelector(".good")!.textContent).toBe("The receipt is in order");
    for (const words of [ATTACK, "1 min 0 s (measured)", "1 PFLOP (modelled)", "unknown (unknown)", "That no other run happened."]) {
      expect(root.textContent).toContain(words);
    }
  });
  it("what all runs took stands beside what the last one took, and what is missing is named", () => {
    const wall = { value: 7200, unit: "s", basis: "measured" as const, how: "clock" };
    const unknown = { value: null, unit: "USD", basis: "unknown" as const, how: "of one run it is not known" };
    const root = shown({
      ...receipt,
      all_runs: {
        runs: [{ name: "third" }, { name: "second" }], missing: ["first"], totals: { wall, money: unknown },
        known_part: { money: { value: 0.04, unit: "USD", basis: "declared", how: "price", runs: 1 } },
      },
    });
    for (const words of ["All 3 runs together", "second, third", "the receipt of first is not here", "2 h", "of 1 of them", "$0.04"]) {
      expect(root.textContent).toContain(words);
    }
    expect(shown(receipt).textContent).not.toContain("runs together");
    expect(shown(receipt).textContent).toContain("ClearSeek's own key");
  });
  it("a receipt that is not in order is never green", () => {
    const root = shown({ ...receipt, ok: false, problems: ["The signature does not fit."] });
    expect(root.querySelector(".good")).toBeNull();
    expect(root.querySelector(".bad")!.textContent).toBe("The receipt is not in order.");
    expect(root.textContent).toContain("The signature does not fit.");
  });
});

describe("what a run changed", () => {
  const share = (value: number, low: number, high: number) => ({ value, low, high, unit: "", basis: "measured" as const, how: "95%" });
  const tests = (before: ReturnType<typeof share>, after: ReturnType<typeof share>) => [
    { name: "test-after", results: { accuracy_chain_sum: share(0.85, 0.64, 0.95), mean: after } },
    { name: "test-before", results: { accuracy_chain_sum: share(0.75, 0.53, 0.89), mean: before } },
  ];
  it("is told in words, and only where the intervals tell it", () => {
    expect(changeWords(tests(share(0.822, 0.756, 0.872), share(0.811, 0.745, 0.861)))).toBe(
      "Right answers: 75.6–87.2% before, 74.5–86.1% after. The intervals overlap, so these tests do not show that this run made it better or worse at them.",
    );
    expect(changeWords(tests(share(0.2, 0.1, 0.3), share(0.8, 0.7, 0.9)))).toContain("70–90% after: more, beyond what chance explains.");
    expect(changeWords(tests(share(0.8, 0.7, 0.9), share(0.2, 0.1, 0.3)))).toContain("fewer");
    expect(changeWords([])).toBeNull();
    expect(changeWords(tests(share(0.8, 0.7, 0.9), { ...share(0, 0, 0), value: null as never }))).toBeNull();
  });
  it("stands in tables with heads, times to the minute, and words for names", () => {
    const root = shown({
      ...receipt,
      run: { name: "r", started_at: "2026-11-29T13:01:39.911101Z", finished_at: "2026-11-29T13:32:31.559746Z" },
      evaluations: tests(share(0.822, 0.756, 0.872), share(0.811, 0.745, 0.861)),
    });
    expect([...root.querySelectorAll("thead")].map((row) => [...row.querySelectorAll("th")].map((cell) => cell.textContent))).toEqual([
      ["Test", "Before", "After"],
      ["Stage", "Time", "Energy", "Money"],
    ]);
    expect(root.textContent).toContain("chain sum");
    expect(root.textContent).toContain("2026-11-29 13:01 UTC");
    expect(root.textContent).not.toMatch(/accuracy_|test-after|\.911101/);
  });
});

describe("the server's sentences", () => {
  it("show code as code, and everything else as text", () => {
    const root = document.createElement("div");
    render(<Told text={"set `watts` under [machine] in `config.toml`, not a lone ` or <b>"} />, root);
    expect([...root.querySelectorAll("code")].map((code) => code.textContent)).toEqual(["watts", "config.toml"]);
    expect(root.textContent).toBe("set watts under [machine] in config.toml, not a lone ` or <b>");
  });
});
