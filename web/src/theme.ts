/** Light or dark: the system's, until one is chosen by hand. */

import { signal } from "@preact/signals";
import { keep, recall } from "./state";

type Theme = "light" | "dark";

const system = matchMedia("(prefers-color-scheme: dark)");

function now(): Theme {
  const chosen = recall("theme");
  if (chosen === "light" || chosen === "dark") return chosen;
  return system.matches ? "dark" : "light";
}

export const theme = signal<Theme>(now());
system.addEventListener("change", () => (theme.value = now()));

/** The other one. Choosing what the system has anyway gives the choice back to the system. */
export function toggleTheme(): void {
  const next: Theme = theme.value === "dark" ? "light" : "dark";
  const sameAsSystem = next === (system.matches ? "dark" : "light");
  keep("theme", sameAsSystem ? null : next);
  if (sameAsSystem) delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = next;
  theme.value = next;
}
