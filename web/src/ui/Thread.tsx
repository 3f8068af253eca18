/** The open conversation, scrolled to its end for as long as the reader stays there. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import * as state from "../state";
import { Answer } from "./Answer";
import { FirstScreen } from "./FirstScreen";
import { Question } from "./Question";
import { Refused } from "./Trouble";

const NEAR_END = 48;

export function Thread() {
  const scroller = useRef<HTMLDivElement>(null);
  const column = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const [away, setAway] = useState(false);
  const open = state.opened.value;
  const path = state.path.value;

  const toEnd = () => {
    const box = scroller.current;
    // The first screen is read from its beginning.
    if (box && state.opened.peek()) box.scrollTop = box.scrollHeight;
  };

  useEffect(() => {
    const box = scroller.current;
    const inner = column.current;
    if (!box || !inner) return;
    let last = box.scrollTop;
    const onScroll = () => {
      const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END;
      // Only moving up leaves the end: growth underneath moves nothing.
      if (atEnd) following.current = true;
      else if (box.scrollTop < last - 2) following.current = false;
      last = box.scrollTop;
      setAway(!atEnd && !following.current);
    };
    const observer = new ResizeObserver(() => {
      if (following.current) toEnd();
    });
    box.addEventListener("scroll", onScroll, { passive: true });
    observer.observe(inner);
    observer.observe(box);
    return () => {
      box.removeEventListener("scroll", onScroll);
      observer.disconnect();
    };
  }, []);

  // Another conversation, or a question just asked: to the end.
  const count = path.length;
  useLayoutEffect(() => {
    following.current = true;
    setAway(false);
    toEnd();
  }, [open?.id, count]);

  return (
    <div class="thread" ref={scroller} tabIndex={-1}>
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
        <button
          type="button"
          class="to-end"
          onClick={() => {
            following.current = true;
            setAway(false);
            toEnd();
          }}
        >
          To the end ↓
        </button>
      )}
    </div>
  );
}
