// Writes the page's script and style, and the licences of what is in them, to minicnn/explain/. Same sources, same bytes.
import { build } from "esbuild";
import { readFileSync, writeFileSync } from "node:fs";
import { minify } from "terser";
import { mangleProps } from "./mangle.mjs";

const out = new URL("../minicnn/explain/", import.meta.url).pathname;
const here = new URL(".", import.meta.url).pathname;
const common = { bundle: true, minify: true, target: "es2024", charset: "utf8", legalComments: "none", absWorkingDir: here };
// Calls of h(name, props, ...children) take fewer bytes than those of the automatic runtime.
const jsx = { jsx: "transform", jsxFactory: "jsxNode", jsxFragment: "jsxFragment", inject: ["src/jsx.ts"], tsconfigRaw: {} };

// preact/ replaces modules of exactly this version and calls others by arguments that are not documented.
const read = (name) => JSON.parse(readFileSync(here + name, "utf8"));
const { version, license } = read("node_modules/preact/package.json");
const { preact: expected } = read("package.json").devDependencies;
if (version !== expected) throw new Error(`build: preact must be ${expected}, got ${version}. Run npm ci.`);

// The parts of Preact that the page uses: see preact/index.js.
const preact = {
  name: "preact",
  setup({ onResolve }) {
    const found = (path) => ({ path: `${here}${path}` });
    onResolve({ filter: /^preact$/ }, () => found("preact/index.js"));
    onResolve({ filter: /^preact\/src\// }, ({ path }) => found(`node_modules/${path}.js`));
    onResolve({ filter: /^\.\.?\/(component|index|options)$/ }, ({ path }) => found(`preact/${path.endsWith("index") ? "diff" : "parts"}.js`));
  },
};

await build({ ...common, ...jsx, mangleProps, plugins: [preact], entryPoints: ["src/page.tsx"], outfile: `${out}page.js`, format: "iife" });
await build({ ...common, entryPoints: ["src/page.css"], outfile: `${out}page.css` });

// One letter in both files for each custom property of the style, the commonest first; the script quotes their names.
// Those that page.html sets stay.
const page = readFileSync(`${out}page.html`, "utf8");
const [js, css] = ["page.js", "page.css"].map((name) => ({ path: out + name, text: readFileSync(out + name, "utf8") }));
const uses = {};
for (const [name] of css.text.matchAll(/--\w+/g)) if (!page.includes(name)) uses[name] = (uses[name] ?? 0) + 1;
const names = Object.keys(uses).sort((a, b) => uses[b] - uses[a] || (a < b ? -1 : 1));
const short = (name) => (names.includes(name) ? `--${(10 + names.indexOf(name)).toString(36)}` : name);
writeFileSync(css.path, css.text.replace(/(--\w+): /g, "$1:").replace(/--\w+/g, short));
// A second minifier looks further than the first: 0.4 KB less, and 0.8 KB when it is compressed.
const { code } = await minify(js.text, { compress: { passes: 3 }, ecma: 2020, toplevel: true });
writeFileSync(js.path, code.replace(/"(--\w+)"/g, (_, name) => `"${short(name)}"`));

const text = readFileSync(`${here}node_modules/preact/LICENSE`, "utf8").trim();
writeFileSync(`${out}licences.txt`, `The script of the page contains this package.\n\npreact ${version} (${license})\n\n${text}\n`);
