/** Where the focus goes when what had it is gone: never to the top of the page. */

import { focusComposer, touchScreen } from "./focus";

/** Watches for buttons and fields that go away, or can no longer be used, while they have the focus. */
export function keepFocus(): void {
  let last: { element: Element; around: Element[] } | null = null;
  document.addEventListener("focusin", ({ target }) => {
    if (!(target instanceof Element)) return;
    const around: Element[] = [];
    for (let one = target.parentElement; one; one = one.parentElement) around.push(one);
    last = { element: target, around };
  });
  const look = () => {
    if (!last || (last.element.isConnected && !last.element.matches(":disabled"))) return;
    const { around } = last;
    if (document.activeElement !== null && document.activeElement !== document.body && document.activeElement.isConnected) {
      if (!document.activeElement.matches(":disabled")) return;
    }
    last = null;
    const near = around.find((one) => one.isConnected);
    if (near) lead(near);
  };
  const observer = new MutationObserver(() => {
    if (last && (!last.element.isConnected || last.element.matches(":disabled"))) requestAnimationFrame(look);
  });
  observer.observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ["disabled"] });
}

/** To what is of most use near where it was. */
function lead(near: Element): void {
  const row = near.closest(".row")?.querySelector<HTMLElement>("a");
  const list = near.closest(".rows") ?? (near.id === "sidebar" ? near.querySelector(".rows") : null);
  const link = row ?? list?.querySelector<HTMLElement>('a[tabindex="0"]');
  if (link) return link.focus();
  const box = document.querySelector("#question");
  if (box && !touchScreen()) return focusComposer();
  // On a touch screen the box would bring the keyboard up.
  const place = near.closest<HTMLElement>("article") ?? document.querySelector<HTMLElement>("main");
  if (!place) return;
  place.tabIndex = -1;
  place.focus({ preventScroll: true });
}
