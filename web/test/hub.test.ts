/** The one connection of a browser: what a tab is told that comes late, that leaves, that wants less. */

import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Hub, type FromHub, type Tab } from "../src/hub";

const MESSAGE = { id: "m", status: "generating", content: "", thinking: null, generation_id: "g" };

/** A server as docs/page-api.md has it, as far as the hub asks. */
let server: Server;
let streams: ServerResponse[];
let followed: string[][];
let keys: (string | undefined)[];
let real: typeof fetch;

beforeEach(async () => {
  [streams, followed, keys] = [[], [], []];
  server = createServer((request, response) => {
    if (request.method === "POST") {
      let body = "";
      request.on("data", (piece) => (body += piece));
      request.on("end", () => {
        followed.push((JSON.parse(body) as { follow: string[] }).follow);
        response.writeHead(202).end("{}");
      });
      return;
    }
    keys.push(request.headers.authorization);
    if (request.headers.authorization === "Bearer wrong") {
      response.writeHead(401, { "Content-Type": "application/json" }).end('{"error": {"message": "no"}}');
      return;
    }
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(": keep-alive\n\n");
    streams.push(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  real = globalThis.fetch;
  globalThis.fetch = (path, init) => real(new URL(String(path), base), init);
});

afterEach(() => {
  globalThis.fetch = real;
  server.closeAllConnections();
  server.close();
});

function tell(event: string, data: unknown, id = 1): void {
  const told = { generation: "g", event, id, data };
  streams.at(-1)!.write(`event: generation\ndata: ${JSON.stringify(told)}\n\n`);
}

function tab(): { hear: Tab; heard: FromHub[]; events: () => string[] } {
  const heard: FromHub[] = [];
  const events = () => heard.flatMap((one) => (one.kind === "generation" ? [one.event.event] : []));
  return { hear: (message) => heard.push(message), heard, events };
}

async function until(true_: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (true_()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("it did not come to be");
}

test("two tabs share one stream, and the second is told what had come", async () => {
  const hub = new Hub();
  const [one, two] = [tab(), tab()];
  hub.hear(one.hear, { kind: "hello", key: null });
  hub.hear(one.hear, { kind: "follow", generations: ["g"] });
  await until(() => followed.length > 0);
  tell("snapshot", { message: MESSAGE });
  tell("answer", { text: "Hello" }, 2);
  await until(() => one.events().length === 2);

  hub.hear(two.hear, { kind: "hello", key: null });
  hub.hear(two.hear, { kind: "follow", generations: ["g"] });
  const snapshot = two.heard.find((message) => message.kind === "generation");
  expect(snapshot).toMatchObject({ event: { event: "snapshot", data: { message: { content: "Hello" } } } });
  expect(two.heard).toContainEqual({ kind: "reached", again: false });
  tell("answer", { text: " you" }, 3);
  tell("done", { message: { ...MESSAGE, status: "complete" } }, 4);
  await until(() => two.events().includes("done") && one.events().includes("done"));
  expect(streams.length).toBe(1);
  hub.hear(one.hear, { kind: "bye" });
  hub.hear(two.hear, { kind: "bye" });
});

test("what nobody wants any more is not followed, and the last tab closes the stream", async () => {
  const hub = new Hub();
  const [one, two] = [tab(), tab()];
  for (const each of [one, two]) {
    hub.hear(each.hear, { kind: "hello", key: null });
    hub.hear(each.hear, { kind: "follow", generations: each === one ? ["g", "h"] : ["h"] });
  }
  await until(() => followed.some((list) => list.join() === "g,h"));
  hub.hear(one.hear, { kind: "bye" });
  await until(() => followed.at(-1)?.join() === "h");
  hub.hear(one.hear, { kind: "follow", generations: ["g"] }); // from one that has left: of no effect
  let closed = false;
  streams[0]!.on("close", () => (closed = true));
  hub.hear(two.hear, { kind: "bye" });
  await until(() => closed);
  expect(followed.at(-1)).toEqual(["h"]);
});

test("a stream that breaks is opened again, and what is followed is said again", async () => {
  const hub = new Hub();
  const one = tab();
  hub.hear(one.hear, { kind: "hello", key: null });
  hub.hear(one.hear, { kind: "follow", generations: ["g"] });
  await until(() => followed.length > 0);
  const before = followed.length;
  streams[0]!.destroy();
  await until(() => one.heard.some(({ kind }) => kind === "lost"));
  hub.hear(one.hear, { kind: "retry" });
  await until(() => followed.length > before);
  expect(followed.at(-1)).toEqual(["g"]);
  expect(one.heard).toContainEqual({ kind: "reached", again: true });
  hub.hear(one.hear, { kind: "bye" });
});

test("a key that is refused is asked for, and another one is tried", async () => {
  const hub = new Hub();
  const one = tab();
  hub.hear(one.hear, { kind: "hello", key: "wrong" });
  await until(() => one.heard.some(({ kind }) => kind === "refused"));
  hub.hear(one.hear, { kind: "hello", key: "right" });
  await until(() => streams.length === 1);
  expect(keys).toEqual(["Bearer wrong", "Bearer right"]);
  hub.hear(one.hear, { kind: "bye" });
});
