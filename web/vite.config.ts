/// <reference types="node" />
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { defineConfig, loadEnv, type Plugin } from "vite";

/** KaTeX offers each font three times; every browser that runs this page reads woff2, so only that is shipped. */
function onlyWoff2(): Plugin {
  return {
    name: "only-woff2",
    enforce: "pre",
    transform(code, id) {
      if (!/katex[^/]*\.css/.test(id)) return null;
      return code.replace(/,url\([^)]+\.(?:woff|ttf)\) ?format\("[^"]+"\)/g, "");
    },
  };
}

/** Texts lie compressed beside themselves, as small as it goes; the server sends what a browser takes. */
function compressed(): Plugin {
  let folder = "";
  return {
    name: "compressed",
    apply: "build",
    configResolved: (config) => void (folder = config.build.outDir),
    closeBundle() {
      for (const entry of readdirSync(folder, { recursive: true, encoding: "utf-8" })) {
        if (!/\.(?:js|css|html|svg|json|md)$/.test(entry)) continue;
        const file = join(folder, entry);
        const plain = readFileSync(file);
        const brotli = brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: plain.length } });
        for (const [ending, packed] of [["br", brotli], ["gz", gzipSync(plain, { level: 9 })]] as const) {
          if (packed.length < plain.length) writeFileSync(`${file}.${ending}`, packed);
        }
      }
    },
  };
}
const target = loadEnv("development", ".", "CLEARSEEK_")["CLEARSEEK_URL"] ?? "http://127.0.0.1:8420";

export default defineConfig({
  plugins: [onlyWoff2(), compressed()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../src/clearseek/server/static",
    emptyOutDir: true,
    target: ["chrome123", "firefox121", "safari17.5"],
    // The CSP allows fonts and styles from our own address only, so nothing becomes a data: URL.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // What the bundle holds of others, with their licences, travels with it.
    license: { fileName: "licences.md" },
  },
  worker: { format: "es" },
  server: {
    // With the browser's own Host: the server holds it against the Origin, and refuses what comes from elsewhere.
    proxy: Object.fromEntries(["/api", "/health", "/v1"].map((path) => [path, { target, changeOrigin: false }])),
  },
});
