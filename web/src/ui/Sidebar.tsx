/** The contents of the book: new, search, and every chat by day. */

import { leave, move } from "../found";
import { loadRows, loadRowsSoon } from "../history";
import { onLink } from "../router";
import * as state from "../state";
import { theme, toggleTheme } from "../theme";
import { focusComposer } from "./focus";
import { Close, Moon, Plus, Sun } from "./icons";
import { keysOpen } from "./Keys";
import { newChat } from "./newChat";
import { Rows } from "./Rows";

export function Sidebar() {
  return (
    <nav class="sidebar" id="sidebar" aria-label="Chats" data-open={state.drawerOpen.value || undefined}>
      <header>
        <a
          class="wordmark"
          href="/"
          onClick={(event) => {
            if (event.ctrlKey || event.metaKey || event.shiftKey) return;
            event.preventDefault();
            newChat();
          }}
        >
          ClearSeek
        </a>
        <button type="button" class="icon only-narrow" aria-label="Close the list" onClick={() => (state.drawerOpen.value = false)}>
          <Close />
        </button>
      </header>
      <button type="button" class="new" onClick={newChat} title="New chat (Ctrl+Shift+O)">
        <Plus /> New chat
      </button>
      <Search />
      <Rows />
      <footer>
        <PlaceLink kind="books" href="/books" name="Books" />
        <PlaceLink kind="audit" href="/audit" name="Audit" />
        <button type="button" class="icon" aria-label={theme.value === "dark" ? "Light theme" : "Dark theme"} onClick={toggleTheme}>
          {theme.value === "dark" ? <Sun /> : <Moon />}
        </button>
        <button type="button" class="icon" aria-label="Keys" title="Keys (?)" onClick={() => (keysOpen.value = true)}>
          ?
        </button>
        <span class="quiet num" title="The version of ClearSeek">
          {state.server.value?.version}
        </span>
      </footer>
    </nav>
  );
}

function PlaceLink({ kind, href, name }: { kind: state.Place["kind"]; href: string; name: string }) {
  return (
    <a class="place" href={href} aria-current={state.place.value.kind === kind ? "page" : undefined} onClick={onLink}>
      {name}
    </a>
  );
}

function Search() {
  const onKeyDown = (event: KeyboardEvent) => {
    const links = document.querySelectorAll<HTMLElement>(".rows a");
    if (event.key === "Escape") {
      event.stopPropagation();
      if (state.query.value) {
        state.query.value = "";
        leave();
        void loadRows();
      } else {
        state.drawerOpen.value = false;
        focusComposer();
      }
    } else if (event.key === "ArrowDown") {
      event.preventDefault();
      links[0]?.focus();
    } else if (event.key === "Enter" && state.query.value && !event.isComposing) {
      if (event.shiftKey) move(-1);
      else links[0]?.click();
    }
  };
  return (
    <label class="search">
      <span class="offscreen">Search the chats</span>
      <input
        id="search"
        type="search"
        dir="auto"
        placeholder="Search"
        autocomplete="off"
        maxLength={200}
        value={state.query.value}
        onInput={(event) => {
          state.query.value = event.currentTarget.value;
          loadRowsSoon(150);
        }}
        onKeyDown={onKeyDown}
      />
      <kbd aria-hidden="true">Ctrl K</kbd>
    </label>
  );
}
