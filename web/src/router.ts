/** Addresses: `/` is the first screen, `/c/ID` a conversation. `?q=` fills the box, and never sends. */

import { closeConversation, openConversation } from "./actions";
import * as state from "./state";

export function idIn(pathname: string): string | null {
  const match = /^\/c\/([^/]+)\/?$/.exec(pathname);
  if (!match?.[1]) return null;
  try {
    return decodeURIComponent(match[1]);
  } catch {
    return null;
  }
}

export function addressOf(id: string | null): string {
  return id === null ? "/" : `/c/${encodeURIComponent(id)}`;
}

/** The question a link carries. Control characters but newline and tab are dropped; the length is bounded. */
export function questionIn(search: string): string | null {
  const question = new URLSearchParams(search).get("q");
  return question ? question.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "").slice(0, 20_000) : null;
}

/** Goes to a conversation (null: the first screen) and remembers it in the browser's history. */
export function go(id: string | null): void {
  if (location.pathname !== addressOf(id) || location.search) history.pushState(null, "", addressOf(id));
  show(id);
}

/** The address of what is already shown: after the first question of a new chat. */
export function noteAddress(id: string): void {
  if (location.pathname !== addressOf(id)) history.pushState(null, "", addressOf(id));
}

function show(id: string | null): void {
  state.drawerOpen.value = false;
  if (id === null) closeConversation();
  else if (state.opened.peek()?.id !== id) {
    void openConversation(id).then((found) => {
      if (found) return;
      history.replaceState(null, "", "/");
      closeConversation();
      state.notice.value = { text: "There is no such chat here any more." };
    });
  }
}

export function startRouter(): void {
  const question = questionIn(location.search);
  if (question !== null) {
    state.draft.value = question;
    history.replaceState(null, "", location.pathname);
  }
  window.addEventListener("popstate", () => show(idIn(location.pathname)));
  show(idIn(location.pathname));
}
