// `mangle.mjs` renames properties wherever they stand without quotes. In a copy of the sources that has the new names,
// the compiler finds each property of the browser, and each field of the data, that would be renamed by mistake.
import { spawnSync } from "node:child_process";
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mangleProps } from "./mangle.mjs";

const copy = "node_modules/.renamed";
rmSync(copy, { recursive: true, force: true });
for (const folder of ["src", "preact"]) cpSync(folder, `${copy}/${folder}`, { recursive: true });
// Such a mistake, to see that it is found.
writeFileSync(`${copy}/src/mistake.ts`, "// @ts-expect-error\nvoid document.head;\n");
for (const file of readdirSync(copy, { recursive: true }).filter((name) => /\.tsx?$/.test(name))) {
  const text = readFileSync(`${copy}/${file}`, "utf8").replace("../../minicnn", `${process.cwd()}/../minicnn`);
  const renamed = text.replace(/(?<![\w"</]|--)\w+(?![\w"])/g, (name) => (mangleProps.test(name) ? `${name}_` : name));
  writeFileSync(`${copy}/${file}`, renamed);
}
writeFileSync(`${copy}/tsconfig.json`, JSON.stringify({ extends: "../../tsconfig.json", include: ["src", "preact"] }));
process.exitCode = spawnSync("node_modules/.bin/tsc", ["--noEmit", "--project", copy], { stdio: "inherit" }).status;
