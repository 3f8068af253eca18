/** Where a search led: the messages of one chat that answer it, and which of them is shown. */

import { signal } from "@preact/signals";
import { request, sentence } from "./api";
import { announcement, notice } from "./state";
import type { Hit } from "./types";

export interface Found {
  conversation: string;
  query: string;
  hits: Hit[];
  at: number;
}
export const found = signal<Found | null>(null);

/**
 * Lands in a chat on what was searched for: on `message` first, where that is among the hits. Asked for again, it goes
 * on by `step`.
 */
export async function land(conversation: string, query: string, message: string | null, step = 1): Promise<void> {
  const before = found.peek();
  if (before?.conversation === conversation && before.query === query) return move(step);
  try {
    const search = new URLSearchParams({ query });
    const path = `/api/conversations/${encodeURIComponent(conversation)}/find?${search}`;
    const { hits } = await request<{ hits: Hit[] }>("GET", path);
    const first = hits.findIndex((hit) => hit.message === message);
    found.value = hits.length > 0 ? { conversation, query, hits, at: Math.max(0, first) } : null;
    tell();
  } catch (error) {
    notice.value = { text: sentence(error) };
  }
}

/** To the next hit, or the one before; round at the end. */
export function move(step: number): void {
  const now = found.peek();
  if (!now) return;
  found.value = { ...now, at: (now.at + step + now.hits.length) % now.hits.length };
  tell();
}

export function leave(): void {
  found.value = null;
}

function tell(): void {
  const now = found.peek();
  if (now) announcement.value = `Found in message ${now.at + 1} of ${now.hits.length}.`;
}
