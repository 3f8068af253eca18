/** What is being written, chat by chat: each keeps its own, also over a reload of this tab. */

import { effect, untracked } from "@preact/signals";
import { boxOf, draft, draftAttachments, recallTab, keepTab } from "./state";
import type { Attachment } from "./types";

interface Draft {
  text: string;
  attachments: Attachment[];
}

const STORE = "drafts";
/** A chat that does not exist yet. */
const NEW = "";
/** Drafts that are kept, the last written ones, and the characters of all of them that survive a reload. */
const MAX_DRAFTS = 50;
const MAX_KEPT = 2_000_000;

/** The last written last. */
const drafts = new Map<string, Draft>(restored());
let at: string | null = null;

/** Begins to keep what is in the box, and to change it with the chat that it writes to. */
export function startDrafts(): void {
  effect(() => {
    const key = boxOf.value ?? NEW;
    untracked(() => turnTo(key));
  });
  effect(() => {
    const now = { text: draft.value, attachments: draftAttachments.value };
    untracked(() => {
      if (at !== null) note(at, now);
    });
  });
}

/** Fills the box of a chat (null: a new one), whichever is open now. */
export function setDraft(id: string | null, text: string, attachments: Attachment[] = []): void {
  const key = id ?? NEW;
  note(key, { text, attachments });
  if (at === key) show(key);
}

/** What waits in the box of a new chat. */
export function newDraft(): string {
  return drafts.get(NEW)?.text ?? "";
}

/** The box goes along to another chat (null: a new one), and is empty in the one that it leaves. */
export function carryTo(id: string | null): void {
  if (at === null) return;
  const now = { text: draft.peek(), attachments: draftAttachments.peek() };
  drafts.delete(at);
  at = id ?? NEW;
  note(at, now);
  boxOf.value = id;
}

/** Forgets what was written to a chat that is deleted. */
export function dropDraft(id: string): void {
  if (drafts.delete(id)) store();
}

/** A question has gone out from the box of `id`: takes it out of there, and leaves what was typed since. */
export function sent(id: string, text: string, attachments: readonly Attachment[]): void {
  const now = at === id ? { text: draft.peek(), attachments: draftAttachments.peek() } : drafts.get(id);
  if (!now) return;
  const rest = now.text.startsWith(text) ? now.text.slice(text.length) : now.text;
  setDraft(id, rest, now.attachments.filter((one) => !attachments.includes(one)));
}

function turnTo(key: string): void {
  if (key === at) return;
  at = null;
  show(key);
}

function show(key: string): void {
  const kept = drafts.get(key);
  draft.value = kept?.text ?? "";
  draftAttachments.value = kept?.attachments ?? [];
  at = key;
}

function note(key: string, now: Draft): void {
  const empty = now.text === "" && now.attachments.length === 0;
  if (empty && !drafts.has(key)) return;
  drafts.delete(key);
  if (!empty) drafts.set(key, now);
  for (const first of drafts.keys()) if (drafts.size > MAX_DRAFTS) drafts.delete(first);
  store();
}

function store(): void {
  const kept: [string, Draft][] = [];
  let room = MAX_KEPT;
  for (const [key, one] of [...drafts].reverse()) {
    room -= one.text.length + one.attachments.reduce((sum, { text }) => sum + text.length, 0);
    if (room < 0) break;
    kept.unshift([key, one]);
  }
  keepTab(STORE, JSON.stringify(kept));
}

function restored(): [string, Draft][] {
  try {
    const kept: unknown = JSON.parse(recallTab(STORE) ?? "[]");
    return Array.isArray(kept) ? kept.filter(isDraft) : [];
  } catch {
    return [];
  }
}

function isDraft(entry: unknown): entry is [string, Draft] {
  const [key, one] = Array.isArray(entry) ? (entry as unknown[]) : [];
  const { text, attachments } = (one ?? {}) as Partial<Draft>;
  return (
    typeof key === "string" &&
    typeof text === "string" &&
    Array.isArray(attachments) &&
    attachments.every((file) => typeof file?.name === "string" && typeof file.text === "string")
  );
}
