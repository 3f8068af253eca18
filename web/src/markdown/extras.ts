/** The two heavy libraries, KaTeX and highlight.js: fetched when a text first needs them, from our own server. */

import { signal } from "@preact/signals";
import type { HLJSApi } from "highlight.js";

type Typeset = (tex: string, display: boolean) => string;
type Highlight = (code: string, language: string) => string | null;

interface Extras {
  typeset: Typeset | null;
  highlight: Highlight | null;
}

/** What is there by now; rendered blocks that read it are drawn again when it grows. */
export const extras = signal<Extras>({ typeset: null, highlight: null });

let mathAsked = false;
let codeAsked = false;

export function wantMath(): void {
  if (mathAsked) return;
  mathAsked = true;
  void loadMath().catch(() => (mathAsked = false));
}

export function wantCode(): void {
  if (codeAsked) return;
  codeAsked = true;
  void loadCode().catch(() => (codeAsked = false));
}

/** Asks for what `text` will need, without drawing it. */
export function wantExtras(text: string): void {
  if (/\\[([]|\$/.test(text)) wantMath();
  if (/^ *(?:```|~~~)[ \t]*\w/m.test(text)) wantCode();
}

export async function loadMath(): Promise<void> {
  const [{ default: katex }] = await Promise.all([import("katex"), import("katex/dist/katex.min.css")]);
  const typeset: Typeset = (tex, display) =>
    katex.renderToString(tex, {
      displayMode: display,
      throwOnError: false,
      strict: "ignore",
      trust: false, // no \href, \includegraphics, \htmlClass: the text is a model's
      maxSize: 20,
      maxExpand: 500,
      errorColor: "inherit",
    });
  extras.value = { ...extras.value, typeset };
}

export async function loadCode(): Promise<void> {
  const { default: hljs } = (await import("./languages")) as { default: HLJSApi };
  const highlight: Highlight = (code, language) => {
    // A model's code block has a bounded length; a pathological one is shown plain rather than slowly.
    if (code.length > 60_000 || !hljs.getLanguage(language)) return null;
    return hljs.highlight(code, { language, ignoreIllegals: true }).value;
  };
  extras.value = { ...extras.value, highlight };
}
