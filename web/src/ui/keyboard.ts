/** The keys that work everywhere on the page. */

import { stop } from "../actions";
import * as state from "../state";
import { focusComposer, focusSearch } from "./focus";
import { keysOpen } from "./Keys";
import { newChat } from "./newChat";

/** Called before anything is drawn: no key that is pressed on what is seen may be lost. */
export function startKeys(): void {
  document.addEventListener("keydown", (event) => {
    const ctrl = event.ctrlKey || event.metaKey;
    if (ctrl && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      focusSearch();
    } else if (ctrl && event.shiftKey && event.key.toLowerCase() === "o") {
      event.preventDefault();
      newChat();
      focusComposer();
    } else if ((ctrl && event.key === "/") || (event.key === "?" && !typing(event.target))) {
      if (document.querySelector("dialog[open]")) return;
      event.preventDefault();
      keysOpen.value = true;
    } else if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
      if (state.drawerOpen.value) state.drawerOpen.value = false;
      else if (state.place.value.kind === "chat" && state.writing.value) void stop();
    }
  });
}

function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable]") !== null;
}
