/** The keys that the page knows, in words. */

import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { Close } from "./icons";

export const keysOpen = signal(false);

const KEYS: readonly (readonly [string, string])[] = [
  ["Enter", "Send"],
  ["Shift+Enter", "New line"],
  ["Esc", "Stop the answer; close what is open"],
  ["Ctrl+K", "Search the chats"],
  ["Enter in the search", "Open what was found; again for the next place"],
  ["Shift+Enter in the search", "The place before"],
  ["↑ ↓", "Go through the list of chats"],
  ["F2 on a chat", "Rename it"],
  ["Delete on a chat", "Delete it (it asks first)"],
  ["Ctrl+Shift+O", "New chat"],
  ["? or Ctrl+/", "This list"],
];

export function Keys() {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    if (dialog.current && !dialog.current.open) dialog.current.showModal();
  }, []);
  return (
    <dialog ref={dialog} class="keys" aria-labelledby="keys-title" onClose={() => (keysOpen.value = false)}>
      <header>
        <h2 id="keys-title">Keys</h2>
        <button type="button" class="icon" aria-label="Close" onClick={() => dialog.current?.close()}>
          <Close />
        </button>
      </header>
      <dl>
        {KEYS.map(([keys, does]) => (
          <div key={keys}>
            <dt>{keys}</dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <p class="quiet">On a Mac, Cmd works like Ctrl.</p>
    </dialog>
  );
}
