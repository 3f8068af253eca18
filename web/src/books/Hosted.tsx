/** What the same tokens would have cost elsewhere: a comparison of prices, not of answers. */

import { Amount } from "../ui/Mark";
import type { Hosted, Totals } from "./shape";

/** How the source was read, where it was not the original itself. */
const PROVENANCE: Record<string, string> = {
  C: "from a verbatim copy",
  S: "from press or an analyst",
  E: "an estimate",
  D: "derived",
  R: "recalled, not checked",
};

export function HostedOffers({ hosted, total }: { hosted: Hosted[]; total: Totals }) {
  if (hosted.length === 0 || total.answers === 0) return null;
  return (
    <section aria-labelledby="hosted">
      <h2 id="hosted">The same tokens on a hosted API</h2>
      <p class="quiet">
        At the prices of the hour in which they were used. Other models would give other answers, of other lengths: this
        compares prices only.
      </p>
      <div class="wide" tabIndex={0} role="group" aria-labelledby="hosted">
        <table>
          <thead>
            <tr>
              <th scope="col">Offer</th>
              <th scope="col">Of</th>
              <th scope="col" class="n">Would have cost</th>
              <th scope="col">Source</th>
            </tr>
          </thead>
          <tbody>
            {hosted.map((offer) => (
              <tr key={`${offer.provider} ${offer.offer}`}>
                <th scope="row">
                  {offer.offer}
                  {offer.note && <small>{offer.note}</small>}
                </th>
                <td>{offer.provider}</td>
                <td class="n"><Amount of={offer.money} /></td>
                <td>
                  {offer.source}
                  <small>
                    {[offer.as_of && `as of ${offer.as_of}`, PROVENANCE[offer.provenance ?? ""]].filter(Boolean).join(", ")}
                  </small>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
