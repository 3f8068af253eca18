/** As much of Node as the tests use; all of its types would be one more package. */

declare module "node:http" {
  export interface IncomingMessage {
    method?: string;
    headers: Record<string, string | undefined>;
    on(event: "data", heard: (piece: string) => void): void;
    on(event: "end", heard: () => void): void;
  }
  export interface ServerResponse {
    writeHead(status: number, headers?: Record<string, string>): ServerResponse;
    write(text: string): void;
    end(text?: string): void;
    destroy(): void;
    on(event: "close", heard: () => void): void;
  }
  export interface Server {
    listen(port: number, host: string, done: () => void): void;
    address(): unknown;
    close(): void;
    closeAllConnections(): void;
  }
  export function createServer(answer: (request: IncomingMessage, response: ServerResponse) => void): Server;
}

declare module "node:net" {
  export interface AddressInfo {
    port: number;
  }
}
