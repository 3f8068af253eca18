/** The page: the list beside the open chat, and what belongs to both. */

import { useEffect } from "preact/hooks";
import { keyWanted } from "../api";
import { save } from "../history";
import { retryNow } from "../listen";
import { addressOf, onLink } from "../router";
import * as state from "../state";
import { Composer, NoticeLine } from "./Composer";
import { Menu, Plus } from "./icons";
import { KeyDialog } from "./KeyDialog";
import { ModelPicker } from "./ModelPicker";
import { Keys, keysOpen } from "./Keys";
import { newChat } from "./newChat";
import { Sidebar } from "./Sidebar";
import { later } from "./later";
import { Thread } from "./Thread";

const Books = later(() => import("../books/Books").then((module) => module.Books));
const Audit = later(() => import("../audit/Audit").then((module) => module.Audit));

const TITLES = { books: "Books", audit: "Audit" };

export function App({ boot }: { boot: () => void }) {
  useTitle();
  const place = state.place.value;
  const chat = place.kind === "chat";
  return (
    <div class="page">
      <SkipLink />
      <Sidebar />
      {state.drawerOpen.value && (
        <div class="scrim only-narrow" aria-hidden="true" onClick={() => (state.drawerOpen.value = false)} />
      )}
      <main id="main">
        <header class="bar">
          <button
            type="button"
            class="icon only-narrow"
            aria-label="Chats"
            aria-expanded={state.drawerOpen.value}
            aria-controls="sidebar"
            onClick={() => (state.drawerOpen.value = true)}
          >
            <Menu />
          </button>
          {chat ? (
            <>
              <ModelPicker />
              <Save />
            </>
          ) : (
            <BackToChat />
          )}
          <button type="button" class="icon only-narrow" aria-label="New chat" onClick={newChat}>
            <Plus />
          </button>
        </header>
        <Lost />
        {!chat && <NoticeLine />}
        {place.kind === "books" && <Books />}
        {place.kind === "audit" && <Audit claim={place.claim} />}
        {chat && (
          <>
            <Thread />
            <Composer />
          </>
        )}
      </main>
      <div class="offscreen" role="status" aria-live="polite">
        {state.announcement.value}
      </div>
      {keysOpen.value && <Keys />}
      {keyWanted.value && <KeyDialog onKey={boot} />}
    </div>
  );
}

/** First for the keyboard, and only seen by it: past the list. */
function SkipLink() {
  const chat = state.place.value.kind === "chat";
  const skip = (event: MouseEvent) => {
    event.preventDefault();
    const main = document.querySelector<HTMLElement>(chat ? "#question" : "main");
    if (!chat) main?.setAttribute("tabindex", "-1");
    main?.focus();
  };
  return (
    <a class="skip" href={chat ? "#question" : "#main"} onClick={skip}>
      {chat ? "Skip to the question" : "Skip to the page"}
    </a>
  );
}

function BackToChat() {
  const open = state.opened.value;
  return (
    <a class="act back" href={addressOf(open?.id ?? null)} onClick={onLink}>
      ← {open ? "Back to the chat" : "Chat"}
    </a>
  );
}

function Save() {
  const id = state.opened.value?.id;
  if (id === undefined || state.path.value.length === 0) return null;
  return (
    <button type="button" class="act save" title="Save this chat as a Markdown file" onClick={() => void save(id)}>
      Save
    </button>
  );
}

function Lost() {
  if (state.lostSince.value === null) return null;
  return (
    <div class="lost" role="alert">
      <span>
        The server does not answer. Trying again by itself. What you wrote stays in the box
        {state.writing.value ? "; of the answer being written, the last words may be missing." : "."}
      </span>
      <button type="button" class="act" onClick={retryNow}>
        Try now
      </button>
    </div>
  );
}

function useTitle(): void {
  const place = state.place.value;
  const title = place.kind === "chat" ? state.opened.value?.title : TITLES[place.kind];
  useEffect(() => {
    // The audit of one claim says which, once it is here.
    if (place.kind !== "audit" || place.claim === null) document.title = title ? `${title} · ClearSeek` : "ClearSeek";
  }, [title, place]);
}
