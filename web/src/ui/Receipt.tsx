/** The quiet line under an answer, and behind it what was counted. */

import { count, duration, plural, rate } from "../format";
import type { Message } from "../types";

export function Receipt({ message }: { message: Message }) {
  const line = receiptLine(message);
  const items = receiptItems(message);
  if (line.length === 0) return null;
  return (
    <details class="receipt">
      <summary title={items.map(([what, value]) => `${what}: ${value}`).join("\n")}>
        {line.map((part, index) => (
          <span key={index}>{part}</span>
        ))}
      </summary>
      <dl>
        {items.map(([what, value]) => (
          <div key={what}>
            <dt>{what}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

/** How the answer ended, where that was not of itself. */
export function endWords(message: Message): string | null {
  if (message.status === "stopped") return "stopped";
  if (message.status === "interrupted") return "interrupted";
  if (message.finish_reason === "length") return "cut at the length limit";
  if (message.finish_reason === "aborted") return "broken off by the engine";
  return null;
}

export function receiptLine(message: Message): string[] {
  const { usage, timings } = message;
  const parts: (string | null)[] = [endWords(message)];
  if (message.dropped_turns > 0) parts.push(`left out the ${plural(message.dropped_turns, "oldest turn")}`);
  if (usage) parts.push(plural(usage.completion_tokens, "token"));
  if (usage && timings) parts.push(rate(usage.completion_tokens, timings.decode));
  if (timings) parts.push(duration(timings.queue + timings.prompt + timings.decode));
  if (usage) parts.push(`${count(usage.cached_tokens)} of ${count(usage.prompt_tokens)} cached`);
  if (message.model) parts.push(message.model);
  return parts.filter((part) => part !== null);
}

function receiptItems({ usage, timings, model, model_digest }: Message): [string, string][] {
  const items: [string, string][] = [];
  if (usage) {
    items.push(["Prompt", plural(usage.prompt_tokens, "token")]);
    items.push(["Reused from the cache", plural(usage.cached_tokens, "token")]);
    if (usage.reasoning_tokens > 0) items.push(["Thinking", plural(usage.reasoning_tokens, "token")]);
    items.push(["Answer", plural(usage.completion_tokens - usage.reasoning_tokens, "token")]);
  }
  if (timings) {
    if (timings.queue >= 0.05) items.push(["Waiting", duration(timings.queue)]);
    items.push(["Reading the prompt", duration(timings.prompt)]);
    items.push(["Writing", duration(timings.decode)]);
  }
  if (usage || timings) items.push(["Basis", "measured"]);
  if (model) items.push(["Model", model]);
  if (model_digest) items.push(["Weights, SHA-256", model_digest.slice(0, 16)]);
  return items;
}
