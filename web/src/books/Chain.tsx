/** Whether the ledger is whole: checked by the server when this page asked. */

import { plural } from "../format";
import { Told } from "../ui/Told";
import type { BooksAnswer } from "./shape";

export function Chain({ chain }: { chain: BooksAnswer["chain"] }) {
  const { entries, head, state, problem } = chain;
  const whole = state === "intact";
  return (
    <section aria-labelledby="chain">
      <h2 id="chain">The ledger</h2>
      <p>
        {entries === 0 && whole ? (
          "It has no entries yet."
        ) : (
          <>
            {plural(entries, "entry", "entries")},{" "}
            <strong class={whole ? "good" : "bad"} data-chain={state}>
              {whole ? "intact" : state}
            </strong>
            {whole && " just now: every entry carries the hash of the one before it."}
          </>
        )}
      </p>
      {problem && <p role="alert"><Told text={problem} /></p>}
      {head && entries > 0 && (
        <p class="quiet">
          Head <code class="hash">{head}</code>. Who writes this down today can tell tomorrow whether anything before it was changed.
        </p>
      )}
      <p class="quiet">
        <code>clearseek ledger</code> shows the same in a terminal.
      </p>
    </section>
  );
}
