/** The text of a proof. */

export interface ProofOf {
  kind: "origin" | "receipt";
}

export function ProofText({ proof, answered }: { proof: ProofOf; answered: string | null }) {
  return <p>{proof.kind} {answered}</p>;
}
