/** What a person can do to a conversation. Every failure is told in the page; no typed text is ever lost. */

import { ApiError, request, sentence } from "./api";
import { carryTo } from "./drafts";
import { found, leave } from "./found";
import { loadRows, remove } from "./history";
import { follow, lost, reached, unfollowAll } from "./listen";
import * as state from "./state";
import { newestLeaf } from "./tree";
import type { Attachment, Conversation, Message } from "./types";

interface Options {
  drop_oldest?: boolean;
}

function how() {
  return {
    ...(state.model.value ? { model: state.model.value.name } : {}),
    thinking: state.thinkingOn.value,
    effort: state.effort.value,
  };
}

function tell(error: unknown, retry?: () => void): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  if (error instanceof ApiError && error.code === "unreachable") lost();
  const again = retry ? { retry: { label: "Try again", run: retry } } : {};
  const budget = error instanceof ApiError && error.code === "budget" ? { budget: true } : {};
  state.notice.value = { text: sentence(error), ...again, ...budget };
}

/** Shows a conversation by id; false when there is none. */
export async function openConversation(id: string): Promise<boolean> {
  const same = state.opened.value?.id === id;
  const stamp = changes;
  if (!same) {
    unfollowAll();
    state.boxOf.value = id;
    state.opening.value = true;
    state.fullness.value = null;
    state.notice.value = null;
    if (found.peek()?.conversation !== id) leave();
  }
  wanted = id;
  try {
    const conversation = await request<Conversation>("GET", `/api/conversations/${encodeURIComponent(id)}`);
    if (wanted !== id) return true;
    reached();
    // Something was asked while this was on its way, so it may be older than what is shown.
    if (same && stamp !== changes) return openConversation(id);
    if (!same) state.chosenModel.value = conversation.model;
    state.gone.value = false;
    const beside = state.showConversation(conversation);
    followAll();
    void measure();
    if (beside !== null) tellBranch(beside);
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return false;
    tell(error, () => void openConversation(id));
    return true;
  } finally {
    if (wanted === id) state.opening.value = false;
  }
}

/** Another window asked here at the same time: the reader stays where they are, and is told of the other branch. */
function tellBranch(leaf: string): void {
  state.notice.value = {
    text: "Another window asked here too, beside this. You stay on your own branch; ‹ › goes between them.",
    calm: true,
    retry: { label: "Show the other", run: () => void switchBranch(leaf) },
  };
}

/** Asks how full the context is after the last answer that is shown. */
async function measure(): Promise<void> {
  const last = state.path.peek().at(-1);
  const message = last === undefined ? undefined : state.messages.peek().get(last)?.peek().message;
  if (message?.role !== "assistant" || message.status === "generating") {
    if (message?.status !== "generating") state.fullness.value = null;
    return;
  }
  try {
    const path = `/api/messages/${encodeURIComponent(message.id)}/context`;
    const { tokens, holds } = await request<{ tokens: number | null; holds: number | null }>("GET", path);
    if (state.path.peek().at(-1) === last) state.fullness.value = tokens && holds ? { tokens, holds } : null;
  } catch {
    state.fullness.value = null; // a gauge that cannot be read is no gauge
  }
}

/** The conversation asked for last; an answer that comes late for another is dropped. */
let wanted: string | null = null;
/** Grows with every change of the tree that this page makes. */
let changes = 0;

function added(...list: Message[]): void {
  changes++;
  state.addMessages(...list);
  state.asked.value++;
  followAll();
}

export function closeConversation(): void {
  wanted = null;
  unfollowAll();
  leave();
  state.boxOf.value = null;
  state.gone.value = false;
  state.fullness.value = null;
  state.opened.value = null;
  state.messages.value = new Map();
  state.notice.value = null;
  state.opening.value = false;
}

/** Brings the open conversation up to date, after silence or a change made elsewhere. */
export async function refresh(): Promise<void> {
  // What this page asks itself comes back by itself; until then it would look like somebody else's.
  while (inFlight > 0) await new Promise((resolve) => window.setTimeout(resolve, 100));
  const id = state.opened.value?.id;
  if (id !== undefined && !(await openConversation(id)) && state.opened.value?.id === id) tellGone();
}

/** The open chat is not there any more: it stays to be read, and what is in the box can go to a new one. */
function tellGone(): void {
  state.gone.value = true;
  unfollowAll();
  state.notice.value = {
    text: "This chat was deleted in another window. It is shown here until you leave it.",
    askAnew: true,
  };
}

let inFlight = 0;

/** A post whose answer changes the tree. */
async function change<T>(path: string, body: unknown): Promise<T> {
  inFlight++;
  try {
    return await request<T>("POST", path, body);
  } finally {
    inFlight--;
  }
}

function isGone(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404 && error.code === "not_found";
}

function followAll(): void {
  for (const entry of state.messages.peek().values()) {
    follow(entry.peek().message, over, () => void refresh());
  }
}

function over(): void {
  void loadRows();
  void measure();
}

/** Asks; creates the conversation when none is open. Returns its id, or null when it failed. */
export async function ask(text: string, attachments: Attachment[], parent?: string | null): Promise<string | null> {
  if (state.sending.value) return null;
  state.sending.value = true;
  state.notice.value = null;
  let id = state.opened.value?.id;
  const first = id === undefined;
  try {
    if (id === undefined) {
      const created = await request<Conversation>("POST", "/api/conversations", {
        ...(state.model.value ? { model: state.model.value.name } : {}),
      });
      id = created.id;
      wanted = id;
      carryTo(id);
      state.showConversation({ ...created, messages: created.messages ?? [] });
    }
    const answer = await change<{ user: Message; assistant: Message }>(
      `/api/conversations/${encodeURIComponent(id)}/messages`,
      {
        content: text,
        parent_id: parent === undefined ? (state.opened.value?.current ?? null) : parent,
        ...(attachments.length ? { attachments: attachments.map(({ name, text }) => ({ name, text })) } : {}),
        ...how(),
      },
    );
    reached();
    if (state.opened.value?.id === id) added(answer.user, answer.assistant);
    void loadRows();
    return id;
  } catch (error) {
    // A chat that was made for a question which was then refused would stay behind empty.
    if (first && id !== undefined && state.path.value.length === 0) {
      if (state.opened.value?.id === id) {
        carryTo(null);
        closeConversation();
      }
      void remove(id);
    }
    if (!first && isGone(error) && state.opened.value?.id === id) await refresh();
    if (!state.gone.value) tell(error);
    return null;
  } finally {
    state.sending.value = false;
  }
}

export async function regenerate(message: Message, options: Options = {}): Promise<void> {
  state.notice.value = null;
  const id = state.opened.value?.id;
  try {
    const path = `/api/messages/${encodeURIComponent(message.id)}/regenerate`;
    const { assistant } = await change<{ assistant: Message }>(path, { ...how(), ...options });
    if (state.opened.value?.id === id) added(assistant);
  } catch (error) {
    if (isGone(error)) return refresh();
    tell(error, () => void regenerate(message, options));
  }
}

export async function continueAnswer(message: Message): Promise<void> {
  state.notice.value = null;
  const id = state.opened.value?.id;
  try {
    const path = `/api/messages/${encodeURIComponent(message.id)}/continue`;
    const { assistant } = await change<{ assistant: Message }>(path, {
      thinking: state.thinkingOn.value,
      effort: state.effort.value,
    });
    if (state.opened.value?.id === id) added(assistant);
  } catch (error) {
    if (isGone(error)) return refresh();
    tell(error, () => void continueAnswer(message));
  }
}

export async function stop(message: Message | null = state.writing.value): Promise<void> {
  if (!message?.generation_id) return;
  try {
    await request("POST", `/api/generations/${encodeURIComponent(message.generation_id)}/stop`);
  } catch (error) {
    // Over already, or gone: the stream says so by itself.
    if (!(error instanceof ApiError && error.status === 404)) tell(error, () => void stop(message));
  }
}

/** Shows the branch that `id` is on. */
export async function switchBranch(id: string): Promise<void> {
  const current = state.opened.value;
  if (!current) return;
  const leaf = newestLeaf(state.tree.value, id);
  changes++;
  state.opened.value = { ...current, current: leaf };
  state.notice.value = null;
  void measure();
  if (state.gone.value) return;
  try {
    await request("PATCH", `/api/conversations/${encodeURIComponent(current.id)}`, { current: leaf });
  } catch (error) {
    tell(error);
  }
}
