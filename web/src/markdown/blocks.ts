/**
 * A growing text as finished blocks and a tail, so that only the tail is drawn again for each token.
 *
 * Markdown never reopens a top-level block that another has followed, so everything but the last one is finished.
 */

import { blockStarts } from "./render";

export interface Split {
  /** Sources of finished top-level blocks; they only ever get more. */
  done: readonly string[];
  /** The source of the block that still grows. */
  tail: string;
}

/** `[name]: address` lines; any block of the text may refer to them. */
const DEFINITION = /^ {0,3}\[[^\]\n]+\]:[ \t]*\S[^\n]*$/gm;

export function definitionsOf(text: string): string {
  return text.includes("]:") ? (text.match(DEFINITION) ?? []).join("\n") : "";
}

/** Cuts `text` at its top-level blocks. */
export function split(text: string, growing: boolean): Split {
  const starts = blockStarts(text, growing);
  if (starts.length <= 1) return { done: [], tail: text };
  const lines = text.split("\n");
  const done: string[] = [];
  for (let i = 0; i + 1 < starts.length; i++) {
    const from = i === 0 ? 0 : starts[i];
    done.push(lines.slice(from, starts[i + 1]).join("\n"));
  }
  return { done, tail: lines.slice(starts.at(-1)).join("\n") };
}

/**
 * Splits a text that only grows: each call looks at the tail of the one before and at what is new. Only whole lines
 * count: a `2` alone would end the list that `2. two` goes on with.
 */
export class Splitter {
  private text = "";
  private state: Split = { done: [], tail: "" };

  next(text: string): Split {
    if (!text.startsWith(this.text)) this.state = { done: [], tail: "" };
    const known = text.startsWith(this.text) ? this.text.length : 0;
    this.text = text;
    const open = this.state.tail + text.slice(known);
    const whole = open.lastIndexOf("\n") + 1;
    const { done, tail } = split(open.slice(0, whole), true);
    this.state = {
      done: done.length ? [...this.state.done, ...done] : this.state.done,
      tail: tail + open.slice(whole),
    };
    return this.state;
  }
}
