/** Markdown of a model to safe HTML. The text is never trusted: no raw HTML, then DOMPurify with short lists. */

import DOMPurify from "dompurify";
import MarkdownIt, { type Token } from "markdown-it";
import cjkFriendly from "markdown-it-cjk-friendly";
import { direction } from "./direction";
import { extras, wantCode, wantMath } from "./extras";
import { math } from "./math";
import { drawReference, NOTE_LINK, notes, type Named } from "./notes";
import { tasks } from "./tasks";

const SAFE_LINK = /^(?:https?:\/\/|mailto:)/i;

const md = new MarkdownIt({ html: false, linkify: true, breaks: true, typographer: false });
md.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
md.validateLink = (url) => SAFE_LINK.test(url.trim());
math(md);
notes(md);
tasks(md);
direction(md);
md.use(cjkFriendly); // `**重要：**テスト` is bold, though no space parts the words

// An asterisk between two figures multiplies: 3*8 and 2*4 in one paragraph are no emphasis.
md.inline.ruler.before("emphasis", "times", (state, silent) => {
  const { src, pos } = state;
  if (src[pos] !== "*" || !/\d/.test(src[pos - 1] ?? "") || !/\d/.test(src[pos + 1] ?? "")) return false;
  if (!silent) state.pending += "*";
  state.pos += 1;
  return true;
});

const { escapeHtml } = md.utils;

md.renderer.rules["math_inline"] = (tokens, index) => typeset(tokens[index]?.content ?? "", false);
md.renderer.rules["math_display"] = (tokens, index) => typeset(tokens[index]?.content ?? "", true);
md.renderer.rules["math_block"] = (tokens, index) =>
  // Wide formulas scroll, and what scrolls must be reached without a mouse.
  `<div class="math-block" tabindex="0" role="group" aria-label="Formula">${typeset(tokens[index]?.content ?? "", true)}</div>\n`;
md.renderer.rules["math_pending"] = (tokens, index) =>
  `<div class="math-block"><code class="tex">${escapeHtml(tokens[index]?.content ?? "")}</code></div>\n`;

function typeset(tex: string, display: boolean): string {
  const render = extras.value.typeset;
  if (render) return render(tex, display);
  wantMath();
  return `<code class="tex">${escapeHtml(tex)}</code>`;
}

md.renderer.rules.fence = (tokens, index, _options, env) => {
  const token = tokens[index];
  const language = (token?.info.trim().split(/\s+/, 1)[0] ?? "").toLowerCase();
  return codeBlock(token?.content ?? "", language, Boolean((env as { growing?: boolean }).growing));
};
md.renderer.rules.code_block = (tokens, index) => codeBlock(tokens[index]?.content ?? "", "", false);

function codeBlock(code: string, language: string, growing: boolean): string {
  let inner: string | null = null;
  // A block that still grows is coloured when it is whole: colouring it again for every token would be wasted.
  if (language && !growing) {
    if (extras.value.highlight) inner = extras.value.highlight(code, language);
    else wantCode();
  }
  const label = escapeHtml(language || "text");
  return (
    `<figure class="code" dir="ltr"><figcaption><span>${label}</span>` +
    `<button type="button" class="act copy-code">Copy</button></figcaption>` +
    `<pre tabindex="0"><code>${inner ?? escapeHtml(code)}</code></pre></figure>\n`
  );
}

// Nothing is fetched from elsewhere: an image becomes a link to itself.
md.renderer.rules.image = (tokens, index) => {
  const token = tokens[index];
  const src = String(token?.attrGet("src") ?? "");
  const label = escapeHtml(token?.content || "image");
  return SAFE_LINK.test(src) ? `<a href="${escapeHtml(src)}">${label} (image)</a>` : label;
};

md.renderer.rules["table_open"] = (tokens, index) =>
  `<div class="table" tabindex="0" dir="${tokens[index]?.attrGet("dir") ?? "auto"}"><table>\n`;
md.renderer.rules["footnote_ref"] = drawReference(escapeHtml);
md.renderer.rules["table_close"] = () => "</table></div>\n";

const HTML_TAGS =
  "p br hr h1 h2 h3 h4 h5 h6 strong em s del code pre blockquote ul ol li a table thead tbody tr th td " +
  "div span figure figcaption button section sup";
const SVG_TAGS = "svg path line g";
const MATH_TAGS =
  "math mrow mi mn mo mtext mspace ms mover munder munderover msub msup msubsup mmultiscripts mfrac msqrt mroot " +
  "mtable mtr mtd mlabeledtr mpadded mphantom mstyle menclose merror";
const ATTRIBUTES =
  "class style href title target rel start type tabindex aria-hidden id dir role " +
  "xmlns width height viewBox preserveAspectRatio d x1 x2 y1 y2 stroke-width " +
  "display mathvariant stretchy fence separator accent accentunder columnalign columnspacing rowspacing columnlines " +
  "rowlines scriptlevel displaystyle linethickness lspace rspace minsize maxsize movablelimits mathsize mathcolor " +
  "mathbackground notation voffset depth largeop symmetric";

const CONFIG = {
  ALLOWED_TAGS: [...HTML_TAGS.split(" "), ...SVG_TAGS.split(" "), ...MATH_TAGS.split(" "), "#text"],
  ALLOWED_ATTR: ATTRIBUTES.split(" "),
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: true,
  // KaTeX repeats the TeX source in an annotation; screen readers would read it twice.
  ADD_FORBID_CONTENTS: ["annotation"],
};

// One instance of our own, so that no other user of the library can change its hooks.
const purify = DOMPurify(window);
/** Styles come from KaTeX (lengths, colours) and tables (alignment): none of them fetches, covers or escapes. */
const SAFE_STYLE = /^(?:(?!url|image|expression|fixed|sticky|import)[\w\s:;.,#%+()-])*$/i;
purify.addHook("uponSanitizeAttribute", (_node, attribute) => {
  if (attribute.attrName === "style" && !SAFE_STYLE.test(attribute.attrValue)) attribute.keepAttr = false;
  // Footnotes and where they are referred to; no other name can be taken from the page.
  if (attribute.attrName === "id" && !NOTE_LINK.test(`#${attribute.attrValue}`)) attribute.keepAttr = false;
});
purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A" || NOTE_LINK.test(node.getAttribute("href") ?? "")) return;
  if (!SAFE_LINK.test(node.getAttribute("href") ?? "")) {
    node.removeAttribute("href");
    return;
  }
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer");
});

/** What the blocks of one text share while they are read. */
export interface Env {
  /** More text may come behind this one. */
  growing: boolean;
  /** Where `[name]: address` leads, by the name as markdown-it compares it. */
  references: Record<string, Reference>;
  /** Which footnotes there are: `:name`, as its plugin writes it. */
  footnotes: { refs: Record<string, number> };
  [key: string | symbol]: unknown;
}
export interface Reference {
  href: string;
  title: string;
}

export function newEnv(growing: boolean, known?: Named): Env {
  const refs = Object.fromEntries(Object.keys(known?.notes ?? {}).map((name) => [name, -1]));
  return { growing, references: { ...known?.references }, footnotes: { refs } };
}

/** Markdown as tokens, the inline ones too. */
export function parse(source: string, env: Env): Token[] {
  return md.parse(source, env);
}

/** HTML that is safe to insert. Reads `extras`, so a component that calls this is drawn again when they arrive. */
export function draw(tokens: Token[], env: Env): string {
  return sanitize(md.renderer.render(tokens, md.options, env));
}

/** The last gate; exported so that the tests can attack it without Markdown in front. */
export function sanitize(html: string): string {
  return purify.sanitize(html, CONFIG);
}

/** The top-level blocks of `source`, link definitions among them. What it defines is added to `env`. */
export function topBlocks(source: string, env: Env): Token[] {
  const tokens: Token[] = [];
  md.block.parse(source, md, env, tokens);
  return tokens.filter((token) => token.level === 0 && token.nesting >= 0 && token.map);
}
