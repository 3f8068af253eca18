/** Talking to the server: JSON in, JSON out, and one kind of error. */

import { signal } from "@preact/signals";
import { ApiError, callWith } from "./fetching";

export { ApiError };

const KEY_STORE = "clearseek.key";

/** True while the server demands a key that we do not have; the page then asks for it. */
export const keyWanted = signal(false);

export function storedKey(): string | null {
  try {
    return localStorage.getItem(KEY_STORE);
  } catch {
    return null;
  }
}

export function storeKey(key: string): void {
  try {
    if (key) localStorage.setItem(KEY_STORE, key);
    else localStorage.removeItem(KEY_STORE);
  } catch {
    // storage is blocked: the key lives as long as the page would, which is not at all; the dialog comes again
  }
}

/** `fetch` with the key, throwing ApiError for anything but a 2xx; asks for the key where it is wanted. */
export async function call(path: string, init: RequestInit = {}): Promise<Response> {
  try {
    return await callWith(storedKey(), path, init);
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) keyWanted.value = true;
    throw error;
  }
}

/** Characters of a request that may outlive its page: browsers keep 64 KiB of all such requests together. */
const KEPT_ALIVE = 8000;

/** One request whose answer is JSON (or nothing, for 202 and 204). */
export async function request<T>(method: string, path: string, body?: unknown, abort?: AbortSignal): Promise<T> {
  const init: RequestInit = { method, ...(abort ? { signal: abort } : {}) };
  if (body !== undefined) {
    init.headers = { "Content-Type": "application/json" };
    init.body = JSON.stringify(body);
  }
  // What somebody has done is done, though they reload or close the tab in the same moment.
  if (method !== "GET" && String(init.body ?? "").length < KEPT_ALIVE) init.keepalive = true;
  const response = await call(path, init);
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

/** The sentence to show for anything that was thrown. */
export function sentence(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  return `Something went wrong in the page: ${error instanceof Error ? error.message : String(error)}`;
}
