/** Talking to the server: JSON in, JSON out, and one kind of error. */

import { signal } from "@preact/signals";

const KEY_STORE = "clearseek.key";

/** True while the server demands a key that we do not have; the page then asks for it. */
export const keyWanted = signal(false);

/** `code` is the server's stable word; "unreachable" when no answer came at all. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
    readonly retryAfter: number | null = null,
    readonly over: number | null = null,
  ) {
    super(message);
  }
}

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

/** `fetch` with the key, throwing ApiError for anything but a 2xx. */
export async function call(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const key = storedKey();
  if (key) headers.set("Authorization", `Bearer ${key}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers, cache: "no-store", credentials: "same-origin" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError("The ClearSeek server does not answer.", 0, "unreachable");
  }
  if (response.ok) return response;
  if (response.status === 401) keyWanted.value = true;
  throw await errorFrom(response);
}

async function errorFrom(response: Response): Promise<ApiError> {
  const wait = Number(response.headers.get("Retry-After"));
  const retryAfter = Number.isFinite(wait) && wait > 0 ? wait : null;
  try {
    const { error } = (await response.json()) as { error: { message: string; code?: string; over?: number } };
    return new ApiError(error.message, response.status, error.code ?? "error", retryAfter, error.over ?? null);
  } catch {
    return new ApiError(`The server answered with status ${response.status}.`, response.status, "error", retryAfter);
  }
}

/** One request whose answer is JSON (or nothing, for 202 and 204). */
export async function request<T>(method: string, path: string, body?: unknown, abort?: AbortSignal): Promise<T> {
  const init: RequestInit = { method, ...(abort ? { signal: abort } : {}) };
  if (body !== undefined) {
    init.headers = { "Content-Type": "application/json" };
    init.body = JSON.stringify(body);
  }
  const response = await call(path, init);
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

/** The sentence to show for anything that was thrown. */
export function sentence(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  return `Something went wrong in the page: ${error instanceof Error ? error.message : String(error)}`;
}
