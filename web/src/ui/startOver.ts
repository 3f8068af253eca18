import { go } from "../router";
import * as state from "../state";
import type { Message } from "../types";
import { focusComposer } from "./focus";

/** A new chat with the question of `answer` in the box, ready to be sent. */
export function startOver(answer: Message): void {
  const question = answer.parent_id === null ? undefined : state.messages.peek().get(answer.parent_id)?.peek().message;
  go(null);
  if (question) {
    // What waits in the box already comes after it.
    const waiting = [question.content, state.draft.peek()].filter((text) => text.trim() !== "");
    state.draft.value = waiting.join("\n\n");
    state.draftAttachments.value = [...question.attachments, ...state.draftAttachments.peek()].slice(0, 20);
  }
  focusComposer();
}
