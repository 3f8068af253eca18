/** The shipped claims, each with its verdict in a line. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { keyWanted, request, sentence } from "../api";
import { auditAddress, onLink } from "../router";
import type { ClaimRow } from "./shape";
import { headlineWords, SCOPES, statusWords } from "./words";

export function ClaimList() {
  const [claims, setClaims] = useState<ClaimRow[] | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const title = useRef<HTMLHeadingElement>(null);
  const asked = keyWanted.value;
  useLayoutEffect(() => title.current?.focus({ preventScroll: true }), []);
  useEffect(() => {
    const abort = new AbortController();
    request<ClaimRow[]>("GET", "/api/audit/claims", undefined, abort.signal).then(setClaims, (error: unknown) => {
      if (!abort.signal.aborted) setTrouble(sentence(error));
    });
    return () => abort.abort();
  }, [asked]);
  return (
    <>
      <header class="head">
        <h1 ref={title} tabIndex={-1}>
          Audit
        </h1>
      </header>
      <p class="lead">
        What was said in public about training runs, fleets and services, held against arithmetic. A verdict is about numbers
        that are on the table, never about people; what nothing can be held against is called underdetermined, not false.
      </p>
      {trouble && <p role="alert">{trouble}</p>}
      {!claims && !trouble && <p class="quiet">Reckoning…</p>}
      {claims?.length === 0 && <p class="quiet">No claims are shipped with this copy.</p>}
      <ul class="claims">
        {claims?.map((claim) => (
          <li key={claim.name}>
            <a href={auditAddress(claim.name)} onClick={onLink}>
              <span class="title">{claim.title}</span>
              <span class="status" data-status={claim.status}>
                {statusWords(claim.status)}
              </span>
              <span class="about">{headlineWords(claim.headline)}</span>
              <span class="about when num">
                {[claim.date, SCOPES[claim.scope] ?? claim.scope].filter(Boolean).join(" · ")}
                {claim.warnings > 0 && ` · ${claim.warnings} ${claim.warnings === 1 ? "warning" : "warnings"}`}
              </span>
            </a>
          </li>
        ))}
      </ul>
      <p class="quiet">
        <code>clearseek audit FILE</code> examines a claim of your own, or a receipt, in a terminal.
      </p>
    </>
  );
}
