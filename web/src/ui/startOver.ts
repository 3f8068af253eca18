import { go } from "../router";
import * as state from "../state";
import type { Message } from "../types";
import { focusComposer } from "./focus";

/** A new chat with the question of `answer` in the box, ready to be sent. */
export function startOver(answer: Message): void {
  const question = answer.parent_id === null ? undefined : state.messages.peek().get(answer.parent_id)?.peek().message;
  go(null);
  if (question) {
    state.draft.value = question.content;
    state.draftAttachments.value = question.attachments;
  }
  focusComposer();
}
