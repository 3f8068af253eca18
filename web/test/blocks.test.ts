import { describe, expect, it } from "vitest";
import { split, Splitter } from "../src/markdown/blocks";
import { renderMarkdown } from "./drawing";

const TEXT = `# Title

A paragraph
of two lines.
\\[
x^2

+ 1
\\]
1. one

2. two
   - inner

\`\`\`python
def f():

    return 1
\`\`\`
| a | b |
|---|---|
| 1 | 2 |

> quoted

Setext
------

The end, with \\(y\\).`;

function all(text: string): string[] {
  const { done, tail } = split(text, false);
  return [...done, tail];
}

describe("split", () => {
  it("loses nothing", () => {
    expect(all(TEXT).join("\n")).toBe(TEXT);
    expect(all(TEXT)).toHaveLength(9);
  });
  it("blocks drawn one by one are the text drawn at once", () => {
    const squeeze = (html: string) => html.replace(/\s+/g, " ").trim();
    expect(squeeze(all(TEXT).map((block) => renderMarkdown(block)).join(" "))).toBe(squeeze(renderMarkdown(TEXT)));
  });
});

describe("Splitter", () => {
  it.each([1, 2, 3, 7, 50])("pieces of %i give the blocks of the whole; finished ones never change", (size) => {
    const splitter = new Splitter();
    let before: readonly string[] = [];
    for (let end = size; end < TEXT.length + size; end += size) {
      const { done, tail } = splitter.next(TEXT.slice(0, end));
      expect(done.slice(0, before.length)).toEqual(before);
      expect([...done, tail].join("\n")).toBe(TEXT.slice(0, end));
      before = done;
    }
    const { done, tail } = splitter.next(`${TEXT}\n`);
    expect([...done, tail.trim()]).toEqual(all(TEXT));
  });
  it("starts again for another text", () => {
    const splitter = new Splitter();
    splitter.next("a\n\nb\n\nc");
    expect(splitter.next("x\n\ny\n")).toMatchObject({ done: ["x\n"], tail: "y\n" });
  });
});
