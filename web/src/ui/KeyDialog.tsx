/** Asked for when the server demands a key. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { keyWanted, storedKey, storeKey } from "../api";

export function KeyDialog({ onKey }: { onKey: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [key, setKey] = useState("");
  const [refused] = useState(() => storedKey() !== null);
  useLayoutEffect(() => {
    if (dialog.current && !dialog.current.open) dialog.current.showModal();
  }, []);
  return (
    <dialog ref={dialog} class="ask-key" aria-labelledby="key-title" onCancel={(event) => event.preventDefault()}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!key.trim()) return;
          storeKey(key.trim());
          keyWanted.value = false;
          onKey();
        }}
      >
        <h2 id="key-title">{refused ? "The server did not accept the key." : "This server asks for a key."}</h2>
        <p class="quiet">
          Whoever runs it makes one with <code>clearseek keys create NAME</code>. It is kept in this browser only.
        </p>
        <label>
          Key
          <input
            type="password"
            autocomplete="off"
            spellcheck={false}
            value={key}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="act">
          Use this key
        </button>
      </form>
    </dialog>
  );
}
