/** What the page knows, as signals. Changed by actions.ts, listen.ts and history.ts; read by the components. */

import { computed, signal, type Signal } from "@preact/signals";
import { entryOf, type Entry } from "./stream";
import { pathTo } from "./tree";
import type { Attachment, Conversation, ConversationRow, Effort, Message, Model, ServerState } from "./types";

export const server = signal<ServerState | null>(null);

/** What fills the page beside the list. */
export type Place = { kind: "chat" } | { kind: "books" } | { kind: "audit"; claim: string | null };
export const place = signal<Place>({ kind: "chat" });
/** Grows whenever a conversation changed, here or elsewhere: what is derived from them is stale then. */
export const changes = signal(0);

/** The sidebar: what it lists, where the next page begins, what is searched for. */
export const rows = signal<ConversationRow[]>([]);
export const nextRows = signal<string | null>(null);
export const query = signal("");
export const drawerOpen = signal(false);

/** The open conversation, without its messages; null on the first screen. */
export interface Opened {
  id: string;
  title: string;
  model: string | null;
  current: string | null;
}
export const opened = signal<Opened | null>(null);
/** True between choosing a conversation and having it. */
export const opening = signal(false);

/** One signal per message, so that a token draws one message again; the map itself changes only with the tree. */
export const messages = signal<ReadonlyMap<string, Signal<Entry>>>(new Map());

const nodes = computed(() => new Map([...messages.value].map(([id, entry]) => [id, entry.peek().message])));
export const tree = nodes;
export const path = computed(() => pathTo(nodes.value, opened.value?.current ?? null));

/** The message that is being written in the open conversation's shown branch, if any. */
export const writing = computed<Message | null>(() => {
  const last = path.value.at(-1);
  const message = last === undefined ? undefined : messages.value.get(last)?.value.message;
  return message?.status === "generating" ? message : null;
});

/** Told above the composer; `retry` is a way on. */
export interface Notice {
  text: string;
  /** The day's budget refused the question: told where the answer would be. */
  budget?: boolean;
  /** Nothing went wrong; it is only good to know. */
  calm?: boolean;
  retry?: { label: string; run: () => void };
  /** The way on is to ask what is in the box in a new chat. */
  askAnew?: boolean;
}
export const notice = signal<Notice | null>(null);
/** Grows with every question and answer asked for in this tab: the reader then wants to see the end. */
export const asked = signal(0);
/** The open chat was deleted in another window: it can be read, and nothing else. */
export const gone = signal(false);
/** How full the context is after the shown answer, in tokens; null where nobody counted. */
export const fullness = signal<{ tokens: number; holds: number } | null>(null);
/** The server is out of reach since then (milliseconds), or null. */
export const lostSince = signal<number | null>(null);
/** Said to screen readers, politely. */
export const announcement = signal("");

/** The chat that the box writes to, from the moment it is chosen; null: a new one. */
export const boxOf = signal<string | null>(null);
/** What is in the box (drafts.ts). */
export const draft = signal("");
export const draftAttachments = signal<Attachment[]>([]);
/** Said under the box when Enter cannot send yet; goes by itself when it can. */
export const notYet = signal<string | null>(null);
/** A question is on its way to the server. */
export const sending = signal(false);

export const chosenModel = signal<string | null>(null);
export const thinkingOn = signal(recall("thinking") !== "off");
export const effort = signal<Effort>(asEffort(recall("effort")));

export const model = computed<Model | null>(() => {
  const known = server.value;
  if (!known) return null;
  const find = (name: string | null) => known.models.find((one) => one.name === name);
  return find(chosenModel.value) ?? find(known.default_model) ?? known.models[0] ?? null;
});

/**
 * Puts a whole conversation in place; entries that are the same message keep their signal. One that is open already
 * stays on the branch where its reader is, or goes on along it. Returns the leaf of what was added beside that branch,
 * by another window, or null.
 */
export function showConversation(conversation: Conversation): string | null {
  const { messages: list, ...rest } = conversation;
  const same = opened.peek()?.id === rest.id;
  const mine = same ? opened.peek()!.current : null;
  const before = same ? messages.peek() : new Map<string, Signal<Entry>>();
  const after = new Map<string, Signal<Entry>>();
  for (const message of list) {
    const entry = before.get(message.id);
    if (entry) {
      // A message that is being listened to is ahead of what the list says.
      const ahead = entry.peek().message.status === "generating" && message.status === "generating";
      if (!ahead && JSON.stringify(entry.peek().message) !== JSON.stringify(message)) {
        entry.value = { ...entry.peek(), message };
      }
      after.set(message.id, entry);
    } else {
      after.set(message.id, signal(entryOf(message)));
    }
  }
  const known = new Map(list.map((message) => [message.id, message]));
  const theirs = pathTo(known, rest.current);
  const stays = mine !== null && known.has(mine) && !theirs.includes(mine);
  const current = stays ? mine : rest.current;
  messages.value = after;
  opened.value = { id: rest.id, title: rest.title, model: rest.model, current };
  if (!same || mine === null) return null;
  const shown = new Set(pathTo(known, current));
  return list.findLast(({ id }) => !before.has(id) && !shown.has(id))?.id ?? null;
}

export function addMessages(...list: Message[]): void {
  const after = new Map(messages.peek());
  for (const message of list) {
    const entry = after.get(message.id);
    if (entry) entry.value = { ...entry.peek(), message };
    else after.set(message.id, signal(entryOf(message)));
  }
  messages.value = after;
  const last = list.at(-1);
  if (last && opened.peek()) opened.value = { ...opened.peek()!, current: last.id };
}

/** Small choices, kept in this browser. */
export function recall(name: string): string | null {
  try {
    return localStorage.getItem(`clearseek.${name}`);
  } catch {
    return null;
  }
}

export function keep(name: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(`clearseek.${name}`);
    else localStorage.setItem(`clearseek.${name}`, value);
  } catch {
    // storage is blocked: the choice lasts as long as the page
  }
}

function asEffort(value: string | null): Effort {
  return value === "low" || value === "max" ? value : "high";
}

/** The same for this tab alone, and only until it is closed. */
export function recallTab(name: string): string | null {
  try {
    return sessionStorage.getItem(`clearseek.${name}`);
  } catch {
    return null;
  }
}

export function keepTab(name: string, value: string): void {
  try {
    sessionStorage.setItem(`clearseek.${name}`, value);
  } catch {
    // storage is blocked or full: it lasts as long as the page
  }
}
