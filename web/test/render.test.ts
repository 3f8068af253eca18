import { beforeAll, describe, expect, it } from "vitest";
import { loadCode, loadMath } from "../src/markdown/extras";
import { sanitize } from "../src/markdown/render";
import { domOf, renderMarkdown, textOf } from "./drawing";
import corpus from "./xss.json";

/** Everything that could act, fetch or lie about where it goes. */
function dangers(html: string): string[] {
  const box = document.createElement("template");
  box.innerHTML = html;
  const found: string[] = [];
  for (const element of box.content.querySelectorAll("*")) {
    const tag = element.tagName.toLowerCase();
    const forbidden = /^(script|iframe|object|embed|base|meta|link|style|form|input|textarea|img|image|video|audio|source|use|foreignobject|animate|set|annotation-xml)$/;
    if (forbidden.test(tag)) found.push(`<${tag}>`);
    for (const { name, value } of element.attributes) {
      if (/^on/i.test(name)) found.push(`${tag} ${name}`);
      if (/^(src|srcset|srcdoc|action|formaction|xlink:href|data|poster|background)$/i.test(name)) found.push(`${tag} ${name}`);
      if (name === "id" || name === "name") found.push(`${tag} ${name}`);
      if (name === "href" && !/^(https?:\/\/|mailto:)/i.test(value)) found.push(`href ${value}`);
      if (name === "style" && /url|expression|import/i.test(value)) found.push(`style ${value}`);
    }
    if (tag === "a" && element.hasAttribute("href")) {
      if (element.getAttribute("rel") !== "noopener noreferrer" || element.getAttribute("target") !== "_blank") {
        found.push("a link that is not set apart");
      }
    }
  }
  return found;
}

describe("what a model may write", () => {
  it("the check itself sees the danger in raw HTML", () => {
    expect(dangers('<img src=x onerror="a()"><a href="javascript:a()">x</a><a href="https://e.com">y</a>')).toHaveLength(6);
  });

  for (const loaded of [false, true]) {
    describe(loaded ? "with KaTeX and highlight.js" : "before they are loaded", () => {
      beforeAll(async () => {
        if (loaded) await Promise.all([loadMath(), loadCode()]);
      });
      it.each(corpus)("%j is harmless", (attack) => {
        for (const growing of [false, true]) expect(dangers(renderMarkdown(attack, { growing }))).toEqual([]);
        expect(dangers(renderMarkdown(`[click][a] and [a]\n\n${attack}`))).toEqual([]);
        expect(dangers(renderMarkdown(`[click][a] and [a]\n\n[a]: ${attack}`))).toEqual([]);
      });
      it.each(corpus)("%j is harmless as raw HTML to the last gate", (attack) => {
        expect(dangers(sanitize(attack))).toEqual([]);
      });
    });
  }
});

describe("Markdown", () => {
  it("draws tables, lists, code and links", () => {
    const html = renderMarkdown("| a | b |\n|---|--:|\n| 1 | 2 |\n\n- x\n\n```python\nprint(1)\n```\n\nhttps://example.com/a");
    expect(html).toMatch(/<table[^>]*>/);
    expect(html).toMatch(/<li[^>]*>x<\/li>/);
    expect(html).toContain("copy-code");
    expect(html).toMatch(/<a href="https:\/\/example\.com\/a"[^>]*rel="noopener noreferrer"/);
  });
  it("keeps a single newline", () => {
    expect(renderMarkdown("a\nb")).toContain("<br>");
  });
  it("shows an image as a link", () => {
    const html = renderMarkdown("![a cat](https://example.com/cat.png)");
    expect(html).not.toContain("<img");
    expect(html).toContain("a cat (image)");
  });
  it("colours code once it is whole, and not while it grows", async () => {
    await loadCode();
    expect(renderMarkdown("```python\ndef f(): pass\n```")).toContain("hljs-keyword");
    expect(renderMarkdown("```python\ndef f(): pass", { growing: true })).not.toContain("hljs-keyword");
    expect(renderMarkdown("```nolanguage\n<b>\n```")).toContain("&lt;b&gt;");
  });
  it("typesets with KaTeX, once, without the source in it", async () => {
    await loadMath();
    const html = renderMarkdown("\\(x^2\\)");
    expect(html).toContain("katex");
    expect(html).toContain("<math");
    expect(html).not.toContain("annotation");
    expect(html).not.toContain("x^2");
  });
  it("an endless macro ends", async () => {
    await loadMath();
    const begun = performance.now();
    renderMarkdown("$$\\def\\a{\\a\\a}\\a$$");
    expect(performance.now() - begun).toBeLessThan(2000);
  });
});

describe("asterisks", () => {
  it("multiply between figures, and mean emphasis elsewhere", () => {
    expect(renderMarkdown("3 spiders 3*8=24\n2 cats 2*4=8")).toContain("3*8=24<br>\n2 cats 2*4=8");
    expect(renderMarkdown("so *this* is **bold**, 2*3")).toContain("<em>this</em> is <strong>bold</strong>, 2*3");
  });
});

describe("bold beside other scripts' punctuation", () => {
  it.each([
    ["**「太字」**です。**重要：**テスト", ["「太字」", "重要："]],
    ["**注意：**请先保存。", ["注意："]],
    ["这是**“引用”**的例子", ["“引用”"]],
    ["이것은 **한국어(영어)**는 굵다", ["한국어(영어)"]],
    ["価格は**1,000円（税込）**です", ["1,000円（税込）"]],
    ["**参照：**[リンク](https://example.com)を見て", ["参照："]],
  ])("%s", (source, bold) => {
    const dom = domOf(renderMarkdown(source));
    expect([...dom.querySelectorAll("strong")].map((one) => one.textContent)).toEqual(bold);
    expect(dom.textContent).not.toContain("*");
  });
  it("leaves sums and English as they were", () => {
    expect(domOf(renderMarkdown("2*3*4 and a * b * c and **bold**")).querySelectorAll("em, strong")).toHaveLength(1);
  });
});

describe("task lists", () => {
  it("are drawn as boxes that have names", () => {
    const dom = domOf(renderMarkdown("- [x] **done** thing\n- [ ] to do\n  1. [X] inner\n\n     more\n"));
    expect([...dom.querySelectorAll("[role=img]")].map((box) => box.getAttribute("aria-label"))).toEqual(["done", "to do", "done"]);
    expect(dom.querySelector("li")!.textContent!.trim()).toBe("☑ done thing");
    expect(dom.querySelectorAll("li.task")).toHaveLength(3);
    expect(dom.textContent).not.toContain("[");
  });
  it.each(["- [x]no space", "- [x]", "- [y] else", "- \\[x] escaped", "[x] no list", "- `[x]` code", "- text [x] late"])(
    "%s is none",
    (source) => expect(domOf(renderMarkdown(source)).querySelector(".task, .box")).toBeNull(),
  );
  it("keeps links that look like boxes", () => {
    const dom = domOf(renderMarkdown("- [x](https://example.com) a link\n- [x]: plain words\n- [x] task\n\n[x]: https://example.com/x\n"));
    expect(dom.querySelectorAll(".box")).toHaveLength(1);
    expect(dom.querySelector("a")!.getAttribute("href")).toBe("https://example.com");
    expect(textOf(renderMarkdown("- [x]: plain words"))).toBe("[x]: plain words");
  });
});

describe("direction", () => {
  const dirOf = (source: string, selector: string) =>
    [...domOf(renderMarkdown(source)).querySelectorAll(selector)].map((one) => one.getAttribute("dir"));
  it("paragraphs, headings and cells are each told by their own first letter", () => {
    for (const [source, tag] of [["مرحبا", "p"], ["# שלום", "h1"], ["| a |\n|---|\n| سلام |", "td"]] as const) {
      expect(dirOf(source, tag)).toEqual(["auto"]);
    }
  });
  it("lists and quotes run with what is in them, however deep", () => {
    expect(dirOf("- **مرحبا** world\n- two\n", "ul, li")).toEqual(["rtl", "rtl", "ltr"]);
    expect(dirOf("1. שלום\n\n   עוד\n\n2. `code` פה\n", "ol, li")).toEqual(["rtl", "rtl", "rtl"]);
    expect(dirOf("> - سلام\n", "blockquote, ul, li")).toEqual(["rtl", "rtl", "rtl"]);
    expect(dirOf("> English\n", "blockquote")).toEqual(["ltr"]);
    expect(dirOf("| اسم | x |\n|---|---|\n| 1 | 2 |", ".table")).toEqual(["rtl"]);
    expect(dirOf("- 12\n", "li")).toEqual(["auto"]);
    expect(dirOf("- English\n  - عربي\n", "li")).toEqual(["ltr", "rtl"]);
  });
  it("code never does", () => {
    expect(dirOf("- سلام\n\n  ```\n  x = 1\n  ```\n", "figure")).toEqual(["ltr"]);
  });
});
