// Writes the page's script and style, and the licences of what is in them, to minicnn/explain/. Same sources, same bytes.
import { build } from "esbuild";
import { readFileSync, writeFileSync } from "node:fs";
import { minify } from "uglify-js";
import { mangleProps } from "./mangle.mjs";

const out = new URL("../minicnn/explain/", import.meta.url).pathname;
const here = new URL(".", import.meta.url).pathname;
const common = { bundle: true, minify: true, target: "es2024", charset: "utf8", legalComments: "none", absWorkingDir: here };
// Calls of h(name, props, ...children) take fewer bytes than those of the automatic runtime.
const jsx = { jsx: "transform", jsxFactory: "jsxNode", jsxFragment: "jsxFragment", inject: ["src/jsx.ts"], tsconfigRaw: {} };

// The part of Preact that the page uses.
const preact = {
  name: "preact",
  setup: ({ onResolve }) => onResolve({ filter: /^preact$/ }, () => ({ path: `${here}preact/index.ts` })),
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
writeFileSync(css.path, css.text.replace(/(--\w+): /g, "$1:").replaceAll(", ", ",").replace(/--\w+/g, short));
// A second minifier looks further than the first: 1.5 KB less, and 1 KB when it is compressed. What it leaves alone here
// makes the code shorter and less regular, so that it compresses less.
const compress = { passes: 3, inline: 1, if_return: false, varify: false };
const { code, error } = minify(js.text, { compress, toplevel: true });
if (error) throw error;
writeFileSync(js.path, code.replace(/"(--\w+)"/g, (_, name) => `"${short(name)}"`));

const read = (name) => readFileSync(`${here}node_modules/preact/${name}`, "utf8").trim();
const { version, license } = JSON.parse(read("package.json"));
const licence = `The sources of the page's script are a program for Preact. The script contains none of Preact's code: it implements the
part of Preact's interface that the page uses.

preact ${version} (${license})

${read("LICENSE")}
`;
writeFileSync(`${out}licences.txt`, licence);
