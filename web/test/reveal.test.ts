import { expect, test } from "vitest";
import { rangesOf } from "../src/ui/reveal";

test("every place of every word is found, in order, whatever its case", () => {
  const root = document.createElement("div");
  root.innerHTML = "<p>Rayleigh and <em>scattering</em>, by RAYLEIGH.</p><code>no</code>";
  document.body.append(root);
  expect(rangesOf(root, ["scattering", "rayleigh"]).map(String)).toEqual(["Rayleigh", "scattering", "RAYLEIGH"]);
  expect(rangesOf(root, ["absent", ""])).toEqual([]);
});

test("letters that change their length do no harm", () => {
  const root = document.createElement("div");
  root.textContent = "İİİİ x";
  document.body.append(root);
  expect(() => rangesOf(root, ["x", "i̇"])).not.toThrow();
});
