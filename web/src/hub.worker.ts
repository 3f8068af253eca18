/** The hub in a worker that all tabs of the page share; it lives for as long as one of them does. */

import { Hub, type FromHub, type ToHub } from "./hub";

const hub = new Hub();

(globalThis as unknown as { onconnect: (event: MessageEvent) => void }).onconnect = ({ ports }) => {
  const port = ports[0];
  if (!port) return;
  const tab = (message: FromHub) => port.postMessage(message);
  port.onmessage = ({ data }: MessageEvent<ToHub>) => hub.hear(tab, data);
};
