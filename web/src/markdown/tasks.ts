/** Task lists: `- [x] done` and `- [ ] to do`, as GitHub reads them. For the eye and the ear only; nothing can be ticked. */

import type { MarkdownIt, StateCore } from "markdown-it";

const BOX = /^\[([ xX])\]\s+(?=\S)/;

export function tasks(md: MarkdownIt): void {
  // Before the inline rules: `[x]` may also be the name of a link.
  md.core.ruler.after("block", "task_find", (state: StateCore) => {
    for (const [index, token] of state.tokens.entries()) {
      if (token.type !== "inline" || state.tokens[index - 2]?.type !== "list_item_open") continue;
      const box = BOX.exec(token.content);
      if (!box) continue;
      token.content = token.content.slice(box[0].length);
      token.meta = { ticked: box[1] !== " " };
      state.tokens[index - 2]!.attrJoin("class", "task");
    }
  });
  md.core.ruler.after("inline", "task_mark", (state: StateCore) => {
    for (const token of state.tokens) {
      if (token.type !== "inline" || typeof token.meta?.["ticked"] !== "boolean") continue;
      const mark = new state.Token("task", "", 0);
      mark.meta = token.meta;
      token.children = [mark, ...(token.children ?? [])];
    }
  });
  md.renderer.rules["task"] = (tokens, index) =>
    tokens[index]?.meta?.["ticked"]
      ? '<span class="box" role="img" aria-label="done">☑</span> '
      : '<span class="box" role="img" aria-label="to do">☐</span> ';
}
