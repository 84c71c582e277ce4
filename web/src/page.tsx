/** The page: its data is unpacked, then every panel is drawn. */
import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { app, best, named, start } from "./app.ts";
import { gradient, ready, result, type Setting } from "./bench.ts";
import { Backward, Bench } from "./bench_panels.tsx";
import { tensor, unpack, type Data, type Layer, type Tensor } from "./contract.ts";
import { Button } from "./controls.tsx";
import { Draw, Heads, Shift } from "./heads.tsx";
import { Net } from "./net.tsx";
import { forward, softmax } from "./ops.ts";
import { mirror, spoken } from "./state.ts";
import { go, position, Training } from "./step.tsx";
import { Study } from "./study.tsx";
import { percent, plural, thousands } from "./text.ts";
import { visit, Walk } from "./walk.tsx";

const FORMAT = 1;

const PANELS = [
  ["net", "Net"],
  ["bench", "Window"],
  ["back", "Gradient"],
  ["step", "Training step"],
  ["heads", "Heads"],
  ["shift", "Shift"],
  ["draw", "Draw"],
  ["study", "Study"],
] as const;

const KEYS = [
  ["Tab", "to the next control or map"],
  ["arrow keys", "move in a map, choose a channel, change a slider"],
  ["Home, End", "first and last column, channel or value"],
  ["Page Up, Page Down", "first and last row of a map"],
  ["[ and ]", "one step of the training step back and on"],
  ["space", "draw under the pen in the drawing area"],
  ["Shift and arrows", "draw a line"],
  ["?", "this list"],
  ["Escape", "close it"],
] as const;

function Top() {
  const { data, values } = app;
  const logits = values.at(-1)?.data;
  const parameters = data.heads[0]?.parameters ?? 0;
  const says = logits ? best(logits) : -1;
  return (
    <header class="top">
      <p class="kicker">minicnn explain</p>
      <h1>{data.title}</h1>
      <p class="lede">
        A trained net with {plural(parameters, "parameter")}, one image of the class {named(data.label)}
        {logits && (
          <>
            , and its answer: <b>{named(says)}</b>, with a probability of {percent(softmax(tensor([logits.length], logits)).data[says]!)}
          </>
        )}
        . This page holds the net, the image and every number of one training step, and computes the rest itself; it needs no network.
      </p>
      <nav aria-label="Panels">
        {PANELS.filter(([id]) => id !== "study" || data.study).map(([id, name], n) => (
          <a
            key={id}
            href={`#${id}`}
            onClick={(e) => {
              e.preventDefault();
              visit(id);
            }}
          >
            <span aria-hidden="true">{n + 1}</span>
            {name}
          </a>
        ))}
      </nav>
    </header>
  );
}

function Page() {
  const keys = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const listen = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (/^(textarea|select)$/i.test((event.target as Element).tagName) || (event.target as HTMLInputElement).type === "number") return;
      if (event.key === "[") go(position.value - 1);
      else if (event.key === "]") go(position.value + 1);
      else if (event.key === "?" && !keys.current!.open) keys.current!.showModal();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, []);
  return (
    <>
      <a
        class="skip"
        href="#net"
        onClick={(e) => {
          e.preventDefault();
          visit("net");
        }}
      >
        Skip to the net
      </a>
      <main>
        <Top />
        <Walk />
        <Net />
        <Bench />
        <Backward />
        <Training />
        <Heads />
        <Shift />
        <Draw />
        <Study />
      </main>
      <footer>
        <p>
          Written by minicnn {app.data.minicnn}. Every number of the training step comes from the library; the others are computed in the page by the same rules.{" "}
          {app.data.heads.length > 0 && `${thousands(app.data.heads[0]!.multiply_adds)} multiply-adds answer one image.`}
        </p>
        <Button onClick={() => keys.current!.showModal()}>Keys</Button>
      </footer>
      <dialog ref={keys} aria-labelledby="keys-title">
        <h2 id="keys-title">Keys</h2>
        <dl>
          {KEYS.map(([key, what]) => (
            <div key={key}>
              <dt>
                <kbd>{key}</kbd>
              </dt>
              <dd>{what}</dd>
            </div>
          ))}
        </dl>
        <Button main onClick={() => keys.current!.close()}>
          Close
        </Button>
      </dialog>
      <p class="aside" aria-live="polite">
        {spoken.value}
      </p>
    </>
  );
}

/** What tests ask: the page's own arithmetic on arrays from outside. */
const tests = {
  forward(net: Layer[], shape: number[], x: number[], arrays: Record<string, [number[], number[]]>): number[][] {
    const made = new Map<string, Tensor>(Object.entries(arrays).map(([id, [s, v]]) => [id, tensor(s, Float32Array.from(v))]));
    return forward(net, tensor(shape, Float32Array.from(x)), made).map((t) => [...t.data]);
  },
  bench(setting: Setting, shape: [number, number], x: number[], g?: number[]): string | { out: number[]; y: number[]; dx: number[] } {
    const r = ready(setting, shape);
    if (typeof r === "string") return r;
    const image = tensor([...shape, 1], Float32Array.from(x));
    const y = result(r, image);
    const given = tensor(y.shape, g ? Float32Array.from(y.data, (_, n) => g[n % g.length]!) : y.data.map(() => 1));
    return { out: y.shape.slice(0, 2), y: [...y.data], dx: [...gradient(r, image, given).data] };
  },
  logits: (): number[][] => app.data.heads.map((head) => [...forward(head.net, app.image, app.arrays).at(-1)!.data]),
};

async function main(): Promise<void> {
  const root = document.getElementById("page")!;
  const data = JSON.parse(document.getElementById("data")!.textContent!) as Data;
  if (data.format !== FORMAT) {
    root.textContent = `This page reads data of format ${FORMAT}, and its file has format ${data.format}.`;
    return;
  }
  start(data, await unpack(data.arrays));
  render(<Page />, root);
  mirror();
  Object.assign(globalThis, { minicnn: tests });
  document.documentElement.dataset.ready = "yes";
}

void main();
