/**
 * Math in Markdown: `\(..\)`, `\[..\]`, `$$..$$`, and `$..$` only where it can hardly be money.
 *
 * These run before markdown-it's escape rule, which would eat the backslashes, and inside code they never run at all.
 */

import type { MarkdownIt, StateBlock, StateInline } from "markdown-it";

const BACKSLASH = 0x5c;
const DOLLAR = 0x24;

/** `env.growing` is set while more text may come: an opened display then waits for its end instead of being text. */
export interface MathEnv {
  growing?: boolean;
  [key: string]: unknown;
}

export function math(md: MarkdownIt): void {
  md.inline.ruler.before("escape", "math", inlineMath);
  md.block.ruler.before("fence", "math", blockMath, { alt: ["paragraph", "reference", "blockquote", "list"] });
}

/** Where the unescaped `close` is, from `from` on; -1 when nowhere. */
function findClose(src: string, close: string, from: number, end: number): number {
  for (let at = src.indexOf(close, from); at !== -1 && at + close.length <= end; at = src.indexOf(close, at + 1)) {
    let slashes = 0;
    while (src.charCodeAt(at - 1 - slashes) === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return at;
  }
  return -1;
}

function inlineMath(state: StateInline, silent: boolean): boolean {
  const { src, pos, posMax } = state;
  const first = src.charCodeAt(pos);
  let open: string;
  let close: string;
  if (first === BACKSLASH && src[pos + 1] === "(") [open, close] = ["\\(", "\\)"];
  else if (first === BACKSLASH && src[pos + 1] === "[") [open, close] = ["\\[", "\\]"];
  else if (first === DOLLAR && src.charCodeAt(pos + 1) === DOLLAR) [open, close] = ["$$", "$$"];
  else if (first === DOLLAR) [open, close] = ["$", "$"];
  else return false;

  const start = pos + open.length;
  const end = findClose(src, close, start, posMax);
  if (end === -1) return false;
  const content = src.slice(start, end);
  if (content.trim() === "") return false;
  if (open === "$" && !surelyMath(src, pos, end, content)) return false;
  if (!silent) {
    const token = state.push(open === "\\(" || open === "$" ? "math_inline" : "math_display", "", 0);
    token.content = content.trim();
    token.markup = open;
  }
  state.pos = end + close.length;
  return true;
}

/** Between single dollars: no spaces at the edges, no digit or letter touching them, and something only math has. */
function surelyMath(src: string, open: number, close: number, content: string): boolean {
  if (/^\s|\s$|\n/.test(content)) return false;
  if (/[\w$]/.test(src[open - 1] ?? " ") || /[\w$]/.test(src[close + 1] ?? " ")) return false;
  return /[\\^_=]/.test(content) || /^[a-zA-Z]$/.test(content);
}

function blockMath(state: StateBlock, startLine: number, endLine: number, silent: boolean): boolean {
  if ((state.sCount[startLine] ?? 0) - state.blkIndent >= 4) return false;
  const from = (state.bMarks[startLine] ?? 0) + (state.tShift[startLine] ?? 0);
  const open = state.src.slice(from, from + 2);
  if (open !== "$$" && open !== "\\[") return false;
  const close = open === "$$" ? "$$" : "\\]";

  // A display right under a footnote or a list, and not indented as they are, is looked at from inside of them first.
  const indent = Math.min(state.blkIndent, state.sCount[startLine] ?? 0);
  for (let line = startLine; line < endLine; line++) {
    if (line > startLine && (state.sCount[line] ?? 0) < indent && !state.isEmpty(line)) break;
    const lineStart = line === startLine ? from + 2 : (state.bMarks[line] ?? 0) + (state.tShift[line] ?? 0);
    const lineEnd = state.eMarks[line] ?? 0;
    const at = findClose(state.src, close, lineStart, lineEnd);
    if (at === -1) continue;
    // More text behind the end: a paragraph that begins with a formula, which the inline rule reads.
    if (state.src.slice(at + 2, lineEnd).trim() !== "") return false;
    return push(state, "math_block", startLine, line + 1, source(state, from, startLine, line, at), silent);
  }
  if (!(state.env as MathEnv).growing) return false;
  const last = endLine - 1;
  return push(state, "math_pending", startLine, endLine, source(state, from, startLine, last, state.eMarks[last] ?? 0), silent);
}

function source(state: StateBlock, from: number, startLine: number, line: number, at: number): string {
  if (line === startLine) return state.src.slice(from + 2, at);
  const first = state.src.slice(from + 2, state.eMarks[startLine]);
  const middle = state.getLines(startLine + 1, line, state.blkIndent, true);
  const last = state.src.slice((state.bMarks[line] ?? 0) + (state.tShift[line] ?? 0), at);
  return `${first}\n${middle}${last}`;
}

function push(state: StateBlock, type: string, begin: number, end: number, content: string, silent: boolean): boolean {
  if (silent) return true;
  const token = state.push(type, "", 0);
  token.block = true;
  token.content = content.trim();
  token.map = [begin, end];
  state.line = end;
  return true;
}
