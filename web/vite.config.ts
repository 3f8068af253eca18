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

const target = loadEnv("development", ".", "CLEARSEEK_")["CLEARSEEK_URL"] ?? "http://127.0.0.1:8420";

export default defineConfig({
  plugins: [onlyWoff2()],
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
