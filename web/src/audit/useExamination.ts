/** One claim as it stands and as moved: asked again shortly after every change, the latest answer wins. */

import { useEffect, useRef, useState } from "preact/hooks";
import { keyWanted, request, sentence } from "../api";
import { auditAddress } from "../router";
import { changesIn, searchOf, type Changes } from "./changes";
import type { Examination, Input } from "./shape";

const WAIT_MS = 90;

export interface Examined {
  /** With the changes in it; while an answer is on its way, the one before. */
  shown: Examination | null;
  /** As the claim stands: the sliders keep its ends, so that they do not run away under the finger. */
  base: Examination | null;
  changes: Changes;
  change: (changes: Changes) => void;
  busy: boolean;
  /** The claim cannot be shown at all. */
  trouble: string | null;
  /** The last change cannot be. */
  refused: string | null;
}

export function useExamination(name: string): Examined {
  const [base, setBase] = useState<Examination | null>(null);
  const [shown, setShown] = useState<Examination | null>(null);
  const [changes, setChanges] = useState<Changes>(() => changesIn(location.search));
  const [busy, setBusy] = useState(true);
  const [trouble, setTrouble] = useState<string | null>(null);
  const [refused, setRefused] = useState<string | null>(null);
  const asked = keyWanted.value;
  const first = useRef(true);

  useEffect(() => {
    const abort = new AbortController();
    examine(name, new Map(), [], abort.signal).then(setBase, (error: unknown) => {
      if (abort.signal.aborted) return;
      setBusy(false);
      setTrouble(sentence(error));
    });
    return () => abort.abort();
  }, [name, asked]);

  useEffect(() => {
    if (!base) return;
    if (changes.size === 0) {
      setShown(base);
      setBusy(false);
      setRefused(null);
      return;
    }
    const abort = new AbortController();
    setBusy(true);
    const timer = window.setTimeout(
      () => {
        examine(name, changes, base.inputs, abort.signal).then(
          (found) => {
            setShown(found);
            setRefused(null);
            setBusy(false);
          },
          (error: unknown) => {
            if (abort.signal.aborted) return;
            setShown((before) => before ?? base);
            setRefused(sentence(error));
            setBusy(false);
          },
        );
      },
      first.current ? 0 : WAIT_MS,
    );
    first.current = false;
    return () => {
      window.clearTimeout(timer);
      abort.abort();
    };
  }, [base, changes]);

  const change = (next: Changes) => {
    setChanges(next);
    // Replaced, not pushed: "back" leaves the claim, and does not replay every step of a slider.
    history.replaceState(null, "", auditAddress(name) + searchOf(next));
  };
  return { shown, base, changes, change, busy, trouble, refused };
}

function examine(name: string, changes: Changes, inputs: readonly Input[], abort: AbortSignal): Promise<Examination> {
  const set = Object.fromEntries(
    [...changes].map(([path, value]) => {
      const unit = inputs.find((input) => input.path === path)?.quantity.unit;
      return [path, typeof value === "number" && unit !== undefined ? { value, unit } : value];
    }),
  );
  return request<Examination>("POST", "/api/audit", { claim: name, set }, abort);
}
