/** The open conversation: where it is scrolled to, what it follows, and what stays where it is. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { switchBranch } from "../actions";
import { found } from "../found";
import * as state from "../state";
import { Answer } from "./Answer";
import { FirstScreen } from "./FirstScreen";
import { FoundBar } from "./FoundBar";
import { Question } from "./Question";
import { reveal, unmark } from "./reveal";
import { Scrolling } from "./scrolling";
import { Refused } from "./Trouble";

export function Thread() {
  const scroller = useRef<HTMLDivElement>(null);
  const column = useRef<HTMLDivElement>(null);
  const scrolling = useRef<Scrolling | null>(null);
  const [away, setAway] = useState(false);
  const open = state.opened.value;
  const path = state.path.value;

  // Before the effects below, which use it.
  useLayoutEffect(() => {
    if (!scroller.current || !column.current) return;
    const made = (scrolling.current = new Scrolling(scroller.current, column.current, setAway));
    return () => made.stop();
  }, []);

  // Another conversation, or a question just asked here: to the end. What others ask moves nobody who reads elsewhere.
  const asked = state.asked.value;
  useLayoutEffect(() => {
    if (path.length > 0) scrolling.current?.follow();
    else scrolling.current?.toTop();
  }, [open?.id, asked]);

  const place = found.value;
  const landed = useRef<typeof place>(null);
  useEffect(() => {
    const box = scroller.current;
    const hit = place?.hits[place.at];
    if (!box || !place || !hit) {
      landed.current = null;
      return unmark();
    }
    if (place.conversation !== open?.id || landed.current === place) return;
    if (!path.includes(hit.message)) {
      if (state.messages.peek().has(hit.message)) void switchBranch(hit.message);
      return;
    }
    landed.current = place;
    scrolling.current?.letGo();
    void reveal(box, hit);
  }, [place, open?.id, path]);

  return (
    <div class="thread" ref={scroller} tabIndex={-1}>
      <FoundBar />
      <div class="column" ref={column}>
        {!open && !state.opening.value && <FirstScreen />}
        {open && <h1 class="offscreen">{open.title || "New chat"}</h1>}
        {path.map((id, index) => {
          const entry = state.messages.value.get(id);
          if (!entry) return null;
          return entry.peek().message.role === "user" ? (
            <Question key={id} entry={entry} />
          ) : (
            <Answer key={id} entry={entry} last={index === path.length - 1} visible={index >= path.length - 6} />
          );
        })}
        <Refused />
      </div>
      {away && (
        <button type="button" class="to-end" onClick={() => scrolling.current?.follow()}>
          To the end ↓
        </button>
      )}
    </div>
  );
}
