// Writes the page's script and style, and the licences of what is in them, to minicnn/explain/. Same sources, same bytes.
import { build } from "esbuild";
import { readFileSync, writeFileSync } from "node:fs";

const out = new URL("../minicnn/explain/", import.meta.url).pathname;
const here = new URL(".", import.meta.url).pathname;
const common = { bundle: true, minify: true, target: "es2022", charset: "utf8", legalComments: "none", absWorkingDir: here };

await build({ ...common, entryPoints: ["src/page.tsx"], outfile: `${out}page.js`, format: "iife", jsx: "automatic", jsxImportSource: "preact" });
await build({ ...common, entryPoints: ["src/page.css"], outfile: `${out}page.css` });

const lock = JSON.parse(readFileSync(`${here}package-lock.json`, "utf8"));
const texts = ["preact", "@preact/signals", "@preact/signals-core"].map((name) => {
  const { version, license } = lock.packages[`node_modules/${name}`];
  return `${name} ${version} (${license})\n\n${readFileSync(`${here}node_modules/${name}/LICENSE`, "utf8").trim()}\n`;
});
writeFileSync(`${out}licences.txt`, `The script of the page contains these packages.\n\n${texts.join(`\n${"-".repeat(78)}\n\n`)}`);
