/** Parts of the page that are fetched when they are first looked at, so that the chat's first paint stays light. */

import { signal, type Signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";

type Loaded<P> = ComponentType<P> | "failed" | null;

/** A component that stands for the one `load` brings. `load` runs once, and again after it failed. */
export function later<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  const found: Signal<Loaded<P>> = signal(null);
  const fetchIt = () => {
    found.value = null;
    load().then(
      (component) => (found.value = component),
      () => (found.value = "failed"),
    );
  };
  return (props: P) => {
    useEffect(() => {
      if (found.peek() === null || found.peek() === "failed") fetchIt();
    }, []);
    const Found = found.value;
    if (Found === "failed") {
      // Offline, or the server was renewed under an open page and has other files now.
      return (
        <p class="later" role="alert">
          This part of the page did not come.{" "}
          <button type="button" class="act" onClick={() => location.reload()}>
            Reload the page
          </button>
        </p>
      );
    }
    return Found === null ? <p class="later quiet">Opening…</p> : <Found {...props} />;
  };
}
