import { describe, expect, it } from "vitest";
import MarkdownIt from "markdown-it";
import { math } from "../src/markdown/math";

/** The formulas found in a text, as "kind:source". */
function formulas(text: string, growing = false): string[] {
  const md = new MarkdownIt({ html: false, breaks: true });
  math(md);
  const tokens = md.parse(text, { growing }).flatMap((token) => [token, ...(token.children ?? [])]);
  return tokens.filter((token) => token.type.startsWith("math")).map((token) => `${token.type.slice(5)}:${token.content}`);
}

describe("money is not math", () => {
  it.each([
    "It costs $100 today and $115 tomorrow.",
    "$100 ... $115",
    "between $5 and $10, or $5-$10",
    "US$5 and AU$6_7",
    "a $ b $ c",
    "$ x = 1 $",
    "$HOME and $PATH_NAME",
    "\\$x^2\\$",
    "`\\(x\\)` and `$$y$$`",
    "    \\[ indented code \\]",
    "```\n\\[ x \\]\n$$ y $$\n```",
    "\\\\(not math\\\\)",
    "empty \\(\\) and $$$$",
    "an open \\( without its end",
  ])("%j", (text) => {
    expect(formulas(text)).toEqual([]);
  });
});

describe("math is math", () => {
  it.each([
    ["so \\(x^2\\) it is", ["inline:x^2"]],
    ["\\(a\\) and \\(b\\)", ["inline:a", "inline:b"]],
    ["**bold \\(a_1\\) and a_2**", ["inline:a_1"]],
    ["in line $$x+1$$ too", ["display:x+1"]],
    ["in line \\[x+1\\] too", ["display:x+1"]],
    ["$x^2$ and $n$ and $\\alpha$", ["inline:x^2", "inline:n", "inline:\\alpha"]],
    ["costs $5, so $p = 5$.", ["inline:p = 5"]],
    ["\\[ x \\]", ["block:x"]],
    ["$$\nx\n= y\n$$", ["block:x\n= y"]],
    ["\\[\na\n\n- b\n\\]", ["block:a\n\n- b"]],
    ["a paragraph\n\\[ x \\]\nand more", ["block:x"]],
    ["- item\n  \\[\n  x\n  \\]\n- next", ["block:x"]],
    ["> \\[ x \\]", ["block:x"]],
    ["\\[ x \\] is a formula", ["display:x"]],
    ["\\( \\text{a \\\\) b} \\)", ["inline:\\text{a \\\\) b}"]],
    ["| \\(a\\) | b |\n|---|---|\n| 1 | $$c$$ |", ["inline:a", "display:c"]],
  ])("%j", (text, expected) => {
    expect(formulas(text)).toEqual(expected);
  });
  it("brackets stay literal where no formula is", () => {
    const md = new MarkdownIt();
    math(md);
    expect(md.render("\\[not closed")).toContain("[not closed");
  });
});

describe("while the text grows", () => {
  it("an open display waits for its end", () => {
    expect(formulas("\\[\nx\n\n# not a heading", true)).toEqual(["pending:x\n\n# not a heading"]);
    expect(formulas("\\[\nx\n\n# a heading", false)).toEqual([]);
  });
});
