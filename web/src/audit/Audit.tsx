/** The audit of public claims: all of them in a list, or one with inputs to move. */

import { ClaimList } from "./ClaimList";
import { ClaimPage } from "./ClaimPage";
import "../styles/books.css";
import "../styles/audit.css";

export function Audit({ claim }: { claim: string | null }) {
  return (
    <div class="sheet" key={claim}>
      <div class="leaf">{claim === null ? <ClaimList /> : <ClaimPage name={claim} />}</div>
    </div>
  );
}
