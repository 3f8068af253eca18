/** One request to the server, with the key; what a page and its worker share. */

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

/** `fetch` with the key, throwing ApiError for anything but a 2xx. */
export async function callWith(key: string | null, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (key) headers.set("Authorization", `Bearer ${key}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers, cache: "no-store", credentials: "same-origin" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError("The ClearSeek server does not answer.", 0, "unreachable");
  }
  if (response.ok) return response;
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

/** Waits grow from half a second to ten; a little chance keeps many browsers from knocking together. */
export function backoff(attempt: number): number {
  return Math.min(10_000, 500 * 2 ** attempt) * (0.8 + 0.4 * Math.random());
}
