/** Asking for the books, and again when something was spent. */

import { useEffect, useState } from "preact/hooks";
import { keyWanted, request, sentence } from "../api";
import { plural } from "../format";
import * as state from "../state";
import type { BooksAnswer, By, Totals } from "./shape";

/** What the server says about a period, fetched again whenever a conversation changes. */
export function useBooks(days: number, by: By): { books: BooksAnswer | null; trouble: string | null } {
  const [books, setBooks] = useState<BooksAnswer | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const stale = state.changes.value;
  const asked = keyWanted.value;
  useEffect(() => {
    const abort = new AbortController();
    // Many answers may end together; the first look is at once.
    const timer = window.setTimeout(
      () => {
        request<BooksAnswer>("GET", `/api/books?days=${days}&by=${by}`, undefined, abort.signal).then(
          (found) => {
            setBooks(found);
            setTrouble(null);
          },
          (error: unknown) => {
            if (!abort.signal.aborted) setTrouble(sentence(error));
          },
        );
      },
      books?.by === by ? 300 : 0,
    );
    return () => {
      window.clearTimeout(timer);
      abort.abort();
    };
  }, [days, by, stale, asked]);
  return { books, trouble };
}

/** How much of a sum is without a price. */
export function unpriced({ unknown_money: unknown, answers, money }: Totals): string | null {
  if (unknown === 0) return null;
  if (unknown >= answers || money.value === null) return `${plural(unknown, "entry", "entries")} without a price`;
  return `and ${plural(unknown, "entry", "entries")} without a price`;
}
