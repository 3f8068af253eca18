/** What the server says, as docs/page-api.md writes it. Times are seconds since 1970. */

import type { Quantity } from "./quantity";

export type Effort = "low" | "high" | "max";

export interface Model {
  name: string;
  description: string;
  licence: string | null;
  parameters: number | null;
  bytes: number | null;
  quant: string | null;
  context: number | null;
  digest: string | null;
  thinking: "native" | "prompted" | "unknown";
  tools: boolean;
  kind: "llamacpp" | "remote";
}

export interface Starter {
  text: string;
  can: boolean;
  note: string;
}

export interface ServerState {
  version: string;
  default_model: string;
  models: Model[];
  efforts: Effort[];
  starters: Starter[];
  paste_limit: number;
}

export interface ConversationRow {
  id: string;
  title: string;
  model: string | null;
  created_at: number;
  updated_at: number;
  snippet: string | null;
  /** The message that the snippet is in; null where it is the title. */
  message?: string | null;
  /** An answer is being written in it. */
  generating?: boolean;
}

/** A message that answers a search: the part of it that does, and the words as they stand there. */
export interface Hit {
  message: string;
  where: "content" | "thinking" | "attachment";
  words: string[];
}

export interface Attachment {
  name: string;
  text: string;
  chars?: number;
}

export interface Usage {
  prompt_tokens: number;
  cached_tokens: number;
  completion_tokens: number;
  reasoning_tokens: number;
}

/** Seconds; null where nobody measured. By the server's clock, `prompt` is until the answer began, `decode` the rest. */
export interface Timings {
  queue: number | null;
  prompt: number | null;
  decode: number | null;
  clock?: "engine" | "server" | null;
}

/** What an answer took, and the ledger's entry that says so. */
export interface Spent {
  wall: Quantity;
  cpu: Quantity;
  energy: Quantity;
  money: Quantity;
  flops?: Quantity | null;
  entry?: { seq: number; hash: string } | null;
}

export interface MessageError {
  message: string;
  code: string;
  over?: number | null;
}

export type Status = "generating" | "complete" | "stopped" | "interrupted" | "failed";

export interface Message {
  id: string;
  parent_id: string | null;
  role: "user" | "assistant";
  content: string;
  thinking: string | null;
  thinking_started_at: number | null;
  thinking_ended_at: number | null;
  created_at: number;
  status: Status;
  finish_reason: string | null;
  attachments: Attachment[];
  model: string | null;
  model_digest: string | null;
  generation_id: string | null;
  dropped_turns: number;
  usage: Usage | null;
  timings: Timings | null;
  spent?: Spent | null;
  error: MessageError | null;
}

export interface Conversation {
  id: string;
  title: string;
  model: string | null;
  created_at: number;
  updated_at: number;
  current: string | null;
  messages: Message[];
}

export type Progress =
  | { state: "queued"; position: number }
  | { state: "reading"; total: number; cached: number; processed: number };
