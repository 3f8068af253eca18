import { describe, expect, it } from "vitest";
import * as format from "../src/format";
import { addressOf, idIn, questionIn } from "../src/router";
import { newestLeaf, pathTo, siblings, type Node } from "../src/tree";
import { receiptLine } from "../src/ui/Receipt";
import type { Message } from "../src/types";

describe("numbers for people", () => {
  it.each([[0.04, "0.0 s"], [3.21, "3.2 s"], [9.96, "10 s"], [59.4, "59 s"], [59.6, "1 min 0 s"], [3725, "1 h 2 min"]])(
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
  it("says it in words", () => {
    expect(receiptLine(message)).toEqual([
      "cut at the length limit", "left out the 3 oldest turns", "100 tokens", "25.0 tokens/s", "5.0 s", "310 of 412 cached", "small",
    ]);
    expect(receiptLine({ ...message, status: "stopped", usage: null, timings: null })[0]).toBe("stopped");
    expect(receiptLine({ ...message, status: "interrupted" })[0]).toBe("interrupted");
  });
});
