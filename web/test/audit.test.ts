import { describe, expect, it } from "vitest";
import { changesIn, positionOf, searchOf, valueAt } from "../src/audit/changes";
import type { Input } from "../src/audit/shape";
import { commandFor, headlineWords, inputWords, statusWords, swingWords } from "../src/audit/words";

const input = (name: string, path: string, unit: string): Input => ({
  name, path, label: name, quantity: { value: 1, unit, basis: "declared", how: "" }, low: 0.1, high: 10, log: true, assumed: false,
});

describe("what an address carries", () => {
  it("is numbers and plain words by path, there and back", () => {
    const changes = changesIn("?set=run.gpu_hours:1.2e6&set=hardware.chip:A100-80-SXM&set=run.mfu:0.4");
    expect([...changes]).toEqual([["run.gpu_hours", 1_200_000], ["hardware.chip", "A100-80-SXM"], ["run.mfu", 0.4]]);
    expect([...changesIn(searchOf(changes))]).toEqual([...changes]);
    expect(searchOf(new Map())).toBe("");
    expect(searchOf(new Map([["data.tokens", 1.48e13]]))).toBe("?set=data.tokens:14800000000000");
    expect([...changesIn(searchOf(new Map([["run.flops", 3.2859321e24]])))]).toEqual([["run.flops", 3.28593e24]]);
  });
  it.each([
    "set=<script>:1", "set=run.mfu:<img src=x>", "set=run.mfu:0x10", "set=run.mfu:", "set=run.mfu: ", "set=run.mfu:1e999", "set=:1",
    "set=__proto__:1", "set=RUN:1", `set=${"a".repeat(100)}:1`, "set=run.mfu:$(id)", "set=run.mfu:a'b", "set=run.mfu:`id`", "x=1",
    `set=hardware.chip:${"A".repeat(60)}`,
  ])("and nothing else: %s", (search) => expect(changesIn(`?${search}`).size).toBe(0));
  it("is bounded", () => {
    const many = Array.from({ length: 100 }, (_, index) => `set=a${index}:1`).join("&");
    expect(changesIn(`?${many}`).size).toBe(40);
    expect(changesIn(`?${many}&x=${"y".repeat(4000)}`).size).toBe(0);
  });
});

describe("a slider", () => {
  it.each([[0.1, 10, true], [0.01, 1, false], [1e11, 1e15, true]])("from %d to %d reaches both ends and comes back", (low, high, log) => {
    expect(valueAt(0, low, high, log)).toBe(low);
    expect(valueAt(1, low, high, log)).toBe(high);
    for (const position of [0, 0.2, 0.5, 0.77, 1]) {
      expect(positionOf(valueAt(position, low, high, log), low, high, log)).toBeCloseTo(position, 1);
    }
  });
  it("stays within its ends, whatever it is given", () => {
    expect(positionOf(1000, 1, 10, true)).toBe(1);
    expect(positionOf(-5, 1, 10, true)).toBe(0);
    expect(positionOf(5, 5, 5, false)).toBe(0);
    expect(valueAt(0.5, 1, 100, true)).toBe(10);
  });
});

describe("words of the audit", () => {
  it("say shares as percent and the rest with units", () => {
    expect(inputWords(input("mfu", "run.mfu", ""), 0.3894)).toBe("38.9%");
    expect(inputWords(input("pue", "run.pue", ""), 1.1)).toBe("1.1");
    expect(inputWords(input("step_time", "run.step_time", "s"), 19.926)).toBe("19.9 s");
    expect(inputWords(input("price", "run.price", "USD/(chip*h)"), 2)).toBe("$2.00 per chip-hour");
    expect(swingWords("mfu", 0.195, 0.511)).toBe("19.5–51.1%");
    expect(swingWords("gpu_hours", 7.33e6, 13.2e6)).toBe("7.33–13.2M chip-hours");
    expect(swingWords("something_new", 1, 2)).toBe("1–2");
  });
  it("do not say a status twice", () => {
    expect(headlineWords("Plausible: 39.1% of the peak.")).toBe("39.1% of the peak.");
    expect(headlineWords("Scope mismatch: it counts chips.")).toBe("It counts chips.");
    expect(statusWords("scope-mismatch")).toBe("scope mismatch");
  });
  it("give the same as a command", () => {
    const inputs = [input("gpu_hours", "run.gpu_hours", "chip*h")];
    expect(commandFor("v3", new Map<string, number | string>([["run.gpu_hours", 1.2e6], ["hardware.chip", "H20"]]), inputs)).toBe(
      "clearseek audit v3 --set 'run.gpu_hours=1200000 chip*h' --set 'hardware.chip=H20'",
    );
    expect(commandFor("v3", new Map(), inputs)).toBe("clearseek audit v3");
  });
});
