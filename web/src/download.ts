/** Hands a file of the server to the browser. Fetched, not linked to, because of the key. */

import { call, sentence } from "./api";
import * as state from "./state";

export async function download(path: string, name: string): Promise<void> {
  try {
    const response = await call(path);
    const told = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1];
    const address = URL.createObjectURL(await response.blob());
    const link = document.createElement("a");
    link.href = address;
    link.download = told ?? name;
    link.click();
    window.setTimeout(() => URL.revokeObjectURL(address), 10_000);
  } catch (error) {
    state.notice.value = { text: sentence(error) };
  }
}
