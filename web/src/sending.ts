/** From the box to the server; and where it cannot go there now, why. */

import { ask } from "./actions";
import { carryTo, newDraft, sent, setDraft } from "./drafts";
import { go, noteAddress } from "./router";
import * as state from "./state";

/** Sends what is in the box. The text stays there until the server has it; why it cannot go is said under the box. */
export async function send(): Promise<void> {
  const text = state.draft.value;
  const attachments = state.draftAttachments.value;
  if (state.sending.value || (text.trim() === "" && attachments.length === 0)) return;
  const why = whyNot();
  state.notYet.value = why;
  if (why !== null) {
    // A change is what screen readers say, so the same words need one.
    state.announcement.value = state.announcement.peek() === why ? `${why} ` : why;
    return;
  }
  if (state.gone.value) return askAnew();
  const id = await ask(text, attachments);
  if (id === null) return;
  sent(id, text, attachments);
  if (state.opened.peek()?.id === id) noteAddress(id);
}

/** Takes what is in the box to a new chat, and asks it there; what waited in the box of a new chat comes after it. */
export function askAnew(): void {
  const waiting = newDraft();
  carryTo(null);
  go(null);
  void send().then(() => {
    if (!waiting) return;
    if (state.opened.peek() !== null) setDraft(null, waiting);
    else state.draft.value = `${state.draft.peek()}\n\n${waiting}`;
  });
}

/** Asks something that was not typed, in a new chat; it stands in the box where it could not be asked. */
export async function askThis(text: string): Promise<void> {
  const id = await ask(text, []);
  if (id !== null) noteAddress(id);
  else if (state.draft.peek().trim() === "") state.draft.value = text;
}

function whyNot(): string | null {
  if (state.writing.value) return "The answer is still being written. Enter sends when it is done; Esc stops it.";
  if (state.opening.value || state.boxOf.value !== (state.opened.value?.id ?? null)) return "The chat is still being opened. Enter sends when it is here.";
  if (state.server.value?.models.length === 0) return "No model is installed, so nothing can answer yet.";
  return null;
}
