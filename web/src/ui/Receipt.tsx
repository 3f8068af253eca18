/** The quiet line under an answer, and behind it what was counted. */

import { useState } from "preact/hooks";
import { count, duration, plural, rate } from "../format";
import { amount, type Basis, type Quantity } from "../quantity";
import { onLink } from "../router";
import type { Message, Spent, Timings, Usage } from "../types";
import { later } from "./later";
import { Mark } from "./Mark";
import { Told } from "./Told";

const Proof = later(() => import("./Proof").then((module) => module.Proof));

/** A piece of the line; `basis` where it is a number that needs one, `how` where it came from. */
export interface Part {
  text: string;
  basis?: Basis;
  how?: string;
}

export function Receipt({ message }: { message: Message }) {
  const [proof, showProof] = useState(false);
  const line = receiptLine(message);
  if (line.length === 0) return null;
  const { model, model_digest: digest, spent } = message;
  return (
    <details class="receipt">
      <summary>
        {line.map((part, index) => (
          <span key={index}>
            {part.text}
            {part.basis && <Mark basis={part.basis} how={part.how ?? ""} />}
          </span>
        ))}
      </summary>
      <dl>
        {receiptItems(message).map(([what, part]) => (
          <div key={what}>
            <dt>{what}</dt>
            <dd>
              {part.text}
              {part.basis && <Mark basis={part.basis} how={part.how ?? ""} />}
            </dd>
            {part.how && (
              <dd class="how">
                <Told text={part.how} />
                {part.basis === "unknown" && (what === "Money" || what === "Energy") && (
                  <>
                    {" "}
                    <a class="act" href="/books#prices" onClick={onLink}>
                      {what === "Money" ? "How to declare a price" : "How to declare it"}
                    </a>
                  </>
                )}
              </dd>
            )}
          </div>
        ))}
        {model && (
          <div>
            <dt>Model</dt>
            <dd>
              <button type="button" class="act" aria-haspopup="dialog" onClick={() => showProof(true)}>
                {model}
              </button>
            </dd>
            {digest && (
              <dd class="how">
                weights <code title={`SHA-256 ${digest}`}>{digest.slice(0, 16)}</code>
              </dd>
            )}
          </div>
        )}
        {spent?.entry && (
          <div>
            <dt>In the books</dt>
            <dd>
              <a class="act" href="/books" onClick={onLink}>
                entry {count(spent.entry.seq)}
              </a>
            </dd>
            <dd class="how">
              hash <code title={`SHA-256 ${spent.entry.hash}`}>{spent.entry.hash.slice(0, 16)}</code>
            </dd>
          </div>
        )}
      </dl>
      {proof && model && <Proof model={model} digest={digest} close={() => showProof(false)} />}
    </details>
  );
}

/** How the answer ended, where that was not of itself. */
export function endWords(message: Message): string | null {
  if (message.error?.code === "budget") return "ended by the budget";
  if (message.status === "stopped") return "stopped";
  if (message.status === "interrupted") return "interrupted";
  if (message.finish_reason === "length") return "cut at the length limit";
  if (message.finish_reason === "repeating") return "stopped: it was repeating itself";
  if (message.finish_reason === "aborted") return "broken off by the engine";
  if (message.finish_reason === "content_filter") return "withheld by the engine's filter";
  return null;
}

export function receiptLine(message: Message): Part[] {
  const { usage, timings, spent } = message;
  const parts: Part[] = [];
  const end = endWords(message);
  if (end) parts.push({ text: end });
  if (message.dropped_turns > 0) parts.push({ text: `left out the ${plural(message.dropped_turns, "oldest turn")}` });
  if (usage) parts.push(tokens(usage.completion_tokens));
  const whole = timings && elapsed(timings);
  if (whole) parts.push(whole);
  else if (spent) parts.push(told(spent.wall));
  if (spent) parts.push(...costs(spent));
  if (message.model) parts.push({ text: message.model });
  return parts;
}

/** Joules and money; what is not known says so, once where neither is. */
function costs({ energy, money }: Spent): Part[] {
  if (energy.value === null && money.value === null) {
    return [{ text: "energy and money unknown", basis: "unknown", how: money.how }];
  }
  const named = (name: string, quantity: Quantity): Part => {
    const part = told(quantity);
    return quantity.value === null ? { ...part, text: `${name} unknown` } : part;
  };
  return [named("energy", energy), named("money", money)];
}

function told(quantity: Quantity): Part {
  return { text: amount(quantity), basis: quantity.basis, how: quantity.how };
}

function tokens(number: number): Part {
  return { text: plural(number, "token"), basis: "measured" };
}

function seconds(number: number, how = ""): Part {
  return { text: duration(number), basis: "measured", how };
}

/** From the question to the end; null where the phases were not measured (an older receipt says 0 then). */
function elapsed({ queue, prompt, decode, clock }: Timings): Part | null {
  const phases = (prompt ?? 0) + (decode ?? 0);
  if (phases <= 0) return null;
  const how = clock === "server"
    ? "from the question to the end, by the server's clock"
    : "waiting by the server's clock, reading and writing by the engine's";
  return seconds((queue ?? 0) + phases, how);
}

/** By its own clock the server sees when an answer begins and ends, and not how long the engine read and wrote. */
function phaseItems({ queue, prompt, decode, clock }: Timings, usage: Usage | null): [string, Part][] {
  const items: [string, Part][] = [];
  const server = clock === "server";
  if (queue !== null && queue >= 0.05) items.push(["Waiting", seconds(queue)]);
  const first = server ? (decode === null ? "Until it came, all at once" : "Until it began") : "Reading the prompt";
  if (prompt) items.push([first, seconds(prompt, server ? "by the server's clock" : "")]);
  if (decode) items.push([server ? "From there to the end" : "Writing", seconds(decode, server ? "by the server's clock" : "")]);
  const speed = !server && usage && decode && rate(usage.completion_tokens, decode);
  if (speed) items.push(["Speed", { text: speed, basis: "measured" }]);
  return items;
}

export function receiptItems({ usage, timings, spent, thinking }: Message): [string, Part][] {
  const items: [string, Part][] = [];
  if (usage) {
    items.push(["Prompt", tokens(usage.prompt_tokens)]);
    // A remote engine that says nothing of a cache is not one that reused nothing.
    const said = usage.cached_tokens > 0 || timings?.clock !== "server";
    if (said) items.push(["Reused from the cache", tokens(usage.cached_tokens)]);
    if (usage.reasoning_tokens > 0) items.push(["Thinking", tokens(usage.reasoning_tokens)]);
    const together = thinking && usage.reasoning_tokens === 0; // an engine that does not count it apart
    items.push([together ? "Thinking and answer" : "Answer", tokens(usage.completion_tokens - usage.reasoning_tokens)]);
  }
  if (timings) items.push(...phaseItems(timings, usage));
  if (spent) {
    items.push(["The machine's time", told(spent.wall)]);
    items.push(["Processor time", told(spent.cpu)]);
    if (spent.flops) items.push(["Work", told(spent.flops)]);
    items.push(["Energy", told(spent.energy)]);
    items.push(["Money", told(spent.money)]);
  }
  return items;
}
