/** The two places that keys lead to. */

import { drawerOpen } from "../state";

export function focusComposer(): void {
  lead("#question");
}

export function focusSearch(): void {
  drawerOpen.value = true;
  lead("#search", true);
}

/** At once, so that keys typed right after are not lost; and again when what was hidden has been drawn. */
function lead(selector: string, select = false): void {
  const go = (): void => {
    const field = document.querySelector<HTMLInputElement | HTMLTextAreaElement>(selector);
    if (!field || field === document.activeElement) return;
    field.focus();
    if (select) field.select();
  };
  go();
  requestAnimationFrame(go);
}

/** True on screens that are used with a finger: there the keyboard must not jump up by itself. */
export function touchScreen(): boolean {
  return matchMedia("(pointer: coarse)").matches;
}
