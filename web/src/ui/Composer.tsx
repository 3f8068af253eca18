/** The line to write on, and the switches under it. */

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { stop } from "../actions";
import { plural } from "../format";
import { askAnew, send } from "../sending";
import * as state from "../state";
import { Chips } from "./Attachments";
import { DeepThink } from "./DeepThink";
import { busyElsewhere, focusComposer, touchScreen } from "./focus";
import { Send, Stop } from "./icons";
import { Gauge } from "./Gauge";
import { Told } from "./Told";
import { grow, isSend } from "./typing";

export function Composer() {
  const box = useRef<HTMLTextAreaElement>(null);
  const text = state.draft.value;
  const writing = state.writing.value;
  const none = state.server.value !== null && state.server.value.models.length === 0;

  useLayoutEffect(() => {
    if (box.current) grow(box.current);
  }, [text]);
  const id = state.opened.value?.id;
  // Before the page is drawn, so that it takes the focus from nobody who has begun elsewhere.
  useLayoutEffect(() => {
    // Whoever goes through what was found goes on from there.
    const searching = state.query.peek().trim() !== "" && document.activeElement?.closest(".rows");
    if (!touchScreen() && !searching && !busyElsewhere()) focusComposer();
  }, [id]);
  const said = state.notYet.value;
  const ready = !writing && !state.opening.value && !none;
  useEffect(() => {
    if (ready) state.notYet.value = null;
  }, [ready]);

  const onPaste = (event: ClipboardEvent) => {
    const pasted = event.clipboardData?.getData("text/plain") ?? "";
    const limit = state.server.value?.paste_limit ?? 2000;
    if (pasted.length <= limit) return;
    event.preventDefault();
    const list = state.draftAttachments.value;
    const taken = new Set(list.map(({ name }) => name));
    let number = list.length + 1;
    while (taken.has(`pasted-${number}.txt`)) number++;
    state.draftAttachments.value = [...list, { name: `pasted-${number}.txt`, text: pasted }];
    state.announcement.value = `The pasted text is attached: ${plural(pasted.length, "character")}.`;
  };

  return (
    <form
      class="composer"
      aria-label="Ask"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <NoticeLine />
      <Chips
        list={state.draftAttachments.value}
        onRemove={(index) => {
          state.draftAttachments.value = state.draftAttachments.value.filter((_, at) => at !== index);
          focusComposer();
        }}
      />
      <textarea
        id="question"
        ref={box}
        rows={1}
        dir="auto"
        enterkeyhint="send"
        placeholder={none ? "No model can answer yet" : "Ask a question"}
        aria-label="Question"
        value={text}
        onInput={(event) => (state.draft.value = event.currentTarget.value)}
        onPaste={onPaste}
        onKeyDown={(event) => {
          if (!isSend(event)) return;
          event.preventDefault();
          void send();
        }}
      />
      {said && !ready && <p class="not-yet">{said}</p>}
      <div class="switches">
        <DeepThink />
        <Gauge />
        {writing ? (
          <button type="button" class="go" aria-label="Stop" title="Stop (Esc)" onClick={() => void stop()}>
            <Stop />
          </button>
        ) : (
          <button
            type="submit"
            class="go"
            aria-label="Send"
            title="Send (Enter)"
            disabled={state.sending.value || none || (text.trim() === "" && state.draftAttachments.value.length === 0)}
          >
            <Send />
          </button>
        )}
      </div>
    </form>
  );
}

/** What went wrong, with a way on. */
export function NoticeLine() {
  const notice = state.notice.value;
  if (!notice || notice.budget) return null;
  const newOne = () => {
    askAnew();
    focusComposer();
  };
  return (
    <div class="notice" role={notice.calm ? "status" : "alert"}>
      <span><Told text={notice.text} /></span>
      <span class="acts" data-last>
        {notice.askAnew && (
          <button type="button" class="act" onClick={newOne}>
            Ask in a new chat
          </button>
        )}
        {notice.retry && (
          <button type="button" class="act" onClick={notice.retry.run}>
            {notice.retry.label}
          </button>
        )}
        <button type="button" class="act" onClick={() => (state.notice.value = null)}>
          Dismiss
        </button>
      </span>
    </div>
  );
}
