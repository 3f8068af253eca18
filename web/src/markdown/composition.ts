/** A whole text as drawn blocks with its footnotes behind them; what stays the same is not read or drawn again. */

import type { Token } from "markdown-it";
import { split, Splitter } from "./blocks";
import { extras } from "./extras";
import { noteReferences, notesHtml, numberNotes, takeNotes, type Named, type Note } from "./notes";
import { draw, newEnv, parse } from "./render";

export interface Composed {
  /** Safe HTML of each top-level block; "" where a block only defines something. */
  blocks: readonly string[];
  /** Safe HTML of the footnotes, "" where there are none. */
  notes: string;
}

/** One block, read: kept for as long as neither its source nor anything it refers to changes. */
interface Piece {
  source: string;
  growing: boolean;
  named: Named;
  /** Every name that was looked up while it was read, and what was found. */
  asked: ReadonlyMap<string, string>;
  body: Token[];
  notes: Note[];
}

/** What a text was drawn from besides its tokens, and as what. */
interface Drawn {
  numbers: string;
  loaded: unknown;
  html: string;
}

/** Only text that may hold math or code is drawn again when the libraries for them arrive. */
const HEAVY = /[\\$`~]|^(?: {4}|\t)/m;

export class Composition {
  private readonly splitter = new Splitter();
  private pieces: Piece[] = [];
  private readonly drawn = new WeakMap<Token[], Drawn>();

  /** `page` tells the footnotes of this text from those of others on the page. */
  constructor(private readonly page: string) {}

  next(text: string, growing: boolean): Composed {
    const { done, tail, named } = growing ? this.splitter.next(text) : split(text, false);
    const sources = tail.trim() === "" ? done : [...done, tail];
    this.pieces = sources.map((source, index) =>
      read(source, growing && index === done.length, named, this.pieces[index]),
    );
    const defined = this.pieces.flatMap(({ notes }) => notes);
    const placed = numberNotes(this.page, this.pieces.map(({ body }) => noteReferences(body)), defined);
    return {
      blocks: this.pieces.map(({ body, source, growing: grows }) => this.draw(body, grows, HEAVY.test(source))),
      notes: notesHtml(this.page, placed, placed.map(({ tokens }) => this.draw(tokens, false, true))),
    };
  }

  private draw(tokens: Token[], growing: boolean, heavy: boolean): string {
    const numbers = noteReferences(tokens).map(({ meta }) => `${meta?.["number"]}.${meta?.["turn"]}`).join(" ");
    const loaded = heavy ? extras.value : null;
    let drawn = this.drawn.get(tokens);
    if (drawn?.numbers !== numbers || drawn.loaded !== loaded) {
      drawn = { numbers, loaded, html: draw(tokens, newEnv(growing)) };
      this.drawn.set(tokens, drawn);
    }
    return drawn.html;
  }
}

function read(source: string, growing: boolean, named: Named, before: Piece | undefined): Piece {
  if (before?.source === source && before.growing === growing) {
    const still = before.named === named || [...before.asked].every(([name, found]) => lookUp(named, name) === found);
    if (still) {
      before.named = named;
      return before;
    }
  }
  const asked = new Map<string, string>();
  const env = newEnv(growing, named);
  env.references = noting(env.references, (name) => asked.set(name, lookUp(named, name)));
  env.footnotes.refs = noting(env.footnotes.refs, (name) => asked.set(name, lookUp(named, name)));
  return { source, growing, named, asked, ...takeNotes(parse(source, env)) };
}

/** Footnotes are asked for as `:name`; a link's name may begin so too, and then a change of either counts. */
function lookUp(named: Named, name: string): string {
  const { href, title } = named.references[name] ?? {};
  return JSON.stringify([named.notes[name], href, title]);
}

/** The same record, which tells what is asked of it. */
function noting<T>(record: Record<string, T>, note: (name: string) => void): Record<string, T> {
  return new Proxy(record, {
    get(target, name) {
      if (typeof name === "string") note(name);
      return Reflect.get(target, name) as T;
    },
  });
}
