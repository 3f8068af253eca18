import { describe, expect, it } from "vitest";
import type { StreamEvent } from "../src/sse";
import { entryOf, reduce, type Listening } from "../src/stream";
import type { Message } from "../src/types";

const EMPTY: Message = {
  id: "m", parent_id: "q", role: "assistant", content: "", thinking: null, thinking_started_at: null,
  thinking_ended_at: null, created_at: 1, status: "generating", finish_reason: null, attachments: [], model: "x",
  model_digest: null, generation_id: "g", dropped_turns: 0, usage: null, timings: null, error: null,
};
const DONE: Message = {
  ...EMPTY, status: "complete", thinking: "let me see", content: "Because.", generation_id: null,
  thinking_started_at: 10, thinking_ended_at: 12, finish_reason: "stop",
};

/** What a server sends from the beginning. */
const STORY: StreamEvent[] = [
  { id: 1, event: "snapshot", data: { message: EMPTY } },
  { id: 2, event: "progress", data: { state: "queued", position: 2 } },
  { id: 3, event: "progress", data: { state: "reading", total: 20, cached: 0, processed: 10 } },
  { id: 4, event: "thinking", data: { text: "let " } },
  { id: 5, event: "thinking", data: { text: "me see" } },
  { id: 6, event: "thinking_done", data: { started_at: 10, ended_at: 12 } },
  { id: 7, event: "answer", data: { text: "Bec" } },
  { id: 8, event: "answer", data: { text: "ause." } },
  { id: 9, event: "done", data: { message: DONE } },
];

function start(): Listening {
  return { entry: entryOf(EMPTY), after: 0, over: false };
}
function play(events: StreamEvent[], at = start()): Listening {
  return events.reduce((state, event) => reduce(state, event, 1000), at);
}

describe("a generation as it is heard", () => {
  it("grows to the whole answer", () => {
    const before = play(STORY.slice(0, -1));
    expect(before.entry.message).toMatchObject({ thinking: "let me see", content: "Because.", thinking_ended_at: 12 });
    expect(before.over).toBe(false);
    const after = play(STORY);
    expect(after).toMatchObject({ over: true, after: 9, entry: { message: DONE, progress: null } });
  });

  it("shows progress until the first token", () => {
    expect(play(STORY.slice(0, 3)).entry.progress).toEqual({ state: "reading", total: 20, cached: 0, processed: 10 });
    expect(play(STORY.slice(0, 4)).entry.progress).toBeNull();
  });

  it("cut at any place and heard again from a snapshot, it is the same text", () => {
    for (let cut = 1; cut < STORY.length; cut++) {
      const before = play(STORY.slice(0, cut));
      // What the server has by now, which may be more than what was heard.
      for (let later = cut; later < STORY.length; later++) {
        const there = play(STORY.slice(0, later));
        const snapshot = { id: 100, event: "snapshot", data: { message: there.entry.message } };
        const rest = STORY.slice(later).map((event, index) => ({ ...event, id: 101 + index }));
        const after = play([snapshot, ...rest], before);
        expect(after.entry.message).toEqual(DONE);
        expect(after.over).toBe(true);
      }
    }
  });

  it("a second snapshot moves what was told as answer to the thinking", () => {
    const moved = { ...EMPTY, thinking: "17+25: -> 42", content: "", thinking_ended_at: 12 };
    const story = [
      { id: 1, event: "snapshot", data: { message: EMPTY } },
      { id: 2, event: "answer", data: { text: "17+25:" } },
      { id: 3, event: "answer", data: { text: " -> 42" } },
      { id: 4, event: "snapshot", data: { message: moved } },
      { id: 5, event: "answer", data: { text: "42" } },
    ];
    expect(play(story.slice(0, 3)).entry.message.content).toBe("17+25: -> 42");
    const { message } = play(story).entry;
    expect([message.thinking, message.content]).toEqual(["17+25: -> 42", "42"]);
  });

  it("the same events twice change nothing the second time", () => {
    const once = play(STORY.slice(0, 8));
    const twice = play(STORY.slice(1, 8), once);
    expect(twice.entry.message.content).toBe("Because.");
    expect(twice.entry.message.thinking).toBe("let me see");
  });

  it("nothing comes after the end", () => {
    const after = play([...STORY, { id: 10, event: "answer", data: { text: "!" } }]);
    expect(after.entry.message.content).toBe("Because.");
  });

  it("an error keeps what had come, and says what happened", () => {
    const failed = { ...DONE, status: "failed", content: "Bec", error: { message: "It stopped.", code: "engine_crashed" } };
    const after = play([...STORY.slice(0, 7), { id: 8, event: "error", data: { message: failed } }]);
    expect(after.over).toBe(true);
    expect(after.entry.message).toMatchObject({ status: "failed", content: "Bec", error: { code: "engine_crashed" } });
  });

  it("unknown events and broken payloads are passed over", () => {
    const odd: StreamEvent[] = [
      { id: 2, event: "weather", data: { text: "rain" } },
      { id: 3, event: "snapshot", data: null },
      { id: 4, event: "answer", data: null },
    ];
    expect(play(odd).entry.message.content).toBe("");
  });
});
