/** Deleting several chats, or all: what is chosen, and one question before it happens. */

import { useState } from "preact/hooks";
import { plural } from "../format";
import { removeMany } from "../history";
import * as state from "../state";
import { newChat } from "./newChat";

export function Picking({ picked, done }: { picked: ReadonlySet<string>; done: () => void }) {
  const [asking, ask] = useState<"" | "some" | "all">("");
  const chosen = plural(picked.size, "chat");
  const erase = async () => {
    const ids = asking === "all" ? "all" : [...picked];
    const open = state.opened.value?.id;
    if (!(await removeMany(ids))) return ask("");
    state.announcement.value = asking === "all" ? "All chats are deleted." : `${chosen} deleted.`;
    if (open !== undefined && (ids === "all" || ids.includes(open))) newChat();
    done();
  };
  return (
    <div
      class="picking"
      role="group"
      aria-label="Delete several chats"
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        if (asking) ask("");
        else done();
      }}
    >
      {asking ? (
        <>
          <p>
            {asking === "all"
              ? "Delete every chat, also those not listed here, for good?"
              : `Delete ${chosen} for good?`}
          </p>
          <span class="acts" data-last>
            <button type="button" class="act" ref={(button) => button?.focus()} onClick={() => ask("")}>
              Keep
            </button>
            <button type="button" class="act" onClick={() => void erase()}>
              {asking === "all" ? "Delete all" : "Delete"}
            </button>
          </span>
        </>
      ) : (
        <>
          <p aria-live="polite">{picked.size === 0 ? "Choose chats to delete." : `${chosen} chosen.`}</p>
          <span class="acts" data-last>
            <button type="button" class="act" disabled={picked.size === 0} onClick={() => ask("some")}>
              Delete…
            </button>
            <button type="button" class="act" onClick={() => ask("all")}>
              All…
            </button>
            <button type="button" class="act" onClick={done}>
              Done
            </button>
          </span>
        </>
      )}
    </div>
  );
}
