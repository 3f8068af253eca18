import { describe, expect, it, vi } from "vitest";
import { Composition } from "../src/markdown/composition";
import * as render from "../src/markdown/render";
import { domOf, linksOf, plain, renderMarkdown, streamed, textOf, times } from "./drawing";

vi.mock(import("../src/markdown/render"), async (original) => {
  const real = await original();
  return { ...real, draw: vi.fn(real.draw), parse: vi.fn(real.parse) };
});

describe("what people saw repeated", () => {
  it.each([
    ["a dialogue", "Here is a dialogue:\n\n[Alice]: Hello Bob, how are you?\n\n[Bob]: I am fine, thanks.\n\n```text\n[INFO]: server started ok\n```\n\nThe end.", ["Hello Bob", "I am fine", "server started ok"]],
    ["a footnote", "A[^1].\n\nB.\n\n[^1]: The note.", ["The note"]],
    ["code", "One.\n\n```\n[x]: y z\n```\n\nTwo.", ["[x]: y z"]],
    ["references", "See [1].\n\nMore.\n\n[1]: Smith, J. (2020). A paper.\n[2]: Doe, J. Another.", ["Smith", "Doe"]],
  ])("%s is written once", (_, text, once) => {
    for (const html of [renderMarkdown(text), streamed(text, () => 3)]) {
      for (const words of once) expect(times(textOf(html), words)).toBe(1);
    }
  });
});

describe("link definitions", () => {
  it("serve the whole text; the first of a name counts, in any case of letters", () => {
    const html = renderMarkdown("> [The Docs]\n\n- a\n\n  [THE  docs]: https://example.com/first 'T'\n\n[the docs]: https://example.com/second\n");
    expect(linksOf(html)).toEqual(["https://example.com/first"]);
    expect(domOf(html).querySelector("a")!.title).toBe("T");
  });
  it("that come late reach what stands before them, and nothing else is drawn again", () => {
    const composition = new Composition("t");
    const text = "See [docs].\n\nSome [brackets] here.\n\nPlain.\n\n";
    composition.next(text, true);
    const before = composition.next(`${text}\n`, true).blocks;
    vi.mocked(render.parse).mockClear();
    const after = composition.next(`${text}\n[docs]: https://example.com/docs\n`, true).blocks;
    expect(after[0]).toContain('href="https://example.com/docs"');
    expect(after.slice(1, 3)).toEqual(before.slice(1, 3));
    const read = vi.mocked(render.parse).mock.calls.map(([source]) => source.trim());
    // The sentence that refers to it, the tail that was, and the tail that is.
    expect(read).toEqual(["See [docs].", "Plain.", "[docs]: https://example.com/docs"]);
  });
  it("may grow a title in the next line", () => {
    const text = "See [d].\n\n[d]: https://example.com/\n'the\ntitle'\n\nEnd.";
    let half = "";
    streamed(text, () => 1, (html) => (half = html));
    for (const html of [half, renderMarkdown(text)]) {
      expect(domOf(html).querySelector("a")!.title).toBe("the\ntitle");
      expect(plain(html)).toBe("See d. End.");
    }
  });
  it("never hide what is not an address", () => {
    expect(textOf(renderMarkdown("[a]: javascript:alert(1)\n\n[b]: relative\n\n[c]: <two words>"))).toBe(
      "[a]: javascript:alert(1) [b]: relative [c]: <two words>",
    );
  });
});

describe("footnotes", () => {
  const text = "One[^b] two[^a] three[^b].\n\n[^a]: First note.\n\n    - with a list\n\n[^b]: Second **note**[^c].\n\nThe end.\n\n[^c]: Third.\n[^never]: Unused.\n[^a]: Again.\n";
  const dom = domOf(renderMarkdown(text));
  const items = [...dom.querySelectorAll("section.notes > ol > li")];
  it("stand once, at the end, in the order in which they are referred to", () => {
    expect(items.map((item) => item.textContent!.replaceAll("↩︎", "").replace(/\s+/g, " ").trim())).toEqual([
      "Second note3.", "First note. with a list", "Third.", "Unused.", "Again.",
    ]);
    expect(dom.lastElementChild!.className).toBe("notes");
  });
  it("and what refers to them lead to each other", () => {
    const references = [...dom.querySelectorAll<HTMLAnchorElement>(".note-ref a")];
    expect(references.map((link) => link.textContent)).toEqual(["1", "2", "1", "3"]);
    for (const link of references) expect(dom.querySelector(link.getAttribute("href")!)!.tagName).toBe("LI");
    const back = [...dom.querySelectorAll<HTMLAnchorElement>(".note-back")];
    expect(back.map((link) => dom.querySelector(link.getAttribute("href")!))).toEqual([references[0], references[2], references[1], references[3]]);
    const names = back.map((link) => link.getAttribute("aria-label"));
    expect(new Set(names).size).toBe(names.length);
    expect(new Set([...dom.querySelectorAll("[id]")].map(({ id }) => id)).size).toBe(dom.querySelectorAll("[id]").length);
  });
  it("of two texts on a page have different addresses", () => {
    const html = (page: string) => new Composition(page).next("A[^1]\n\n[^1]: B", false).blocks.join("");
    expect(linksOf(html("P0-1"))).not.toEqual(linksOf(html("P0-2")));
  });
  it("inside each other end", () => {
    const html = renderMarkdown("A[^1]\n\n[^1]: self[^1] and [^2]\n[^2]: back to [^1]");
    expect(domOf(html).querySelectorAll("section.notes li")).toHaveLength(2);
  });
  it("nobody can forge their addresses", () => {
    for (const attack of ["[x](#note-t-1)", "<a id='note-t-1'>", "[x]: #note-t-1\n\n[x]", "[^1\"onclick=a]: x\n\ny[^1\"onclick=a]"]) {
      const drawn = domOf(renderMarkdown(attack));
      for (const link of drawn.querySelectorAll("a, [id]")) expect(link.closest(".notes, .note-ref"), attack).not.toBeNull();
      expect(drawn.querySelector("[onclick]")).toBeNull();
    }
    expect(domOf(render.sanitize('<b id="app"></b><span id="note-x">a</span><a href="#app">b</a>')).querySelectorAll("#app, [href]")).toHaveLength(0);
  });
});

describe("streaming stays cheap", () => {
  it("a finished block is read and drawn once more than it needs, whatever follows it", () => {
    const blocks = Array.from({ length: 40 }, (_, index) => `Paragraph ${index} with [^n] and [link] and *stars*.`);
    const text = `${blocks.join("\n\n")}\n\n`;
    vi.mocked(render.parse).mockClear();
    const composition = new Composition("t");
    let steps = 0;
    for (let end = 20; end <= text.length; end += 20, steps++) composition.next(text.slice(0, end), true);
    // One for the tail at each step, and one for each block when it is finished.
    expect(vi.mocked(render.parse).mock.calls.length).toBeLessThanOrEqual(steps + blocks.length + 1);
    vi.mocked(render.parse).mockClear();
    composition.next(text, false);
    expect(vi.mocked(render.parse).mock.calls.length).toBeLessThanOrEqual(2);
  });
});
