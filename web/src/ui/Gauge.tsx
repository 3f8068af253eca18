/** How full the model's context is, before it is too full: nothing in the first half, then a quiet line. */

import { count, plural } from "../format";
import { fullness } from "../state";
import { Mark } from "./Mark";

const TELL = 0.5;
const NEARLY = 0.8;

export function Gauge() {
  const now = fullness.value;
  if (!now || now.tokens < now.holds * TELL) return null;
  const left = Math.max(0, now.holds - now.tokens);
  const nearly = now.tokens >= now.holds * NEARLY;
  return (
    <span class="gauge num" data-nearly={nearly || undefined}>
      {nearly
        ? `${plural(left, "token")} left for this chat`
        : `${count(now.tokens)} of ${count(now.holds)} tokens`}
      <Mark basis="measured" how="the last prompt and answer, as the engine counted them; thinking is not sent again" />
    </span>
  );
}
