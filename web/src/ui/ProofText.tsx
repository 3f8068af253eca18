/** A proof as the server tells it: docs/receipts.md has the fields. Everything in it is text of others. */

import type { ComponentChildren } from "preact";
import { moment, parameters } from "../format";
import { plainAmount, type Quantity } from "../quantity";
import { Amount } from "./Mark";
import { Evaluations, Stages, type Evaluation, type Stage } from "./ProofTables";
import { Told } from "./Told";

export interface OriginCard {
  kind: "origin";
  name: string;
  description: string;
  source: string;
  source_words: string;
  revision: string | null;
  licence: string | null;
  architecture: string | null;
  parameters: number | null;
  quantisation: string | null;
  sha256: { fetched: string | null; served: string | null };
  bytes: number | null;
  changes: string[];
  unknown: { what: string; why: string }[];
}

export interface ReceiptCard {
  kind: "receipt";
  name: string;
  receipt_sha256: string;
  keyid: string | null;
  /** Whose key signed, in a sentence. */
  signed: string;
  ok: boolean;
  problems: string[];
  made: { at?: string; by?: string } | null;
  run: { name?: string; started_at?: string; finished_at?: string } | null;
  base: { name?: string } | null;
  stages: Stage[];
  totals: Record<string, Quantity>;
  evaluations: Evaluation[];
  /** This run and all that it builds on; null where it builds on none. `known_part`: of what is unknown of some. */
  all_runs: {
    runs: { name: string }[];
    missing: string[];
    totals: Record<string, Quantity>;
    known_part: Record<string, Quantity & { runs: number }>;
  } | null;
  cannot_prove: string[];
}

export type ProofOf = OriginCard | ReceiptCard;

/** `answered` is the digest of the weights that gave an answer. */
export function ProofText({ proof, answered }: { proof: ProofOf; answered: string | null }) {
  return proof.kind === "origin" ? <Origin card={proof} answered={answered} /> : <Made card={proof} />;
}

function Origin({ card, answered }: { card: OriginCard; answered: string | null }) {
  const { served, fetched } = card.sha256;
  const other = answered !== null && served !== null && answered !== served;
  return (
    <>
      <p><Told text={card.description} /></p>
      <p class="quiet">Others made this model, so it has no receipt. This card says what is known of it, and what is not.</p>
      <dl class="facts">
        <Fact name="From">{card.source_words}</Fact>
        <Fact name="Revision">{card.revision}</Fact>
        <Fact name="Licence">{card.licence}</Fact>
        <Fact name="Architecture">{card.architecture}</Fact>
        <Fact name="Parameters">{parameters(card.parameters)}</Fact>
        <Fact name="Size">{card.bytes && [plainAmount(card.bytes, "B"), card.quantisation].filter(Boolean).join(", ")}</Fact>
        <Fact name="SHA-256 as fetched">{fetched && <code class="hash">{fetched}</code>}</Fact>
        <Fact name="SHA-256 as it answers">{served && <code class="hash">{served}</code>}</Fact>
      </dl>
      {other && (
        <p role="alert">The answer was given by other weights, which are not installed now: {answered.slice(0, 16)}…</p>
      )}
      {card.changes.length > 0 && <h3>What was done to it here</h3>}
      <Texts list={card.changes} />
      <h3>What is unknown</h3>
      <dl class="facts">
        {card.unknown.map(({ what, why }) => (
          <Fact key={what} name={what}>
            <Told text={why} />
          </Fact>
        ))}
      </dl>
    </>
  );
}

const NAMES: Record<string, string> = {
  wall: "Time", energy: "Energy", money: "Money", cpu: "Processor time", gpu: "GPU time", prompt_tokens: "Tokens read", cached_tokens: "Tokens reused",
  completion_tokens: "Tokens written", reasoning_tokens: "Tokens of thinking", flops: "Work", bytes: "Bytes",
};

const ORDER = Object.keys(NAMES);

/** What people ask for first stands first; a total of a name that is not known here comes last. */
function byName([a]: [string, Quantity], [b]: [string, Quantity]): number {
  return (ORDER.indexOf(a) + 1 || ORDER.length + 1) - (ORDER.indexOf(b) + 1 || ORDER.length + 1);
}

function Made({ card }: { card: ReceiptCard }) {
  return (
    <>
      <p>
        {card.ok ? (
          <>
            <strong class="good">The receipt is in order</strong>: its signature, its form and its sums hold, and it is about these
            weights.
          </>
        ) : (
          <strong class="bad">The receipt is not in order.</strong>
        )}
      </p>
      <Texts list={card.problems} />
      <dl class="facts">
        <Fact name="Run">{card.run?.name}</Fact>
        <Fact name="Began"><Moment at={card.run?.started_at} /></Fact>
        <Fact name="Ended"><Moment at={card.run?.finished_at} /></Fact>
        <Fact name="From">{card.base?.name}</Fact>
        <Fact name="Receipt made">{card.made?.at && <><Moment at={card.made.at} /> by {card.made.by}</>}</Fact>
        {Object.entries(card.totals).sort(byName).map(([name, quantity]) => (
          <Fact key={name} name={NAMES[name] ?? name}>
            <Amount of={quantity} />
          </Fact>
        ))}
      </dl>
      {card.all_runs && <AllRuns all={card.all_runs} />}
      <Evaluations list={card.evaluations} />
      <Stages list={card.stages} />
      <h3>The receipt itself</h3>
      <dl class="facts">
        <Fact name="Receipt, SHA-256"><code class="hash">{card.receipt_sha256}</code></Fact>
        <Fact name="Whose signature">{card.signed}</Fact>
        <Fact name="Signed with key">{card.keyid && <code class="hash">{card.keyid}</code>}</Fact>
      </dl>
      <h3>What a receipt cannot prove</h3>
      <Texts list={card.cannot_prove} />
      <p class="quiet">
        <code>clearseek receipt verify</code> checks every digest and the chain as well.
      </p>
    </>
  );
}

/** A time to the minute, in UTC as the receipt has it. */
function Moment({ at }: { at: string | undefined }) {
  return at === undefined ? <>unknown</> : <time dateTime={at}>{moment(at)}</time>;
}

/** What every run took that led to this model: the figures above are of the last one alone. */
function AllRuns({ all }: { all: NonNullable<ReceiptCard["all_runs"]> }) {
  const count = all.runs.length + all.missing.length;
  return (
    <>
      <h3>All {count} runs together</h3>
      <p>
        What is above is the last of {count} runs that made this model: {[...all.runs].reverse().map((run) => run.name).join(", ")}
        {all.missing.length > 0 && `; the receipt of ${all.missing.join(", ")} is not here`}.
      </p>
      <dl class="facts">
        {Object.entries(all.totals).map(([name, quantity]) => (
          <Fact key={name} name={NAMES[name] ?? name}>
            <Amount of={quantity} />
            {all.known_part[name] && (
              <>
                {" "}
                of {all.known_part[name].runs} of them <Amount of={all.known_part[name]} />
              </>
            )}
          </Fact>
        ))}
      </dl>
    </>
  );
}

function Fact({ name, children }: { name: string; children?: ComponentChildren }) {
  if (children === null || children === undefined || children === "" || children === 0) return null;
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Texts({ list }: { list: readonly string[] }) {
  return list.length === 0 ? null : (
    <ul class="texts">
      {list.map((line) => (
        <li key={line}>
          <Told text={line} />
        </li>
      ))}
    </ul>
  );
}
