/** The page: its data is unpacked, then every panel is drawn. */
import { arrays, data, start } from "./app.ts";
import { ready, run } from "./bench.ts";
import { benchConditions, showBench } from "./bench_panels.tsx";
import { bind } from "./controls.ts";
import { showHeads } from "./heads.tsx";
import { showNet } from "./net.tsx";
import { forward } from "./ops.ts";
import { all, element, mirror } from "./state.ts";
import { go, last, position, showStep, stepConditions } from "./step.tsx";
import { fmt } from "./text.ts";
import { showWalk, visit } from "./walk.tsx";
import { words } from "./words.ts";

const FORMAT = 1;

function keys(): void {
  const dialog = element("keys") as HTMLDialogElement;
  element("show-keys").onclick = () => dialog.showModal();
  element("hide-keys").onclick = () => dialog.close();
  onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.target as Element).matches("textarea, select, [type=number]")) return;
    if (event.key === "[") go(position.value - 1);
    else if (event.key === "]") go(position.value + 1);
    else if (event.key === "?" && !dialog.open) dialog.showModal();
    else return;
    event.preventDefault();
  };
  for (const link of all<HTMLAnchorElement>("a[data-to]")) {
    link.href = `#${link.dataset.to}`;
    link.onclick = (event) => {
      event.preventDefault();
      visit(link.dataset.to!);
    };
  }
}

async function main(): Promise<void> {
  if (data.format !== FORMAT) {
    document.body.textContent = words("format", FORMAT, data.format);
    return;
  }
  await start();
  showWalk();
  showNet();
  showBench();
  showStep();
  showHeads();
  keys();
  bind({ step: (v) => `${v + 1} of ${last + 1}`, p: fmt, r: fmt }, { ...benchConditions, ...stepConditions });
  mirror();
  // For tests: the page's own arithmetic.
  (globalThis as unknown as Record<string, unknown>).minicnn = { forward, ready, run, arrays };
  document.documentElement.dataset.ready = "yes";
}

void main();
