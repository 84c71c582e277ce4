/** Panel 4: one training step, operation by operation, forward and back, with every number that was computed. */
import { computed, effect, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { app, layers, named, unbatched } from "./app.ts";
import { real, tensor, type Layer, type TapeNode, type Tensor } from "./contract.ts";
import { Button, Figure, Formula, Panel, Slider } from "./controls.tsx";
import { channel, Field, Sheet, type Cell } from "./field.tsx";
import { places } from "./ops.ts";
import { extent, type Tone } from "./paint.ts";
import { control, count, moves } from "./state.ts";
import { fmt, plural, size, terms } from "./text.ts";

type Phase = "forward" | "backward" | "update";

interface Step {
  phase: Phase;
  node: number;
}

export const position = count("step", 0, 0, 9_999);
const shown = signal(-1); // a node that was chosen in the drawing instead of that of the step
const map = signal(0);
const at = signal<[number, number]>([0, 0]);
const rate = control<number>("lr", 0.1);
const playing = signal(false);

const nodes = (): TapeNode[] => app.data.tape.nodes;
export const isLeaf = (n: TapeNode): boolean => n.from.length === 0;
const isParameter = (n: TapeNode): boolean => isLeaf(n) && n.op === "parameter";

/** Every step: the operations in order, then back, then the update. */
export const steps = computed<Step[]>(() => {
  const order = nodes().map((_, k) => k).filter((k) => !isParameter(nodes()[k]!));
  const back = [...order].reverse().filter((k) => nodes()[k]!.grad);
  return [
    ...order.map((node): Step => ({ phase: "forward", node })),
    ...back.map((node): Step => ({ phase: "backward", node })),
    { phase: "update", node: -1 },
  ];
});

const current = computed<Step>(() => steps.value[Math.min(position.value, steps.value.length - 1)]!);

/** What has been computed when a step is done: values, complete gradients, and parts that have arrived. */
const done = computed(() => {
  const values = new Set<number>();
  const grads = new Set<number>();
  const arrived = new Map<number, number>();
  nodes().forEach((n, k) => isLeaf(n) && values.add(k));
  for (const s of steps.value.slice(0, position.value + 1)) {
    if (s.phase === "forward") values.add(s.node);
    if (s.phase === "backward") {
      grads.add(s.node);
      for (const { node, part } of nodes()[s.node]!.from) if (part) arrived.set(node, (arrived.get(node) ?? 0) + 1);
    }
  }
  const uses = new Map<number, number>();
  for (const n of nodes()) for (const { node, part } of n.from) if (part) uses.set(node, (uses.get(node) ?? 0) + 1);
  for (const [node, n] of arrived) if (n === uses.get(node)) grads.add(node);
  return { values, grads, arrived, uses };
});

const titleOf = (n: TapeNode): string => (isParameter(n) ? `${(n.layer ?? "").split("/").at(-1)}/${n.leaf}` : n.op);
const array = (id: string | undefined): Tensor | null => (id ? unbatched(app.arrays.get(id)!) : null);

/** Shapes that can be drawn as maps are; others become one row of cells. */
function asMap(t: Tensor): Tensor {
  if (t.shape.length === 3) return t;
  if (t.shape.length === 4) {
    const [h, w, c, k] = t.shape as [number, number, number, number];
    return tensor([h, w, c * k], t.data);
  }
  if (t.shape.length === 2) {
    const [h, w] = t.shape as [number, number];
    return tensor([h, w, 1], t.data);
  }
  const across = Math.min(32, t.data.length);
  const down = Math.ceil(t.data.length / across);
  const data = new Float32Array(down * across);
  data.set(t.data);
  return tensor([down, across, 1], data);
}

function View({ title, tensor: t, tone }: { title: string; tensor: Tensor | null; tone: Tone }) {
  if (!t)
    return (
      <Figure title={title}>
        <p class="later">Not computed yet.</p>
      </Figure>
    );
  const m = asMap(t);
  const [h, w, c] = m.shape as [number, number, number];
  const k = Math.min(map.value, c - 1);
  const [i, j] = [Math.min(at.value[0], h - 1), Math.min(at.value[1], w - 1)];
  const most = extent(m.data);
  const side = Math.max(5, Math.min(h * w <= 16 ? 54 : 36, Math.floor(250 / w)));
  return (
    <Figure title={`${title}${c > 1 ? `, channel ${k + 1} of ${c}` : ""}`}>
      <Field
        label={title}
        rows={h}
        cols={w}
        at={(a, b): Cell => (a * w + b < t.data.length * c ? channel(m, k)(a, b) : { v: null })}
        most={most}
        tone={tone}
        cell={side}
        numbers={side >= 22}
        pick={[i, j]}
        onPick={(a, b) => (at.value = [a, b])}
      />
      {c > 1 && <Sheet label={title} tensor={m} tone={tone} pick={k} onPick={(n) => (map.value = n)} cell={Math.max(2, Math.min(4, Math.floor(40 / w)))} room={250} />}
    </Figure>
  );
}

const layerOf = (n: TapeNode): Layer | undefined => layers(app.data.net).find((l) => l.name === n.layer);

/** The formula of the chosen element, with its numbers. */
function formula(n: TapeNode): string {
  const y = array(n.value)!;
  const m = asMap(y);
  const [h, w, c] = m.shape as [number, number, number];
  const k = Math.min(map.value, c - 1);
  const [i, j] = [Math.min(at.value[0], h - 1), Math.min(at.value[1], w - 1)];
  const v = fmt(m.data[(i * w + j) * c + k]!, 4);
  const from = n.from.map(({ node }) => array(nodes()[node]!.value)!);
  const x = from[0];
  const layer = layerOf(n);
  if (!x) return `${fmt(m.data[(i * w + j) * c + k]!, 4)}`;
  switch (n.op) {
    case "relu":
      return `max(${fmt(x.data[(i * w + j) * c + k]!, 4)}, 0) = ${v}`;
    case "conv2d": {
      const kernel = from[1];
      if (!layer?.rows || !kernel || x.shape.length !== 3) break;
      const { rows, cols } = places(layer);
      const [, xw, xc] = x.shape as [number, number, number];
      const [, kw, each, filters] = kernel.shape as [number, number, number, number];
      const first = Math.floor(k / (filters / (xc / each))) * each;
      const sums = rows[i]!.flatMap((row, a) =>
        cols[j]!.map((col, b) => {
          let total = 0;
          if (row >= 0 && col >= 0)
            for (let q = 0; q < each; q++) total += x.data[(row * xw + col) * xc + first + q]! * kernel.data[((a * kw + b) * each + q) * filters + k]!;
          return total;
        }),
      );
      const bias = from[2]?.data[k];
      return `${terms(sums)}${bias === undefined ? "" : ` ${bias < 0 ? "−" : "+"} ${fmt(Math.abs(bias))} (bias)`} = ${v}${each > 1 ? `; each term is one place of the kernel, summed over ${each} channels` : ""}`;
    }
    case "max_pool2d":
    case "average_pool2d": {
      if (!layer?.rows || x.shape.length !== 3) break;
      const { rows, cols } = places(layer);
      const list = rows[i]!.filter((r) => r >= 0).flatMap((row) => cols[j]!.filter((q) => q >= 0).map((col) => x.data[(row * x.shape[1]! + col) * c + k]!));
      return n.op === "max_pool2d" ? `max(${list.slice(0, 9).map((a) => fmt(a)).join(", ")}${list.length > 9 ? ", …" : ""}) = ${v}` : `(${terms(list)}) / ${list.length} = ${v}`;
    }
    case "dense": {
      const kernel = from[1]!;
      const units = kernel.shape[1]!;
      const unit = i * w + j;
      const products = [...x.data].map((a, q) => a * kernel.data[q * units + unit]!);
      const top = products.map((p, q) => [p, q] as const).sort((a, b) => Math.abs(b[0]) - Math.abs(a[0])).slice(0, 4).map(([p]) => p);
      const rest = products.reduce((a, b) => a + b, 0) - top.reduce((a, b) => a + b, 0);
      const bias = from[2]?.data[unit] ?? 0;
      return `${terms([...top, rest, bias])} = ${v}; the four largest of ${products.length} products, the rest, the bias`;
    }
    case "cross_entropy": {
      const logits = [...x.data];
      const highest = Math.max(...logits);
      const total = logits.reduce((a, b) => a + Math.exp(b - highest), 0);
      const p = Math.exp(logits[app.data.label]! - highest) / total;
      return `−log(probability of ${named(app.data.label)}) = −log(${fmt(p, 4)}) = ${v}`;
    }
    case "flatten":
    case "reshape":
      return `${v}: the same number in another shape`;
    case "add":
      return `${terms(from.map((f) => asMap(f).data[(i * w + j) * c + k] ?? f.data[k] ?? 0))} = ${v}`;
  }
  return `${n.op} gives ${v}`;
}

/** How a gradient becomes the parts that it sends on. */
const RULES: Record<string, string> = {
  relu: "passes on what lies under a positive result, and nothing elsewhere",
  conv2d: "each pixel gets, from every window that read it, the window's gradient times the kernel element at its tap",
  max_pool2d: "the first maximum of each window gets all of its gradient",
  average_pool2d: "each element of a window gets an equal part",
  global_average_pool2d: "each element gets an equal part",
  global_max_pool2d: "the first maximum of each channel gets all of its gradient",
  dense: "the features get the gradient times the kernel, the kernel gets feature times gradient",
  cross_entropy: "the logits get probability minus 1 for the label, and the probability for each other class",
  flatten: "the same numbers in the shape of the input",
  reshape: "the same numbers in the shape of the input",
  add: "both summands get the same gradient",
  concatenate: "each branch gets its own channels",
};

function Parts({ n, k }: { n: TapeNode; k: number }) {
  const { uses } = done.value;
  return (
    <ul class="parts">
      {n.from.map(({ node, part }, q) => {
        const to = nodes()[node]!;
        const t = array(part);
        if (!t) return null;
        const many = (uses.get(node) ?? 1) > 1;
        const before = app.data.tape.nodes.filter((m, index) => index > k && m.from.some((f) => f.node === node && f.part)).length;
        return (
          <li key={q}>
            <button type="button" onClick={() => (shown.value = node)}>
              <b>{titleOf(to)}</b> {many && before > 0 ? <em class="plus">+=</em> : <em>=</em>} {size(t.shape)}
            </button>
            <span>largest {fmt(extent(t.data))}</span>
            {many && <span>{plural(uses.get(node)!, "part")} meet here and add up</span>}
          </li>
        );
      })}
    </ul>
  );
}

function Checks({ n }: { n: TapeNode }) {
  if (!n.checks?.length) return null;
  return (
    <table class="checks">
      <caption>Gradient and difference quotient</caption>
      <thead>
        <tr>
          {["element", "gradient", "(L(x + h) − L(x − h)) / 2h", "h"].map((t) => (
            <th key={t} scope="col">
              {t}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {n.checks.map((c, k) => (
          <tr key={k}>
            <th scope="row">[{c.cell.join(", ")}]</th>
            <td>{fmt(real(c.exact), 4)}</td>
            <td>{fmt(real(c.numeric), 4)}</td>
            <td>{fmt(c.h, 2)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The parameters, their gradients and what one step of the optimizer makes of them. */
function Update() {
  const parameters = nodes().filter((n) => isParameter(n) && n.value && n.grad);
  const { optimizer } = app.data.tape;
  return (
    <>
      <h3>Update</h3>
      {optimizer ? (
        <p>
          <code>{optimizer}</code> moves every parameter against its gradient.
        </p>
      ) : (
        <>
          <p>Gradient descent moves every parameter against its gradient: new = old − rate × gradient.</p>
          <Slider label="learning rate" state={rate} least={0} most={1} by={0.01} show={fmt} />
        </>
      )}
      <div class="scroll" tabIndex={0} role="region" aria-label="Updates">
        <table class="update">
          <thead>
            <tr>
              {["parameter", "shape", "element with the largest gradient", "gradient", "old", "change", "new"].map((t) => (
                <th key={t} scope="col">
                  {t}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {parameters.map((n, k) => {
              const [w, g, next] = [array(n.value)!, array(n.grad)!, array(n.after)];
              let top = 0;
              g.data.forEach((v, q) => Math.abs(v) > Math.abs(g.data[top]!) && (top = q));
              const move = next ? next.data[top]! - w.data[top]! : -rate.value * g.data[top]!;
              return (
                <tr key={k}>
                  <th scope="row">{titleOf(n)}</th>
                  <td>{size(w.shape)}</td>
                  <td>{indices(w.shape, top)}</td>
                  <td class="grad">{fmt(g.data[top]!)}</td>
                  <td>{fmt(w.data[top]!, 4)}</td>
                  <td>{fmt(move)}</td>
                  <td>{fmt(w.data[top]! + move, 4)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </>
  );
}

/** The indices of an element by its place in C order. */
function indices(shape: number[], n: number): string {
  const found: number[] = [];
  for (const d of [...shape].reverse()) {
    found.unshift(n % d);
    n = Math.floor(n / d);
  }
  return `[${found.join(", ")}]`;
}

export function go(to: number): void {
  shown.value = -1;
  position.value = Math.max(0, Math.min(steps.value.length - 1, to));
}

const sentence = (s: Step): string => {
  if (s.phase === "update") return "Update: every parameter moves against its gradient.";
  const n = nodes()[s.node]!;
  if (isLeaf(n)) return s.phase === "forward" ? `Forward: ${titleOf(n)} is given.` : `Backward: the gradient of ${titleOf(n)} is complete.`;
  return s.phase === "forward"
    ? `Forward: ${n.op} gives ${size(n.shape.slice(1))}.`
    : `Backward, ${n.op}: ${RULES[n.op] ?? "each argument gets its part of the gradient"}.`;
};

/** The drawing that Python laid out, marked with what has been computed. */
function Drawing() {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const root = ref.current!;
    root.innerHTML = app.data.tape.svg; // made by this program, its texts escaped
    root.querySelector("svg")?.setAttribute("aria-hidden", "true");
    root.addEventListener("click", (event) => {
      const found = (event.target as Element).closest("[data-node]")?.getAttribute("data-node");
      if (found) shown.value = Number(found);
    });
    return effect(() => {
      const { values, grads, arrived, uses } = done.value;
      const s = current.value;
      const focus = shown.value >= 0 ? shown.value : s.node;
      for (const g of root.querySelectorAll("[data-node]")) {
        const k = Number(g.getAttribute("data-node"));
        g.classList.toggle("done", values.has(k));
        g.classList.toggle("back", s.phase !== "forward" && (grads.has(k) || arrived.has(k)));
        g.classList.toggle("here", k === focus);
        g.classList.toggle("meets", (uses.get(k) ?? 0) > 1 && (arrived.get(k) ?? 0) > 1);
      }
      for (const path of root.querySelectorAll("[data-to]")) {
        const to = Number(path.getAttribute("data-to"));
        path.classList.toggle("done", values.has(to));
        path.classList.toggle("back", s.phase !== "forward" && steps.value.slice(0, position.value + 1).some((t) => t.phase === "backward" && t.node === to));
        path.classList.toggle("flowing", s.node === to && s.phase !== "update");
      }
      const here = root.querySelector(".here");
      if (here) {
        const [a, b] = [here.getBoundingClientRect(), root.getBoundingClientRect()];
        root.scrollTo({ top: root.scrollTop + a.top - b.top - b.height / 2 + a.height / 2, left: root.scrollLeft + a.right - b.right + 60, behavior: moves() ? "smooth" : "auto" });
      }
    });
  }, []);
  return <div class="tape" ref={ref} tabIndex={0} role="img" aria-label="The graph of the step; the same steps follow as text." />;
}

export function Training() {
  const s = current.value;
  const k = shown.value >= 0 ? shown.value : s.node;
  const n = k >= 0 ? nodes()[k]! : null;
  const { values, grads } = done.value;
  const last = steps.value.length - 1;
  useEffect(
    () =>
      effect(() => {
        if (!playing.value) return;
        const timer = setInterval(() => {
          if (position.peek() >= last) playing.value = false;
          else go(position.peek() + 1);
        }, 1100);
        return () => clearInterval(timer);
      }),
    [],
  );
  return (
    <Panel
      id="step"
      number={4}
      title="One training step"
      lede="The library records every operation on its tape. Forward, each gives a value; back, each hands on the gradient of the loss. Step through it with the buttons, or with the keys [ and ]."
    >
      <div class="wide">
        <div class="transport" role="group" aria-label="Steps of the tape">
          <Button label="First step" off={position.value === 0} onClick={() => go(0)}>
            ⇤
          </Button>
          <Button label="Step back" off={position.value === 0} onClick={() => go(position.value - 1)}>
            ← Back
          </Button>
          <Button main label="Next step" off={position.value >= last} onClick={() => go(position.value + 1)}>
            Next →
          </Button>
          {moves() && <Button onClick={() => (playing.value = !playing.value)}>{playing.value ? "Pause" : "Play"}</Button>}
          <Slider label="step" state={position} least={0} most={last} show={(v) => `${v + 1} of ${last + 1}`} onInput={() => (shown.value = -1)} />
        </div>
        <p class={`said ${s.phase}`} aria-live="polite">
          {sentence(s)}
        </p>
        <div class="training">
          <Drawing />
          <div class="detail">
            {n ? (
              <>
                <h3>
                  {titleOf(n)} <small>{n.layer && !isParameter(n) ? n.layer : size(n.shape)}</small>
                </h3>
                <div class="pair">
                  <View title="value" tensor={values.has(k) ? array(n.value) : null} tone="value" />
                  <View title="gradient of the loss" tensor={grads.has(k) ? array(n.grad) : null} tone="grad" />
                </div>
                {values.has(k) && !isLeaf(n) && (
                  <Formula>
                    <b>
                      row {at.value[0] + 1}, column {at.value[1] + 1}:
                    </b>{" "}
                    {formula(n)}
                  </Formula>
                )}
                {grads.has(k) && !isLeaf(n) && (
                  <>
                    <h4>Parts sent on</h4>
                    <Parts n={n} k={k} />
                  </>
                )}
                {grads.has(k) && <Checks n={n} />}
              </>
            ) : (
              <Update />
            )}
          </div>
        </div>
      </div>
    </Panel>
  );
}
