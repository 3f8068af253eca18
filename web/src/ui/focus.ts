/** The two places that keys lead to. */

import { drawerOpen } from "../state";

export function focusComposer(): void {
  requestAnimationFrame(() => document.querySelector<HTMLTextAreaElement>("#question")?.focus());
}

export function focusSearch(): void {
  drawerOpen.value = true;
  requestAnimationFrame(() => document.querySelector<HTMLInputElement>("#search")?.select());
}

/** True on screens that are used with a finger: there the keyboard must not jump up by itself. */
export function touchScreen(): boolean {
  return matchMedia("(pointer: coarse)").matches;
}
