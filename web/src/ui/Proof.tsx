/** Where a model's weights come from: the receipt of the run that made them, or the origin card of what is known. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { request, sentence } from "../api";
import { Close } from "./icons";
import { ProofText, type ProofOf } from "./ProofText";
import "../styles/proof.css";

interface ProofProps {
  model: string;
  /** Of the weights that gave the answer, which may not be those that are installed now. */
  digest?: string | null;
  close: () => void;
}

export function Proof({ model, digest = null, close }: ProofProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [proof, setProof] = useState<ProofOf | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  useLayoutEffect(() => {
    if (dialog.current && !dialog.current.open) dialog.current.showModal();
  }, []);
  useEffect(() => {
    const abort = new AbortController();
    request<ProofOf>("GET", `/api/models/${encodeURIComponent(model)}/proof`, undefined, abort.signal).then(
      setProof,
      (error: unknown) => {
        if (!abort.signal.aborted) setTrouble(sentence(error));
      },
    );
    return () => abort.abort();
  }, [model]);
  return (
    <dialog ref={dialog} class="viewer proof" aria-labelledby="proof-title" onClose={close}>
      <header>
        <h2 id="proof-title">{model}</h2>
        <button type="button" class="icon" aria-label="Close" onClick={close}>
          <Close />
        </button>
      </header>
      <div class="scrolls" tabIndex={0} role="region" aria-label="Proof">
        {trouble && <p role="alert">{trouble}</p>}
        {!trouble && !proof && <p class="quiet">Looking it up…</p>}
        {proof && <ProofText proof={proof} answered={digest} />}
      </div>
    </dialog>
  );
}
