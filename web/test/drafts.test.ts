/** What is being written, chat by chat. */

import { beforeEach, expect, test, vi } from "vitest";

type Modules = { drafts: typeof import("../src/drafts"); state: typeof import("../src/state") };

/** The page as after a reload: what is kept is in this tab's storage. */
async function load(): Promise<Modules> {
  vi.resetModules();
  const state = await import("../src/state");
  const drafts = await import("../src/drafts");
  drafts.startDrafts();
  return { drafts, state };
}

function open(state: Modules["state"], id: string | null): void {
  state.boxOf.value = id;
}

beforeEach(() => sessionStorage.clear());

test("every chat has its own, also after a reload", async () => {
  const { state } = await load();
  state.draft.value = "new";
  open(state, "a");
  expect(state.draft.value).toBe("");
  state.draft.value = "for a";
  state.draftAttachments.value = [{ name: "x.txt", text: "x" }];
  open(state, "b");
  expect([state.draft.value, state.draftAttachments.value]).toEqual(["", []]);
  const again = await load();
  expect(again.state.draft.value).toBe("new");
  open(again.state, "a");
  expect(again.state.draft.value).toBe("for a");
  expect(again.state.draftAttachments.value).toEqual([{ name: "x.txt", text: "x" }]);
});

test("the box goes along when a new chat gets its name, and back when that fails", async () => {
  const { drafts, state } = await load();
  state.draft.value = "a question";
  drafts.carryTo("c");
  open(state, "c");
  expect(state.draft.value).toBe("a question");
  expect(drafts.newDraft()).toBe("");
  drafts.carryTo(null);
  open(state, null);
  expect(state.draft.value).toBe("a question");
});

test("what was sent goes, what was typed since stays, whichever chat is open", async () => {
  const { drafts, state } = await load();
  open(state, "a");
  state.draft.value = "asked and more";
  drafts.sent("a", "asked", []);
  expect(state.draft.value).toBe(" and more");
  state.draft.value = "asked";
  open(state, "b");
  state.draft.value = "other";
  drafts.sent("a", "asked", []);
  expect(state.draft.value).toBe("other");
  open(state, "a");
  expect(state.draft.value).toBe("");
});

test("a deleted chat's is forgotten, and there are not more than fifty", async () => {
  const { drafts, state } = await load();
  for (let number = 0; number < 60; number++) {
    open(state, `chat-${number}`);
    state.draft.value = `text ${number}`;
  }
  open(state, "chat-5");
  expect(state.draft.value).toBe("");
  open(state, "chat-30");
  expect(state.draft.value).toBe("text 30");
  open(state, null);
  drafts.dropDraft("chat-30");
  open(state, "chat-30");
  expect(state.draft.value).toBe("");
});

test("a storage that holds nonsense is no reason to fail", async () => {
  for (const kept of ["{", "7", '[["a"]]', '[["a", {"text": 3, "attachments": []}]]', '[["a", {"text": "x"}]]']) {
    sessionStorage.setItem("clearseek.drafts", kept);
    const { state } = await load();
    open(state, "a");
    expect(state.draft.value).toBe("");
  }
});
