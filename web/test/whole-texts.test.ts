import MarkdownIt from "markdown-it";
import footnote from "markdown-it-footnote";
import { describe, expect, it, vi } from "vitest";
import { noteReferences, numberNotes, takeNotes } from "../src/markdown/notes";
import * as render from "../src/markdown/render";
import { domOf, linksOf, plain, renderMarkdown, streamed, textOf, times } from "./drawing";

// KaTeX and highlight.js would arrive somewhere in the middle, and KaTeX says everything twice, for the eye and the ear.
vi.mock(import("../src/markdown/extras"), async (original) => ({ ...(await original()), wantMath: () => {}, wantCode: () => {} }));

/** The same rules over the text in one piece. */
function atOnce(text: string): string {
  const env = render.newEnv(false);
  const { body, notes } = takeNotes(render.parse(text, env));
  const placed = numberNotes("t", [noteReferences(body)], notes);
  return render.draw(body, env) + placed.map(({ tokens }) => render.draw(tokens, env)).join("");
}

const letters = (html: string) => plain(html).replace(/\s+/g, "");

/** What stands in answers, each with the words that must be read exactly once. */
type Maker = (word: () => string, label: () => string) => string;
const TEXTS: Maker[] = [
  (w) => `${w()} ${w()}.`,
  (w) => `# ${w()}`,
  (w) => `${w()}\n===`,
  (w, l) => `[${w()}]: ${w()} how are you?\n\n[${l()}]: ${w()} I am fine, thanks.`,
  (w) => `[INFO]: ${w()} started ok\n[WARN]: ${w()} is slow`,
  (w, l) => `\`\`\`text\n[INFO]: ${w()} ok\n[${l()}]: https://example.com/${w()}\n[^1]: ${w()}\n\`\`\``,
  (w, l) => `~~~\n[${l()}]: https://example.com/${w()}\n\`\`\`\n${w()}\n~~~`,
  (w, l) => `\`\`\`\`md\n\`\`\`\n[${l()}]: https://e.com/${w()}\n\`\`\`\n\`\`\`\``,
  (w, l) => `para ${w()}\n\n    [${l()}]: https://example.com/${w()}\n\n    [^1]: ${w()}`,
  (w, l) => `<div>\n[${l()}]: ${w()} inside\n</div>`,
  (w) => `\\[\n\\text{${w()}} [a]: b\n\\]`,
  (w) => `$$\n[x]: ${w()}\n$$`,
  (w, l) => `> ${w()}\n>\n> [${l()}]: https://example.com/a\n>\n> ${w()}`,
  (w, l) => `- ${w()}\n\n  [${l()}]: https://example.com/b\n- ${w()} [${l()}]`,
  (w, l) => `${w()} [${l()}] ${w()} [text ${w()}][${l()}] [${w()}][]`,
  (_, l) => `[${l()}]: https://example.com/c`,
  (_, l) => `[${l()}]: https://example.com/d "a title\nof two lines"`,
  (_, l) => `[${l()}]:\nhttps://example.com/e\n'a title'`,
  (w, l) => `[${l()}]: https://example.com/f\n"no title ${w()}`,
  (_, l) => `[${l()}]: <https://example.com/with spaces>`,
  (w) => `[a]: <${w()} with spaces>`,
  (w) => `[1]: ${w()}, J. (2020). A paper. https://example.com/p`,
  (w, l) => `${w()}[^${l()}] ${w()}[^${l()}].`,
  (w, l) => `[^${l()}]: ${w()} the note.`,
  (w, l) => `[^${l()}]: ${w()}\n\n    ${w()} second paragraph\n\n    \`\`\`\n    ${w()} code\n    \`\`\``,
  (w, l) => `[^${l()}]: ${w()} refers to[^${l()}]\n${w()} lazily`,
  (w) => `2^[${w()}] stays`,
  (w, l) => `- [x] ${w()}\n- [ ] ${w()}[^${l()}]\n- [x]: ${w()}`,
  (w, l) => `| ${w()} | b |\n|---|---|\n| [${l()}] | ${w()}[^${l()}] |`,
  (w, l) => `> [^${l()}]: ${w()} quoted note\n\n1. ${w()}\n   [^${l()}]: ${w()} listed note`,
  (w) => `![${w()}[^1]](https://example.com/i.png)`,
  (w) => `- ${w()}\n\n\n- ${w()}\n2. ${w()}`,
  (w) => `---\n${w()}\n---`,
];
const LABELS = ["1", "2", "a", "A", "b c", "Ä", "x", "note"];

function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function madeUp(seed: number): { text: string; words: string[]; next: () => number } {
  const next = random(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
  const words: string[] = [];
  const word = () => {
    words.push(`word${words.length}w`);
    return words.at(-1)!;
  };
  const parts = Array.from({ length: 1 + Math.floor(next() * 9) }, () => pick(TEXTS)(word, () => pick(LABELS)));
  return { text: parts.reduce((all, part) => all + pick(["\n\n", "\n\n", "\n\n", "\n"]) + part), words, next };
}

describe("a text drawn block by block, as it comes, says what it says in one piece", () => {
  const oracle = new MarkdownIt({ html: false, linkify: false, breaks: true }).use(footnote);
  oracle.inline.ruler.disable("footnote_inline");
  oracle.validateLink = (url) => /^(https?:\/\/|mailto:)/i.test(url.trim());

  it.each(Array.from({ length: 12 }, (_, batch) => batch))("made-up texts, batch %i", (batch) => {
    for (let seed = batch * 20; seed < batch * 20 + 20; seed++) {
      const { text, words, next } = madeUp(seed);
      const told = `seed ${seed}:\n${text}`;
      const whole = renderMarkdown(text);
      expect(letters(whole), told).toBe(letters(atOnce(text)));

      // Somebody else's parser shows each word once, or never where it is an address; and so do we.
      const other = oracle.render(text);
      const read = plain(whole);
      for (const word of words) {
        const elsewhere = times(domOf(other).textContent!, word);
        if (elsewhere > 0) expect(times(read, word), `${word} in ${told}`).toBe(elsewhere);
        else expect(times(read, word), `${word} in ${told}`).toBeLessThanOrEqual(1);
      }

      const most = 1 + Math.floor(next() * 30);
      const end = streamed(text, () => 1 + Math.floor(next() * most), (html) => {
        const now = textOf(html);
        for (const word of words) expect(times(now, word), `${word}, half of ${told}`).toBeLessThanOrEqual(1);
      });
      expect(letters(end), told).toBe(letters(whole));
      // What has come is right before anybody says that it was all.
      let last = "";
      streamed(`${text}\n\n`, () => most, (html) => (last = html));
      expect(letters(last), told).toBe(letters(whole));
      expect(linksOf(last), told).toEqual(linksOf(whole));
    }
  });
});
