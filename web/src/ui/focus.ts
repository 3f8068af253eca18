/** The two places that keys lead to. */

import { drawerOpen } from "../state";

export function focusComposer(): void {
  lead("#question");
}

export function focusSearch(): void {
  drawerOpen.value = true;
  lead("#search", true);
}

/**
 * At once, so that keys typed right after are not lost; and again when what was hidden has been drawn, unless the focus
 * has gone elsewhere meanwhile.
 */
function lead(selector: string, select = false): void {
  const go = (): void => {
    const field = document.querySelector<HTMLInputElement | HTMLTextAreaElement>(selector);
    if (!field || field === document.activeElement) return;
    field.focus();
    if (select) field.select();
  };
  go();
  const after = document.activeElement;
  requestAnimationFrame(() => {
    if (document.activeElement === after || document.activeElement === document.body) go();
  });
}

/** True while somebody types, or chooses, anywhere but in the question's box. */
export function busyElsewhere(): boolean {
  const here = document.activeElement;
  return here !== null && here.id !== "question" && here.matches("input, textarea, select, dialog *");
}

/** True on screens that are used with a finger: there the keyboard must not jump up by itself. */
export function touchScreen(): boolean {
  return matchMedia("(pointer: coarse)").matches;
}
