import { describe, expect, it } from "vitest";
import * as format from "../src/format";
import { addressOf, auditAddress, idIn, placeIn, questionIn } from "../src/router";
import { newestLeaf, pathTo, siblings, type Node } from "../src/tree";
import { resetWords } from "../src/books/Budget";
import { everyDay } from "../src/books/days";
import type { Row } from "../src/books/shape";
import { amount, type Quantity } from "../src/quantity";
import { receiptItems, receiptLine } from "../src/ui/Receipt";
import type { Message, Spent } from "../src/types";

describe("numbers for people", () => {
  it.each([[0, "0.0 s"], [0.04, "<0.1 s"], [0.06, "0.1 s"], [3.21, "3.2 s"], [9.96, "10 s"], [59.4, "59 s"], [59.6, "1 min 0 s"], [3725, "1 h 2 min"]])(
    "%d seconds are %s",
    (seconds, words) => expect(format.duration(seconds)).toBe(words),
  );
  it.each([[134_515_008, "135M"], [1_777_088_000, "1.8B"], [7_000_000_000, "7B"], [671_026_419_200, "671B"], [999_800_000, "1B"]])(
    "%d parameters are %s",
    (count, words) => expect(format.parameters(count)).toBe(words),
  );
  it("counts, plurals, rates", () => {
    expect(format.plural(1, "token")).toBe("1 token");
    expect(format.plural(2040, "token")).toBe("2,040 tokens");
    expect(format.rate(100, 0)).toBeNull();
    expect(format.rate(100, 4)).toBe("25.0 tokens/s");
    expect([1, 2, 3, 4, 11, 12, 21, 112].map(format.ordinal)).toEqual(
      ["1st", "2nd", "3rd", "4th", "11th", "12th", "21st", "112th"],
    );
    expect(format.thoughtFor(0.2)).toBe("under a second");
    expect(format.thoughtFor(1.9)).toBe("1 s");
  });
  it("says what happens before the first token", () => {
    expect(format.progressWords({ state: "reading", total: 2040, cached: 100, processed: 812 })).toBe("reading 812 of 2,040 tokens");
    expect(format.progressWords({ state: "queued", position: 2 })).toBe("waiting, 2nd in line");
    expect(format.progressWords({ state: "queued", position: 1 })).toBe("waiting, next in line");
  });
});

describe("days", () => {
  const now = new Date(2026, 10, 23, 14, 0).getTime();
  it.each([
    [new Date(2026, 10, 23, 0, 0), "Today"],
    [new Date(2026, 10, 22, 23, 59), "Yesterday"],
    [new Date(2026, 10, 20, 12, 0), "Friday"],
    [new Date(2026, 10, 5, 12, 0), "5 November"],
    [new Date(2026, 5, 5, 12, 0), "June"],
    [new Date(2025, 5, 5, 12, 0), "June 2025"],
  ])("%s is %s", (day, words) => expect(format.dayOf(day.getTime(), now)).toBe(words));
  it("groups what follows each other", () => {
    const groups = format.byDay([now, now - 1000, now - 86_400_000], (time) => time, now);
    expect(groups.map(([day, items]) => [day, items.length])).toEqual([["Today", 2], ["Yesterday", 1]]);
  });
});

describe("search hits", () => {
  it("are cut out of a snippet", () => {
    expect(format.snippetParts("the \uE000blue\uE001 sky is \uE000blue\uE001")).toEqual([
      { text: "the ", hit: false }, { text: "blue", hit: true }, { text: " sky is ", hit: false }, { text: "blue", hit: true },
    ]);
    expect(format.snippetParts("nothing")).toEqual([{ text: "nothing", hit: false }]);
  });
});

describe("addresses", () => {
  it("name a conversation", () => {
    expect(idIn("/c/abc")).toBe("abc");
    expect(idIn(addressOf("a/b"))).toBe("a/b");
    expect(idIn("/")).toBeNull();
    expect(idIn("/c/")).toBeNull();
    expect(idIn("/c/%E0%A4%A")).toBeNull();
    expect(idIn("/books")).toBeNull();
  });
  it("name the other places", () => {
    expect(placeIn("/books")).toEqual({ kind: "books" });
    expect(placeIn("/bookshop")).toEqual({ kind: "chat" });
    expect(placeIn("/audit/")).toEqual({ kind: "audit", claim: null });
    expect(placeIn(auditAddress("deepseek-v3"))).toEqual({ kind: "audit", claim: "deepseek-v3" });
    expect(placeIn("/audit/%E0%A4%A")).toEqual({ kind: "audit", claim: null });
    expect(placeIn("/audit/a/b")).toEqual({ kind: "audit", claim: null });
  });
  it("may carry a question, bounded and without control characters", () => {
    expect(questionIn("?q=why%20blue%00%0Aindeed")).toBe("why blue\nindeed");
    expect(questionIn("?x=1")).toBeNull();
    expect(questionIn(`?q=${"a".repeat(30_000)}`)).toHaveLength(20_000);
  });
});

describe("the tree", () => {
  const nodes = new Map<string, Node>(
    ([["q1", null, 1], ["a1", "q1", 2], ["a2", "q1", 3], ["q2", "a2", 4], ["a3", "q2", 5], ["q1b", null, 6]] as const).map(
      ([id, parent_id, created_at]) => [id, { id, parent_id, created_at }],
    ),
  );
  it("has paths, siblings and newest leaves", () => {
    expect(pathTo(nodes, "a3")).toEqual(["q1", "a2", "q2", "a3"]);
    expect(pathTo(nodes, "gone")).toEqual([]);
    expect(siblings(nodes, "a1")).toEqual(["a1", "a2"]);
    expect(siblings(nodes, "q1b")).toEqual(["q1", "q1b"]);
    expect(newestLeaf(nodes, "q1")).toBe("a3");
    expect(newestLeaf(nodes, "a1")).toBe("a1");
  });
  it("a circle does not hang the page", () => {
    const circle = new Map<string, Node>([
      ["a", { id: "a", parent_id: "b", created_at: 1 }],
      ["b", { id: "b", parent_id: "a", created_at: 2 }],
    ]);
    expect(pathTo(circle, "a")).toHaveLength(2);
    expect(["a", "b"]).toContain(newestLeaf(circle, "a"));
  });
});

describe("the receipt", () => {
  const message = {
    status: "complete", finish_reason: "length", dropped_turns: 3, model: "small",
    usage: { prompt_tokens: 412, cached_tokens: 310, completion_tokens: 100, reasoning_tokens: 40 },
    timings: { queue: 0, prompt: 1, decode: 4 },
  } as Message;
  const texts = (of: Message) => receiptLine(of).map(({ text }) => text);
  const unknown = (unit: string): Quantity => ({ value: null, unit, basis: "unknown", how: "nobody said" });
  const spent: Spent = {
    wall: { value: 5, unit: "s", basis: "measured", how: "clock" },
    cpu: { value: 9, unit: "s", basis: "measured", how: "clock" },
    energy: { value: 94.4, unit: "J", basis: "modelled", how: "watts x use x time" },
    money: { value: 0.000131, unit: "USD", basis: "declared", how: "hours x price" },
    entry: { seq: 7, hash: "ab".repeat(32) },
  };
  it("says it in words", () => {
    expect(texts(message)).toEqual([
      "cut at the length limit", "left out the 3 oldest turns", "100 tokens", "5.0 s", "small",
    ]);
    expect(texts({ ...message, status: "stopped", usage: null, timings: null })[0]).toBe("stopped");
    expect(texts({ ...message, status: "interrupted" })[0]).toBe("interrupted");
  });
  it("never says that an answer took no time, and says whose clock it was", () => {
    const line = (timings: Message["timings"], more: Partial<Message> = {}) =>
      receiptLine({ ...message, spent, timings, ...more }).filter(({ text }) => text.endsWith(" s"));
    const remote = { queue: 0, prompt: 3, decode: 32, clock: "server" } as const;
    expect(line(remote)).toEqual([
      { text: "35 s", basis: "measured", how: "from the question to the end, by the server's clock" },
    ]);
    expect(line({ ...remote, clock: "engine" })[0]?.how).toBe("waiting by the server's clock, reading and writing by the engine's");
    expect(line({ queue: 1.2e-5, prompt: 0, decode: 0 })).toEqual([{ text: "5.0 s", basis: "measured", how: "clock" }]);
    expect(line({ queue: null, prompt: null, decode: null, clock: null })).toEqual([{ text: "5.0 s", basis: "measured", how: "clock" }]);
    expect(line({ queue: null, prompt: 13, decode: null, clock: "server" }, { status: "stopped" })[0]?.text).toBe("13 s");
    const rows = (timings: Message["timings"]) => receiptItems({ ...message, timings }).map(([what, part]) => `${what}: ${part.text}`);
    expect(rows(remote)).toEqual(expect.arrayContaining(["Until it began: 3.0 s", "From there to the end: 32 s"]));
    expect(rows(remote).join()).not.toMatch(/Speed|Reading|Writing/);
    expect(rows({ ...remote, decode: null }).join()).toMatch(/Until it came, all at once: 3.0 s/);
    expect(rows({ queue: 0, prompt: 0.2, decode: 4, clock: "engine" })).toEqual(
      expect.arrayContaining(["Reading the prompt: 0.2 s", "Writing: 4.0 s", "Speed: 25.0 tokens/s"]),
    );
    expect(rows({ queue: 0, prompt: 0, decode: 0 }).join()).not.toMatch(/0\.0 s/);
  });
  it("calls no reuse measured of which a remote engine said nothing", () => {
    const usage = { prompt_tokens: 9, cached_tokens: 0, completion_tokens: 100, reasoning_tokens: 0 };
    const timings = { queue: 0, prompt: 3, decode: 32, clock: "server" } as const;
    const rows = (more: Partial<Message>) => receiptItems({ ...message, usage, timings, ...more }).map(([what]) => what);
    expect(rows({})).not.toContain("Reused from the cache");
    expect(rows({ usage: { ...usage, cached_tokens: 4 } })).toContain("Reused from the cache");
    expect(rows({ timings: { ...timings, clock: "engine" } })).toContain("Reused from the cache");
  });
  it("does not call all tokens the answer where the thinking was not counted apart", () => {
    const usage = { prompt_tokens: 9, cached_tokens: 0, completion_tokens: 100, reasoning_tokens: 0 };
    const rows = (more: Partial<Message>) => receiptItems({ ...message, usage, ...more }).map(([what]) => what);
    expect(rows({ thinking: "Hm." })).toContain("Thinking and answer");
    expect(rows({ thinking: null })).toContain("Answer");
    expect(rows({ thinking: "Hm.", usage: { ...usage, reasoning_tokens: 4 } })).toEqual(expect.arrayContaining(["Thinking", "Answer"]));
  });
  it("has joules and money with what they rest on", () => {
    const line = receiptLine({ ...message, spent });
    expect(line).toContainEqual({ text: "94.4 J", basis: "modelled", how: "watts x use x time" });
    expect(line).toContainEqual({ text: "$0.00013", basis: "declared", how: "hours x price" });
  });
  it("never puts a number where none is known", () => {
    expect(texts({ ...message, spent: { ...spent, money: unknown("USD") } })).toContain("money unknown");
    expect(texts({ ...message, spent: { ...spent, money: unknown("USD") } })).toContain("94.4 J");
    const neither = texts({ ...message, spent: { ...spent, money: unknown("USD"), energy: unknown("J") } });
    expect(neither).toContain("energy and money unknown");
    expect(neither.join()).not.toMatch(/\$|0 J/);
  });
});

describe("quantities", () => {
  const of = (value: number | null, unit: string, low?: number, high?: number): Quantity => ({
    value, unit, basis: value === null ? "unknown" : "modelled", how: "", ...(low === undefined ? {} : { low, high: high! }),
  });
  it.each<[Quantity, string]>([
    [of(null, "USD"), "unknown"],
    [of(0, "USD"), "$0"], [of(0.000131, "USD"), "$0.00013"], [of(0.0999, "USD"), "$0.10"], [of(0.04, "USD"), "$0.04"], [of(0.043, "USD"), "$0.043"], [of(12.5, "USD"), "$12.50"],
    [of(5_576_000, "USD"), "$5.58M"], [of(0.1, "USD/h"), "$0.10 per hour"], [of(0.25, "USD/kWh"), "$0.25 per kWh"],
    [of(0.0003, "USD", 0.0002, 0.0004), "$0.00020–0.00040"],
    [of(94.4, "J"), "94.4 J"], [of(9440, "J"), "9.44 kJ"], [of(7.2e6, "J"), "2 kWh"], [of(100, "J", 90, 120), "90–120 J"],
    [of(1, "token"), "1 token"], [of(12_345, "token"), "12,345 tokens"], [of(14.8e12, "token"), "14.8T tokens"],
    [of(3.2859e24, "FLOP"), "3.29 × 10²⁴ FLOP"], [of(2.5e11, "FLOP/token"), "250 GFLOP/token"], [of(2_664_000, "chip*h"), "2.66M chip-hours"],
    [of(38.94, "percent"), "38.9%"], [of(65, "W"), "65 W"], [of(2048, "chip"), "2,048 chips"], [of(1e-7, ""), "1 × 10⁻⁷"],
    [of(1_500_000, "B"), "1.5 MB"],
  ])("%j is %s", (quantity, words) => expect(amount(quantity)).toBe(words));
});

describe("days of the books", () => {
  const row = (key: string) => ({ key, label: key }) as Row;
  it("have no gaps and are bounded", () => {
    const days = everyDay([row("2026-11-21"), row("2026-11-23")], "2026-11-23", 7);
    expect(days.map(({ day }) => day)).toEqual([17, 18, 19, 20, 21, 22, 23].map((day) => `2026-11-${day}`));
    expect(days.filter(({ row }) => row).map(({ day }) => day)).toEqual(["2026-11-21", "2026-11-23"]);
    expect(everyDay([row("nonsense")], "2026-03-01", 365)).toHaveLength(365);
  });
  it("say when a budget begins anew", () => {
    const now = new Date(2026, 10, 23, 19, 0).getTime();
    expect(resetWords(new Date(2026, 10, 24).getTime() / 1000, now)).toBe("at 00:00, in 5 hours");
    expect(resetWords(new Date(now + 20 * 60_000).toISOString(), now)).toBe("at 19:20, in 20 minutes");
    expect(resetWords(null, now)).toBeNull();
    expect(resetWords("soon", now)).toBeNull();
  });
});
