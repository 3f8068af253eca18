export function Audit({ claim }: { claim: string | null }) {
  return <div class="sheet">{claim}</div>;
}
