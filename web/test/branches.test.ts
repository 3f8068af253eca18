/** A conversation that changes elsewhere while one reads it: nobody is moved off their branch. */

import { beforeEach, expect, test } from "vitest";
import * as state from "../src/state";
import type { Conversation, Message } from "../src/types";

function message(id: string, parent_id: string | null): Message {
  const role = id.startsWith("q") ? "user" : "assistant";
  return { id, parent_id, role, content: id, status: "complete", created_at: Number(id.slice(1)) } as Message;
}

function conversation(current: string, ...messages: Message[]): Conversation {
  return { id: "c", title: "c", model: null, created_at: 0, updated_at: 0, current, messages };
}

const BEGUN = [message("q1", null), message("a2", "q1")];

beforeEach(() => {
  state.opened.value = null;
  state.showConversation(conversation("a2", ...BEGUN));
});

test("what goes on from here is followed", () => {
  const beside = state.showConversation(conversation("a4", ...BEGUN, message("q3", "a2"), message("a4", "q3")));
  expect(beside).toBe(null);
  expect(state.path.value).toEqual(["q1", "a2", "q3", "a4"]);
});

test("what was asked beside is told, and the reader stays", () => {
  state.addMessages(message("q3", "a2"), message("a4", "q3"));
  const theirs = [message("q5", "a2"), message("a6", "q5")];
  const beside = state.showConversation(conversation("a6", ...BEGUN, message("q3", "a2"), message("a4", "q3"), ...theirs));
  expect(beside).toBe("a6");
  expect(state.path.value).toEqual(["q1", "a2", "q3", "a4"]);
  // Once is enough.
  expect(
    state.showConversation(conversation("a6", ...BEGUN, message("q3", "a2"), message("a4", "q3"), ...theirs)),
  ).toBe(null);
});

test("another version asked for elsewhere is told, and the reader stays", () => {
  expect(state.showConversation(conversation("a3", ...BEGUN, message("a3", "q1")))).toBe("a3");
  expect(state.path.value).toEqual(["q1", "a2"]);
});

test("another window that only looks at another version moves nobody", () => {
  const both = [...BEGUN, message("a3", "q1")];
  state.showConversation(conversation("a3", ...both));
  expect(state.showConversation(conversation("a3", ...both))).toBe(null);
  expect(state.path.value).toEqual(["q1", "a2"]);
});

test("one that is opened is shown as it was left", () => {
  state.opened.value = null;
  state.showConversation(conversation("a3", ...BEGUN, message("a3", "q1")));
  expect(state.path.value).toEqual(["q1", "a3"]);
});
