/** Above the thread while one goes through what was found in it. */

import { useEffect, useRef } from "preact/hooks";
import { found, leave, move } from "../found";
import * as state from "../state";

export function FoundBar() {
  const now = found.value;
  const next = useRef<HTMLButtonElement>(null);
  const here = now !== null && now.conversation === state.opened.value?.id;
  useEffect(() => {
    // On a phone the list has closed over the field that Enter was pressed in.
    if (here && matchMedia("(max-width: 50rem)").matches) next.current?.focus();
  }, [here]);
  if (!now || !here) return null;
  return (
    <div class="found-bar" role="group" aria-label="Found in this chat">
      <span>
        “{now.query}” <span class="quiet num">{now.at + 1} of {now.hits.length}</span>
      </span>
      <span class="acts">
        {now.hits.length > 1 && (
          <>
            <button type="button" class="act" onClick={() => move(-1)}>
              Previous
            </button>
            <button ref={next} type="button" class="act" onClick={() => move(1)}>
              Next
            </button>
          </>
        )}
        <button type="button" class="act" onClick={leave}>
          Done
        </button>
      </span>
    </div>
  );
}
