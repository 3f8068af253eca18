/**
 * Footnotes. markdown-it-footnote reads them; they are numbered and drawn here, because it draws them behind whatever
 * it renders, which for us is one block of many.
 */

import type { MarkdownIt, Renderer, Token } from "markdown-it";
import footnote from "markdown-it-footnote";
import type { Reference } from "./render";

/** What any block of a text may refer to. Never changed: a text that defines more gets a new one. */
export interface Named {
  references: Readonly<Record<string, Reference>>;
  notes: Readonly<Record<string, true>>;
}
export const NOTHING_NAMED: Named = { references: {}, notes: {} };

/** A footnote as it stands in its block. */
export interface Note {
  name: string;
  tokens: Token[];
}

/** Addresses of footnotes and of the places that refer to them. */
export const NOTE_LINK = /^#note-[A-Za-z0-9-]{1,40}$/;

export function notes(md: MarkdownIt): void {
  footnote(md);
  md.core.ruler.disable("footnote_tail");
  // `10^[n]` is far more often a power than Pandoc's footnote, and GitHub has none either.
  md.inline.ruler.disable("footnote_inline");
}

/** Takes the footnotes out of a block's tokens, also those inside of lists, quotes and other footnotes. */
export function takeNotes(tokens: Token[]): { body: Token[]; notes: Note[] } {
  const body: Token[] = [];
  const found: Note[] = [];
  const open: Note[] = [];
  for (const token of tokens) {
    if (token.type === "footnote_reference_open") {
      const note = { name: String(token.meta?.["label"]), tokens: [] };
      found.push(note);
      open.push(note);
    } else if (token.type === "footnote_reference_close") open.pop();
    else (open.at(-1)?.tokens ?? body).push(token);
  }
  return { body, notes: found };
}

/** The `[^name]` in a text, in their order. */
export function noteReferences(tokens: Token[]): Token[] {
  return tokens.flatMap((token) => (token.children ?? []).filter(({ type }) => type === "footnote_ref"));
}

/** What a reference is drawn from; written into its token once its place among the footnotes is known. */
interface Numbered extends Record<string, unknown> {
  label: string;
  page: string;
  number?: number;
  /** The first, second, ... time that the text refers to this footnote. */
  turn: number;
}

export interface Placed extends Note {
  number: number;
  /** How often the text refers to it. */
  turns: number;
}

/**
 * Numbers all footnotes of a text in the order in which it first refers to them. One that is never referred to, or whose
 * name was taken before, stands behind the others: what was written is shown. `page` tells this text from others.
 */
export function numberNotes(page: string, bodies: readonly Token[][], defined: readonly Note[]): Placed[] {
  const first = new Map<string, Note>();
  for (const note of defined) if (!first.has(note.name)) first.set(note.name, note);
  const list: Placed[] = [];
  const placed = new Map<Note, Placed>();
  const place = (note: Note): Placed => {
    const fresh = { ...note, number: list.length + 1, turns: 0 };
    list.push(fresh);
    placed.set(note, fresh);
    return fresh;
  };
  const refer = (references: readonly Token[]) => {
    for (const token of references) {
      const label = String(token.meta?.["label"]);
      const note = first.get(label);
      if (note === undefined) continue;
      const at = placed.get(note) ?? place(note);
      at.turns++;
      token.meta = { label, page, number: at.number, turn: at.turns } satisfies Numbered;
    }
  };
  let read = 0;
  // A footnote may be the first to refer to another, which then is read in its turn.
  const readOn = () => {
    while (read < list.length) refer(noteReferences(list[read++]!.tokens));
  };
  for (const body of bodies) refer(body);
  readOn();
  for (const note of defined) {
    if (placed.has(note)) continue;
    place(note);
    readOn();
  }
  return list;
}

export const drawReference = (escapeHtml: (text: string) => string): Renderer["rules"][string] => (tokens, index) => {
  const { label, page, number, turn } = tokens[index]!.meta as Numbered;
  // Its footnote is still being written.
  if (number === undefined) return escapeHtml(`[^${label}]`);
  return (
    `<sup class="note-ref"><a href="#note-${page}-${number}" id="note-${page}-${number}-${turn}" role="doc-noteref" ` +
    `aria-label="Footnote ${number}">${number}</a></sup>`
  );
};

/** The list of footnotes; `bodies` are their texts, drawn. */
export function notesHtml(page: string, placed: readonly Placed[], bodies: readonly string[]): string {
  const items = placed.map(({ number, turns }, index) => {
    const back = Array.from({ length: turns }, (_, turn) => {
      const which = turns > 1 ? `, ${turn + 1} of ${turns}` : "";
      return (
        ` <a class="note-back" href="#note-${page}-${number}-${turn + 1}" role="doc-backlink" ` +
        `aria-label="Back to the text from footnote ${number}${which}">\u21a9\ufe0e</a>`
      );
    }).join("");
    const body = bodies[index] ?? "";
    const ends = /<\/p>\s*$/.exec(body);
    const text = ends ? `${body.slice(0, ends.index)}${back}</p>` : `${body}${back && `<p>${back}</p>`}`;
    return `<li id="note-${page}-${number}">${text}</li>`;
  });
  return items.length === 0 ? "" : `<section class="notes" role="doc-endnotes" aria-label="Footnotes"><ol>${items.join("\n")}</ol></section>`;
}
