/**
 * Addresses: `/` is the first screen, `/c/ID` a conversation, `/books` the books, `/audit` and `/audit/NAME` the audit.
 * `?q=` fills the box, and never sends.
 */

import { closeConversation, openConversation } from "./actions";
import { setDraft } from "./drafts";
import * as state from "./state";

export function idIn(pathname: string): string | null {
  return nameAfter("c", pathname);
}

function nameAfter(first: string, pathname: string): string | null {
  const [, start, name = "", ...rest] = pathname.replace(/\/$/, "").split("/");
  if (start !== first || !name || rest.length > 0) return null;
  try {
    return decodeURIComponent(name);
  } catch {
    return null;
  }
}

export function addressOf(id: string | null): string {
  return id === null ? "/" : `/c/${encodeURIComponent(id)}`;
}

export function auditAddress(claim: string | null): string {
  return claim === null ? "/audit" : `/audit/${encodeURIComponent(claim)}`;
}

/** What the address shows. */
export function placeIn(pathname: string): state.Place {
  if (/^\/books\/?$/.test(pathname)) return { kind: "books" };
  if (/^\/audit(\/|$)/.test(pathname)) return { kind: "audit", claim: nameAfter("audit", pathname) };
  return { kind: "chat" };
}

/** The question a link carries. Control characters but newline and tab are dropped; the length is bounded. */
export function questionIn(search: string): string | null {
  const question = new URLSearchParams(search).get("q");
  return question ? question.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "").slice(0, 20_000) : null;
}

/** Goes to a conversation (null: the first screen) and remembers it in the browser's history. */
export function go(id: string | null): void {
  visit(addressOf(id));
}

/** Goes to any address of the page and remembers it in the browser's history. */
export function visit(address: string): void {
  if (location.pathname + location.search + location.hash !== address) history.pushState(null, "", address);
  show();
}

/** For links within the page: a plain click stays here, everything else is the browser's. */
export function onLink(event: MouseEvent): void {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button !== 0) return;
  const link = event.currentTarget as HTMLAnchorElement;
  event.preventDefault();
  visit(link.pathname + link.search + link.hash);
}

/** The address of what is already shown: after the first question of a new chat. */
export function noteAddress(id: string): void {
  if (location.pathname !== addressOf(id)) history.pushState(null, "", addressOf(id));
}

function show(): void {
  state.drawerOpen.value = false;
  const place = placeIn(location.pathname);
  const before = state.place.peek();
  if (place.kind !== before.kind || (place.kind === "audit" && before.kind === "audit" && place.claim !== before.claim)) {
    state.place.value = place;
    state.notice.value = null;
  }
  if (place.kind !== "chat") return;
  const id = idIn(location.pathname);
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
  if (question !== null && placeIn(location.pathname).kind === "chat") {
    setDraft(idIn(location.pathname), question);
    history.replaceState(null, "", location.pathname);
  }
  window.addEventListener("popstate", show);
  // Who asked before the page was ready has a chat open already, and stays in it.
  const asked = state.sending.peek() || state.opened.peek() !== null;
  if (!(asked && location.pathname === "/")) show();
}
