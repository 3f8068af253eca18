/** The list of conversations: loading, searching, renaming, deleting. */

import { ApiError, request, sentence } from "./api";
import { download } from "./download";
import { dropDraft } from "./drafts";
import { lost } from "./listen";
import * as state from "./state";
import type { ConversationRow } from "./types";

interface Page {
  conversations: ConversationRow[];
  next: string | null;
}

let running: AbortController | null = null;

/** Loads the first page of the list (of the search, when something is searched for), or the page behind `before`. */
export async function loadRows(before: string | null = null): Promise<void> {
  running?.abort();
  const abort = (running = new AbortController());
  const search = new URLSearchParams();
  const query = state.query.value.trim();
  if (query) search.set("query", query);
  if (before !== null) search.set("before", before);
  // A refresh shows as many rows as were shown, so that reading far down is not thrown back.
  else if (!query) search.set("limit", String(Math.min(200, Math.max(50, state.rows.peek().length))));
  try {
    const page = await request<Page>("GET", `/api/conversations?${search}`, undefined, abort.signal);
    if (abort.signal.aborted) return;
    state.rows.value = before === null ? page.conversations : [...state.rows.peek(), ...page.conversations];
    state.nextRows.value = page.next;
    const open = state.opened.peek();
    const row = page.conversations.find(({ id }) => id === open?.id);
    if (open && row && row.title !== open.title) state.opened.value = { ...open, title: row.title };
  } catch (error) {
    if (abort.signal.aborted) return;
    if (error instanceof ApiError && error.code === "unreachable") lost();
    else state.notice.value = { text: sentence(error) };
  }
}

let timer = 0;

/** Soon, and once for many changes. */
export function loadRowsSoon(ms = 250): void {
  window.clearTimeout(timer);
  timer = window.setTimeout(() => void loadRows(), ms);
}

export async function rename(id: string, title: string): Promise<void> {
  const patch = (row: ConversationRow) => (row.id === id ? { ...row, title } : row);
  state.rows.value = state.rows.value.map(patch);
  if (state.opened.value?.id === id) state.opened.value = { ...state.opened.value, title };
  try {
    await request("PATCH", `/api/conversations/${encodeURIComponent(id)}`, { title });
  } catch (error) {
    state.notice.value = { text: sentence(error) };
    void loadRows();
  }
}

/** True when it is gone. */
export async function remove(id: string): Promise<boolean> {
  try {
    await request("DELETE", `/api/conversations/${encodeURIComponent(id)}`);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 404)) {
      state.notice.value = { text: sentence(error) };
      return false;
    }
  }
  forget([id]);
  return true;
}

/** Deletes these chats, or all there are; true when they are gone. */
export async function removeMany(ids: string[] | "all"): Promise<boolean> {
  try {
    await request("POST", "/api/conversations/delete", ids === "all" ? { all: true } : { ids });
  } catch (error) {
    state.notice.value = { text: sentence(error) };
    return false;
  }
  forget(ids === "all" ? state.rows.value.map(({ id }) => id) : ids);
  await loadRows();
  return true;
}

function forget(ids: string[]): void {
  state.rows.value = state.rows.value.filter((row) => !ids.includes(row.id));
  for (const id of ids) dropDraft(id);
}

/** Hands the conversation to the browser as a Markdown file. */
export function save(id: string): Promise<void> {
  return download(`/api/conversations/${encodeURIComponent(id)}/export?format=md`, "chat.md");
}
