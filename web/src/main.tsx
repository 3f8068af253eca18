/** Starts the page, and keeps it true when it comes back from sleep. */

import { render } from "preact";
import { refresh } from "./actions";
import { ApiError, keyWanted, request, sentence } from "./api";
import { startDrafts } from "./drafts";
import { backoff } from "./fetching";
import { loadRows, loadRowsSoon } from "./history";
import { lost, pause, reached, retryNow, startLive, stopLive, unfollowAll } from "./listen";
import { startPrinting } from "./printing";
import { idIn, startRouter } from "./router";
import * as state from "./state";
import type { ServerState } from "./types";
import { App } from "./ui/App";
import { serveCopyButtons } from "./ui/clipboard";
import { keepFocus } from "./ui/keepFocus";
import { startKeys } from "./ui/keyboard";
import "./styles/base.css";
import "./styles/frame.css";
import "./styles/thread.css";
import "./styles/prose.css";
import "./styles/composer.css";
import "./styles/signs.css";
import "./styles/touch.css";
import "./styles/forced.css";
import "./styles/print.css";

/** A hidden tab stops listening after this: what it missed it asks for when it is looked at again. */
const HIDDEN_MS = 5_000;

let routed = false;

async function boot(attempt = 0): Promise<void> {
  try {
    state.server.value = await request<ServerState>("GET", "/api/state");
    reached();
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return;
    if (error instanceof ApiError && error.code === "unreachable") lost();
    else state.notice.value = { text: sentence(error) };
    await pause(backoff(attempt));
    return boot(attempt + 1);
  }
  state.chosenModel.value ??= state.recall("model");
  void loadRows();
  if (routed) void refresh();
  else startRouter();
  routed = true;
  listen();
}

function listen(): void {
  startLive(
    (conversation) => {
      loadRowsSoon();
      state.changes.value++;
      // Our own answers are followed already; anything else in the open chat happened elsewhere.
      if (conversation === null || conversation === state.opened.peek()?.id) refreshSoon();
    },
    () => {
      void loadRows();
      void refresh();
    },
  );
}

let refreshTimer = 0;
function refreshSoon(): void {
  window.clearTimeout(refreshTimer);
  refreshTimer = window.setTimeout(() => {
    void refresh();
  }, 300);
}

let hiddenTimer = 0;
document.addEventListener("visibilitychange", () => {
  window.clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = window.setTimeout(sleep, HIDDEN_MS);
  } else awake();
});
window.addEventListener("online", awake);
window.addEventListener("pagehide", sleep);
window.addEventListener("pageshow", (event) => {
  if (event.persisted) awake();
});

function sleep(): void {
  unfollowAll();
  stopLive();
  asleep = true;
}

let asleep = false;
function awake(): void {
  retryNow();
  if (!routed || keyWanted.peek()) return;
  if (asleep) {
    asleep = false;
    listen();
  }
  void loadRows();
  void refresh();
}

// What is typed before the chat is here is typed to it all the same.
state.boxOf.value = idIn(location.pathname);
startDrafts();
startKeys();
render(<App boot={() => void boot()} />, document.getElementById("app")!);
serveCopyButtons(document.body);
startPrinting();
keepFocus();
void boot();
