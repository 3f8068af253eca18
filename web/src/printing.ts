/**
 * Paper gets the whole chat, drawn, in dark ink. On the screen only answers near the window are drawn as Markdown; when
 * the browser is about to print, all are, and it waits for nobody: that happens before its event is over.
 */

import { signal } from "@preact/signals";
import { options } from "preact";

export const printing = signal(false);

/** Draws what `change` changes before it returns, as a browser that is about to print needs. */
function atOnce(change: () => void): void {
  const before = options.debounceRendering;
  options.debounceRendering = (render) => render();
  try {
    change();
  } finally {
    if (before) options.debounceRendering = before;
    else delete options.debounceRendering;
  }
}

export function startPrinting(): void {
  const set = (on: boolean) => atOnce(() => (printing.value = on));
  window.addEventListener("beforeprint", () => set(true));
  window.addEventListener("afterprint", () => set(false));
}
