/**
 * A growing text as finished blocks and a tail, so that only the tail is drawn again for each token.
 *
 * Markdown never reopens a top-level block that another has followed, so everything but the last one is finished.
 * What a text defines, links and footnotes, is the one thing that reaches from a block into others: it is read once, by
 * the rules that read the blocks, and handed to all of them.
 */

import { NOTHING_NAMED, type Named } from "./notes";
import { newEnv, topBlocks, type Env } from "./render";

export interface Split {
  /** Sources of finished top-level blocks; they only ever get more. */
  done: readonly string[];
  /** The source of the block that still grows. */
  tail: string;
  /** What all of it defines. The same object for as long as that stays the same. */
  named: Named;
}

/** Cuts `text` at its top-level blocks; `known` was defined before it. */
export function split(text: string, growing: boolean, known: Named = NOTHING_NAMED): Split {
  const env = newEnv(growing, known);
  const blocks = topBlocks(text, env);
  const named = extended(known, env);
  const starts = blocks.map(({ map }) => map![0]);
  // `[name]: address` and the line right under it may yet turn out to be one: that line may begin a title.
  const before = blocks.at(-2);
  if (growing && before?.type === "reference_definition" && before.map![1] === starts.at(-1)) starts.pop();
  if (starts.length <= 1) return { done: [], tail: text, named };
  const lines = text.split("\n");
  const done: string[] = [];
  for (let i = 0; i + 1 < starts.length; i++) {
    const from = i === 0 ? 0 : starts[i];
    done.push(lines.slice(from, starts[i + 1]).join("\n"));
  }
  return { done, tail: lines.slice(starts.at(-1)).join("\n"), named };
}

/**
 * Splits a text that only grows: each call looks at the tail of the one before and at what is new. Only whole lines
 * count: a `2` alone would end the list that `2. two` goes on with.
 */
export class Splitter {
  private text = "";
  private state: Split = { done: [], tail: "", named: NOTHING_NAMED };
  /** What the finished blocks define. What the tail does may change, as a title is added to a link. */
  private settled = NOTHING_NAMED;

  next(text: string): Split {
    if (!text.startsWith(this.text)) {
      this.text = "";
      this.state = { done: [], tail: "", named: NOTHING_NAMED };
      this.settled = NOTHING_NAMED;
    }
    const open = this.state.tail + text.slice(this.text.length);
    this.text = text;
    const whole = open.lastIndexOf("\n") + 1;
    const { done, tail, named } = split(open.slice(0, whole), true, this.settled);
    for (const block of done) this.settled = definedBy(block, this.settled);
    this.state = {
      done: done.length ? [...this.state.done, ...done] : this.state.done,
      tail: tail + open.slice(whole),
      named: alike(named, this.state.named) ? this.state.named : named,
    };
    return this.state;
  }
}

function definedBy(block: string, known: Named): Named {
  if (!block.includes("]:")) return known;
  const env = newEnv(false, known);
  topBlocks(block, env);
  return extended(known, env);
}

/** `known` and what was added to it; the very same where that is nothing. */
function extended(known: Named, env: Env): Named {
  const found: Named = {
    references: env.references,
    notes: Object.fromEntries(Object.keys(env.footnotes.refs).map((name) => [name, true as const])),
  };
  return alike(found, known) ? known : found;
}

function alike(a: Named, b: Named): boolean {
  if (a === b) return true;
  const [links, others] = [Object.entries(a.references), b.references];
  const notes = Object.keys(a.notes);
  return (
    links.length === Object.keys(others).length &&
    links.every(([name, { href, title }]) => others[name]?.href === href && others[name].title === title) &&
    notes.length === Object.keys(b.notes).length &&
    notes.every((name) => b.notes[name])
  );
}
