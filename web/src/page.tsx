/** The page: its data is unpacked, then every panel is drawn. */
import { arrays, data, image, start } from "./app.ts";
import { ready, run, type Setting } from "./bench.ts";
import { conditions, showBench } from "./bench_panels.tsx";
import { bind } from "./controls.ts";
import { tensor, type Layer, type Tensor } from "./contract.ts";
import { showHeads } from "./heads.tsx";
import { showNet } from "./net.tsx";
import { forward } from "./ops.ts";
import { element, mirror } from "./state.ts";
import { go, position, showStep, steps } from "./step.tsx";
import { fmt } from "./text.ts";
import { showWalk, visit } from "./walk.tsx";

const FORMAT = 1;

function keys(): void {
  const dialog = element("keys") as HTMLDialogElement;
  element("show-keys").onclick = () => dialog.showModal();
  element("hide-keys").onclick = () => dialog.close();
  addEventListener("keydown", (event) => {
    const { tagName, type } = event.target as HTMLInputElement;
    if (event.ctrlKey || event.metaKey || event.altKey || /^(textarea|select)$/i.test(tagName) || type === "number") return;
    if (event.key === "[") go(position.value - 1);
    else if (event.key === "]") go(position.value + 1);
    else if (event.key === "?" && !dialog.open) dialog.showModal();
    else return;
    event.preventDefault();
  });
  for (const link of document.querySelectorAll<HTMLAnchorElement>("a[data-to]")) {
    link.href = `#${link.dataset.to}`;
    link.onclick = (event) => {
      event.preventDefault();
      visit(link.dataset.to!);
    };
  }
}

/** What tests ask: the page's own arithmetic on arrays from outside. */
const minicnn = {
  forward(net: Layer[], shape: number[], x: number[], given: Record<string, [number[], number[]]>): number[][] {
    const made = new Map<string, Tensor>(Object.entries(given).map(([id, [s, v]]) => [id, tensor(s, Float32Array.from(v))]));
    return forward(net, tensor(shape, Float32Array.from(x)), made).map((t) => [...t.data]);
  },
  bench(setting: Setting, shape: [number, number], x: number[], g = [1]): string | { out: number[]; y: number[]; dx: number[] } {
    const r = ready(setting, shape);
    if (typeof r === "string") return r;
    const [y, dx] = run(r, tensor([...shape, 1], Float32Array.from(x)), (n) => g[n % g.length]!);
    return { out: y.shape.slice(0, 2), y: [...y.data], dx: [...dx] };
  },
  array: (id: string): number[] => [...arrays.get(id)!.data],
  logits: (): number[][] => data.heads.map((head) => [...forward(head.net, image, arrays).at(-1)!.data]),
};

async function main(): Promise<void> {
  if (data.format !== FORMAT) {
    document.body.textContent = `This page reads data of format ${FORMAT}, and its file has format ${data.format}.`;
    return;
  }
  await start();
  showWalk();
  showNet();
  showBench();
  showStep();
  showHeads();
  keys();
  bind({ step: (v) => `${v + 1} of ${steps.length}`, p: fmt, r: fmt }, conditions);
  mirror();
  Object.assign(globalThis, { minicnn });
  document.documentElement.dataset.ready = "yes";
}

void main();
