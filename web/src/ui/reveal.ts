/** Bringing a found message under the reader's eyes, with the words marked. */

import type { Hit } from "../types";

/** Frames for which a place must stand still, and for how many it is waited at most: far answers are drawn when near. */
const STILL = 4;
const PATIENCE = 90;

let running = 0;

/** Scrolls `box` until the first of the words is in its upper third, and marks them all. Ends when the reader scrolls. */
export async function reveal(box: HTMLElement, hit: Hit): Promise<void> {
  const mine = ++running;
  unmark();
  const stop = () => running++;
  const events = ["wheel", "touchmove", "pointerdown"] as const;
  for (const name of events) box.addEventListener(name, stop, { passive: true, once: true });
  let still = 0;
  for (let frame = 0; frame < PATIENCE && still < STILL; frame++) {
    await new Promise((resolve) => requestAnimationFrame(resolve));
    if (mine !== running) break;
    const article = box.querySelector<HTMLElement>(`[data-id="${CSS.escape(hit.message)}"]`);
    if (!article) continue;
    const part = partOf(article, hit);
    const ranges = part ? rangesOf(part, hit.words) : [];
    mark(article, ranges);
    const at = (ranges[0] ?? part ?? article).getBoundingClientRect();
    const frameOf = box.getBoundingClientRect();
    const before = box.scrollTop;
    box.scrollTop += at.top - frameOf.top - frameOf.height / 3;
    still = Math.abs(box.scrollTop - before) < 2 ? still + 1 : 0;
  }
  for (const name of events) box.removeEventListener(name, stop);
}

/** The marks go when the search is over. */
export function unmark(): void {
  for (const article of document.querySelectorAll("[data-found]")) article.removeAttribute("data-found");
  CSS.highlights?.delete("found");
}

function partOf(article: HTMLElement, { where }: Hit): HTMLElement | null {
  if (where === "attachment") return article.querySelector(".chips");
  if (where === "content") return article.querySelector(":scope > .asked, :scope > .prose");
  const fold = article.querySelector<HTMLButtonElement>(".fold[aria-expanded=false]");
  fold?.click();
  return article.querySelector(".workings");
}

function mark(article: HTMLElement, ranges: Range[]): void {
  if (!article.hasAttribute("data-found")) article.setAttribute("data-found", "");
  // Where a browser cannot mark words without changing the page, the message is marked alone.
  if (typeof Highlight === "function") CSS.highlights.set("found", new Highlight(...ranges));
}

/** Every place in the texts below `root` where one of the words stands. */
export function rangesOf(root: HTMLElement, words: readonly string[]): Range[] {
  const wanted = words.map((word) => word.toLowerCase()).filter(Boolean);
  const ranges: Range[] = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node && ranges.length < 1000; node = walker.nextNode()) {
    const text = (node.textContent ?? "").toLowerCase();
    for (const word of wanted) {
      for (let from = text.indexOf(word); from >= 0; from = text.indexOf(word, from + word.length)) {
        const range = document.createRange();
        // Lower case can be longer than the text it is of.
        if (from + word.length > (node.textContent ?? "").length) break;
        range.setStart(node, from);
        range.setEnd(node, from + word.length);
        ranges.push(range);
      }
    }
  }
  return ranges.sort((a, b) => a.compareBoundaryPoints(Range.START_TO_START, b));
}
