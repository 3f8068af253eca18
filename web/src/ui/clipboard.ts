/** Copying text; also where the page is not served over https, and browsers hide their clipboard. */

import { announcement } from "../state";

export async function copy(text: string): Promise<boolean> {
  const done = (await modern(text)) || old(text);
  announcement.value = done ? "Copied." : "The browser did not allow copying.";
  return done;
}

async function modern(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

function old(text: string): boolean {
  const box = document.createElement("textarea");
  box.value = text;
  box.className = "offscreen";
  document.body.append(box);
  const before = document.activeElement instanceof HTMLElement ? document.activeElement : null;
  box.select();
  const done = document.execCommand("copy");
  box.remove();
  before?.focus();
  return done;
}

/** Copy buttons inside rendered Markdown have no component; one listener on the page serves them all. */
export function serveCopyButtons(root: HTMLElement): void {
  root.addEventListener("click", (event) => {
    const button = (event.target as Element).closest?.("button.copy-code");
    const code = button?.closest("figure.code")?.querySelector("pre code")?.textContent;
    if (!button || code === null || code === undefined) return;
    void copy(code).then((done) => {
      button.textContent = done ? "Copied" : "Not allowed";
      window.setTimeout(() => (button.textContent = "Copy"), 1500);
    });
  });
}
