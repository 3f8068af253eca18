/**
 * Which way a text runs, each paragraph by its own first letter: an answer may mix Arabic with English.
 *
 * Lists, quotes and tables are told theirs outright. The browser's `auto` looks past children that have a direction of
 * their own, and would set the bullets of every Arabic list on the left.
 */

import type { MarkdownIt, StateCore, Token } from "markdown-it";

const LEAVES = new Set(["paragraph_open", "heading_open", "th_open", "td_open"]);
const CONTAINERS = new Set(["bullet_list_open", "ordered_list_open", "list_item_open", "blockquote_open", "table_open"]);
const LETTER = /\p{L}/u;
const RIGHT_TO_LEFT = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/u;

export function direction(md: MarkdownIt): void {
  md.core.ruler.push("direction", ({ tokens }: StateCore) => {
    // From the end to the start, so that the text that comes next is known when its container opens.
    let next: "ltr" | "rtl" | null = null;
    for (const token of [...tokens].reverse()) {
      if (token.type === "inline") next = directionOf(token) ?? next;
      else if (LEAVES.has(token.type)) token.attrSet("dir", "auto");
      else if (CONTAINERS.has(token.type)) token.attrSet("dir", next ?? "auto");
    }
  });
}

function directionOf(inline: Token): "ltr" | "rtl" | null {
  const words = (inline.children ?? []).map((child) => (child.type === "text" ? child.content : " ")).join("");
  const letter = LETTER.exec(words)?.[0];
  return letter === undefined ? null : RIGHT_TO_LEFT.test(letter) ? "rtl" : "ltr";
}
