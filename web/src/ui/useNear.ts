import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";

/** How far outside the window something counts as near, in pixels: about two screens. */
const MARGIN = 1600;

const waiting = new Map<Element, () => void>();
let observer: IntersectionObserver | null = null;

function watch(element: Element, onNear: () => void): () => void {
  observer ??= new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) if (isIntersecting) waiting.get(target)?.();
    },
    { root: element.closest(".thread"), rootMargin: `${MARGIN}px 0px` },
  );
  waiting.set(element, onNear);
  observer.observe(element);
  return () => {
    waiting.delete(element);
    observer?.unobserve(element);
  };
}

/** Whether the element has ever been near the window; `now` says that it is without looking. */
export function useNear(element: RefObject<Element | null>, now: boolean): boolean {
  const [near, setNear] = useState(now);
  useEffect(() => {
    if (near || now || !element.current) return;
    return watch(element.current, () => setNear(true));
  }, [near, now]);
  return near || now;
}
