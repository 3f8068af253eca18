/** What the two text boxes share. */

/** Enter without Shift, and not the Enter that ends a composition (Japanese, Chinese, accents). */
export function isSend(event: KeyboardEvent): boolean {
  return event.key === "Enter" && !event.shiftKey && !event.altKey && !event.isComposing && event.keyCode !== 229;
}

/** As high as its text; the style sheet bounds it. */
export function grow(area: HTMLTextAreaElement): void {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight}px`;
}
