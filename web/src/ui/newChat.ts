import { go } from "../router";
import * as state from "../state";
import { focusComposer, touchScreen } from "./focus";

export function newChat(): void {
  go(null);
  state.chosenModel.value = state.recall("model");
  if (!touchScreen()) focusComposer();
}
