/**
 * How the thread scrolls. It follows its end for as long as the reader is there; what they open or switch stays under
 * their pointer; and whoever scrolls is left alone.
 */

import { writing } from "../state";

const NEAR_END = 48;
/** Of something that was opened so much is brought into the window, if it would be out of sight; in pixels. */
const SHOW = 200;
const MARGIN = 12;

interface Anchor {
  element: HTMLElement;
  /** Which article it was in, and which button there: a version that takes its place has the same. */
  article: number;
  label: string | null;
  top: number;
  shown: boolean;
}

export class Scrolling {
  private following = true;
  private anchor: Anchor | null = null;
  private last = 0;
  private readonly observer: ResizeObserver;

  constructor(
    private readonly box: HTMLElement,
    private readonly column: HTMLElement,
    private readonly setAway: (away: boolean) => void,
  ) {
    this.last = box.scrollTop;
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(column);
    this.observer.observe(box);
    box.addEventListener("scroll", this.onScroll, { passive: true });
    box.addEventListener("wheel", this.onMove, { passive: true });
    box.addEventListener("touchmove", this.onMove, { passive: true });
    column.addEventListener("click", this.onClick, { capture: true });
  }

  stop(): void {
    this.observer.disconnect();
    this.box.removeEventListener("scroll", this.onScroll);
    this.box.removeEventListener("wheel", this.onMove);
    this.box.removeEventListener("touchmove", this.onMove);
    this.column.removeEventListener("click", this.onClick, { capture: true });
  }

  /** To the end, and along with it. */
  follow(): void {
    this.following = true;
    this.anchor = null;
    this.setAway(false);
    this.box.scrollTop = this.box.scrollHeight;
  }

  toTop(): void {
    this.anchor = null;
    this.following = false;
    this.setAway(false);
    this.box.scrollTop = 0;
  }

  /** Somebody else scrolls now. */
  letGo(): void {
    this.anchor = null;
    this.following = false;
  }

  private atEnd(): boolean {
    return this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < NEAR_END;
  }

  private resized(): void {
    if (this.anchor) this.hold(this.anchor);
    else if (this.following) this.box.scrollTop = this.box.scrollHeight;
  }

  private readonly onScroll = (): void => {
    const { scrollTop } = this.box;
    const atEnd = this.atEnd();
    // Only moving up leaves the end: growth underneath moves nothing.
    if (atEnd && !this.anchor && this.column.querySelector("article")) this.following = true;
    else if (scrollTop < this.last - 2) this.following = false;
    this.last = scrollTop;
    this.setAway(!atEnd && !this.following);
  };

  private readonly onMove = (): void => {
    this.anchor = null;
  };

  private readonly onClick = ({ target }: MouseEvent): void => {
    const element = (target as Element).closest<HTMLElement>("summary, button, a, label");
    const article = element?.closest("article");
    if (!element || !article) return;
    this.following = false;
    this.anchor = {
      element,
      article: this.articles().indexOf(article),
      label: element.getAttribute("aria-label"),
      top: element.getBoundingClientRect().top,
      shown: false,
    };
    // Where nothing changes its size nothing calls.
    requestAnimationFrame(() => {
      if (this.anchor) this.hold(this.anchor);
    });
  };

  private articles(): Element[] {
    return [...this.column.querySelectorAll(":scope > article")];
  }

  private hold(anchor: Anchor): void {
    const element = this.find(anchor);
    if (!element) {
      this.anchor = null;
      return;
    }
    this.box.scrollTop += element.getBoundingClientRect().top - anchor.top;
    if (!anchor.shown) this.show(anchor, element);
    const end = this.atEnd();
    // Who folded what is being written, and is at its end, goes on with it.
    if (end && writing.peek()) this.follow();
    else this.setAway(!end);
  }

  private find({ element, article, label }: Anchor): HTMLElement | null {
    if (element.isConnected) return element;
    const there = this.articles()[article];
    return (label && there?.querySelector<HTMLElement>(`[aria-label="${CSS.escape(label)}"]`)) || null;
  }

  /** What was opened at the lower edge would be out of sight: as much of it comes up as leaves the click in the window. */
  private show(anchor: Anchor, element: HTMLElement): void {
    const opened =
      element.tagName === "SUMMARY"
        ? element.parentElement!.querySelector<HTMLElement>(":scope[open] > dl")
        : element.getAttribute("aria-expanded") === "true"
          ? document.getElementById(element.getAttribute("aria-controls") ?? "")
          : null;
    if (!opened) return;
    anchor.shown = true;
    const frame = this.box.getBoundingClientRect();
    const inside = opened.getBoundingClientRect();
    const missing = inside.top + Math.min(inside.height, SHOW) + MARGIN - frame.bottom;
    const room = element.getBoundingClientRect().top - frame.top - MARGIN;
    const up = Math.min(missing, room);
    if (up <= 0) return;
    this.box.scrollTop += up;
    anchor.top = element.getBoundingClientRect().top;
  }
}
