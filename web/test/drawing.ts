/** A whole text drawn at once, and what can be read of it. */

import { Composition } from "../src/markdown/composition";

export function renderMarkdown(source: string, { growing = false } = {}): string {
  const { blocks, notes } = new Composition("t").next(source, growing);
  return blocks.join("") + notes;
}

export function domOf(html: string): DocumentFragment {
  const box = document.createElement("template");
  box.innerHTML = html;
  return box.content;
}

/** The text as a reader has it: without the furniture of code blocks. */
export function textOf(html: string): string {
  const dom = domOf(html);
  for (const furniture of dom.querySelectorAll("figcaption")) furniture.remove();
  return (dom.textContent ?? "").replace(/\s+/g, " ").trim();
}

/** The same, without the footnotes' arrows. */
export const plain = (html: string): string => textOf(html).replaceAll("↩︎", "").replace(/\s+/g, " ").trim();

export function linksOf(html: string): (string | null)[] {
  return [...domOf(html).querySelectorAll("a")].map((link) => link.getAttribute("href"));
}

export const times = (text: string, word: string): number => text.split(word).length - 1;

/** As the server sends it: in pieces, then whole. Each step's HTML is handed to `look`. */
export function streamed(text: string, size: (at: number) => number, look: (html: string) => void = () => {}): string {
  const composition = new Composition("t");
  const html = ({ blocks, notes }: ReturnType<Composition["next"]>) => blocks.join("") + notes;
  for (let end = 0; end < text.length; ) {
    end = Math.min(text.length, end + size(end));
    look(html(composition.next(text.slice(0, end), true)));
  }
  return html(composition.next(text, false));
}
