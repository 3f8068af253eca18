// Apart from vite.config.ts, so that building the page needs no test tools.
import { defineConfig } from "vitest/config";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  test: { environment: "jsdom", include: ["test/**/*.test.{ts,tsx}"], testTimeout: 20_000 },
});
