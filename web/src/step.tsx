/** Panel 4: one training step, operation by operation, forward and back, with every number that was computed. */
import { layerOf } from "./arrays.ts";
import { array, data, named } from "./app.ts";
import { real, tensor, type TapeNode, type Tensor } from "./contract.ts";
import { Field, inRows, mapOf, Sheet } from "./field.tsx";
import { abs, clamp, extent, floor, min, sum } from "./math.ts";
import { inside, places, softmax } from "./ops.ts";
import type { Tone } from "./paint.ts";
import { Figure, Formula, Table } from "./parts.tsx";
import { computed, effect, signal } from "./signals.ts";
import { all, count, element, mount, moves, play, stop } from "./state.ts";
import { fmt, last, list, plural, plus, size, terms } from "./text.ts";
import { words } from "./words.ts";

interface Step {
  phase: "forward" | "backward" | "update";
  node: number;
}

const { nodes, rules, svg } = data.tape;
const shown = signal(-1); // a node that was chosen in the drawing instead of that of the step
const map = signal(0);
const at = signal<[number, number]>([0, 0]);
const playing = signal(false);

const isLeaf = (n: TapeNode): boolean => !n.from.length;
const isParameter = (n: TapeNode): boolean => n.op === "parameter";

/** Every step: the operations in order, then back, then the update. */
const order = nodes.map((_, k) => k).filter((k) => !isParameter(nodes[k]!));
export const steps: Step[] = [
  ...order.map((node): Step => ({ phase: "forward", node })),
  ...[...order].reverse().filter((k) => nodes[k]!.grad).map((node): Step => ({ phase: "backward", node })),
  { phase: "update", node: -1 },
];

export const position = count("step", 0, 0, steps.length - 1);
const chosen = computed(() => (shown.value >= 0 ? shown.value : steps[position.value]!.node));

/** How many parts each gradient has, of those that some nodes send. */
function partsFrom(senders: TapeNode[]): number[] {
  const found = nodes.map(() => 0);
  for (const n of senders) for (const { node, part } of n.from) if (part) found[node]!++;
  return found;
}
const uses = partsFrom(nodes);

/** What has been computed when a step is done: values, gradients that are complete, and the parts that have arrived. */
const done = computed(() => {
  const past = steps.slice(0, position.value + 1);
  const of = (phase: string): number[] => past.filter((s) => s.phase === phase).map((s) => s.node);
  const back = of("backward");
  const arrived = partsFrom(back.map((k) => nodes[k]!));
  return {
    back,
    arrived,
    values: nodes.map((n, k) => isLeaf(n) || of("forward").includes(k)),
    grads: nodes.map((_, k) => back.includes(k) || (arrived[k]! > 0 && arrived[k] === uses[k])),
  };
});

const titleOf = (n: TapeNode): string => (isParameter(n) ? `${last(n.layer)}/${n.leaf}` : n.op);

/** Shapes that can be drawn as maps are; others become rows of elements. */
function asMap(t: Tensor): Tensor {
  const [h, w, c, k] = t.shape;
  return t.shape.length > 1 ? tensor([h!, w!, (c ?? 1) * (k ?? 1)], t.data) : inRows(t, min(32, t.data.length));
}

/** The element that is chosen, in a tensor as a map: its row, column and channel, and its place in the data. */
function pick({ shape: [h, w, c] }: Tensor): { i: number; j: number; k: number; n: number } {
  const [i, j, k] = [min(at.value[0], h! - 1), min(at.value[1], w! - 1), min(map.value, c! - 1)];
  return { i, j, k, n: (i * w! + j) * c! + k };
}

function View({ title, t, tone }: { title: string; t: Tensor | undefined; tone: Tone }) {
  if (!t)
    return (
      <Figure title={title}>
        <p class="later dim">Not computed yet.</p>
      </Figure>
    );
  const m = asMap(t);
  const [h, w, c] = m.shape as [number, number, number];
  const { i, j, k } = pick(m);
  const side = clamp(floor(250 / w), 5, h * w <= 16 ? 54 : 36);
  return (
    <Figure title={`${title}${c > 1 ? `, channel ${k + 1} of ${c}` : ""}`}>
      <Field label={title} {...mapOf(m, k)} tone={tone} cell={side} pick={[i, j]} onPick={(a, b) => (at.value = [a, b])} />
      {c > 1 && <Sheet label={title} tensor={m} tone={tone} pick={k} onPick={(n) => (map.value = n)} cell={clamp(floor(40 / w), 2, 4)} room={250} />}
    </Figure>
  );
}

/** The formula of the chosen element, with its numbers. */
function formula(n: TapeNode): string {
  const y = asMap(array(n["value"])!);
  const c = y.shape[2]!;
  const { i, j, k, n: place } = pick(y);
  const v = fmt(y.data[place]!, 4);
  const from = n.from.map(({ node }) => array(nodes[node]!["value"]));
  const [x, kernel, bias] = from;
  const layer = layerOf(data.net, n.layer);
  if (!x) return v;
  const added = (unit: number): string => (bias ? `${plus(bias.data[unit]!)} (bias)` : "");
  switch (n.op) {
    case "relu":
      return `max(${fmt(x.data[place]!, 4)}, 0) = ${v}`;
    case "conv2d":
    case "max_pool2d":
    case "average_pool2d": {
      if (!layer?.rows || x.shape.length !== 3) break;
      const { rows, cols } = places(layer);
      const [, w, xc] = x.shape as [number, number, number];
      const taps = inside(layer, rows[i]!, cols[j]!);
      const read = (t: { row: number; col: number }, channel: number): number => x.data[(t.row * w + t.col) * xc + channel]!;
      const v1 = taps.map((t) => read(t, k));
      if (n.op === "max_pool2d") return `max(${list(v1)}) = ${v}`;
      if (n.op === "average_pool2d") return `(${terms(v1)}) / ${taps.counted} = ${v}`;
      if (!kernel) break;
      const each = kernel.shape[2]!;
      const first = floor(k / (c / (xc / each))) * each;
      const sums = taps.map((t) => sum(Array.from({ length: each }, (_, q) => read(t, first + q) * kernel.data[(t.at * each + q) * c + k]!)));
      return `${terms(sums)}${added(k)} = ${v}${each > 1 ? words("terms", each) : ""}`;
    }
    case "dense": {
      const units = kernel!.shape[1]!;
      const products = [...x.data].map((a, q) => a * kernel!.data[q * units + place]!).sort((a, b) => abs(b) - abs(a));
      return `${terms([...products.slice(0, 4), sum(products.slice(4))])}${added(place)} = ${v}${words("largest", products.length)}`;
    }
    case "cross_entropy": {
      const p = softmax(x).data[data["label"]]!;
      return words("loss", named(data["label"]), fmt(p, 4), v);
    }
    case "flatten":
    case "reshape":
      return words("reshaped", v);
    case "add":
      return `${terms(from.map((f) => asMap(f!).data[place] ?? f!.data[k] ?? 0))} = ${v}`;
  }
  return `${n.op} gives ${v}`;
}

const Parts = ({ n, k }: { n: TapeNode; k: number }) => (
  <ul class="parts stack dim">
    {n.from.map(({ node, part }) => {
      const t = array(part);
      if (!t) return null;
      // The backward pass goes from the last node to the first.
      const before = partsFrom(nodes.slice(k + 1))[node]! > 0;
      return (
        <li class="flex">
          <button type="button" onClick={() => (shown.value = node)}>
            <b>{titleOf(nodes[node]!)}</b> <em class={before ? "plus" : ""}>{before ? "+=" : "="}</em> {size(t.shape)}
          </button>
          <span>largest {fmt(extent(t.data))}</span>
          {uses[node]! > 1 && <span>{words("meet", plural(uses[node]!, "part"))}</span>}
        </li>
      );
    })}
  </ul>
);

export const go = (to: number): void => void (position.value = clamp(to, 0, steps.length - 1));

function sentence({ phase, node }: Step): string {
  if (phase === "update") return words("update");
  const n = nodes[node]!;
  if (isLeaf(n)) return words(phase === "forward" ? "given" : "complete", titleOf(n));
  return words(phase, n.op, phase === "forward" ? size(n.shape.slice(1)) : (rules[n.op] ?? words("rule")));
}

/** Mark the drawing that Python laid out with what has been computed. */
function mark(root: HTMLElement): void {
  const { values, grads, arrived, back } = done.value;
  const { node, phase } = steps[position.value]!;
  const set = (what: string, classes: (k: number) => Record<string, boolean>): void =>
    all<SVGElement>(`[data-${what}]`, root).forEach((e) => {
      for (const [name, on] of Object.entries(classes(+e.dataset[what]!))) e.classList.toggle(name, on);
    });
  const later = phase !== "forward";
  set("node", (k) => ({ done: values[k]!, back: later && (grads[k]! || arrived[k]! > 0), here: k === chosen.value }));
  set("to", (k) => ({ done: values[k]!, back: back.includes(k), flowing: node === k }));
  const box = root.querySelector(".here")?.getBoundingClientRect();
  if (!box) return;
  const { x, y, width, height } = root.getBoundingClientRect();
  root.scrollBy({ top: box.y - y - (height - box.height) / 2, left: box.right - x - width + 60, behavior: moves() ? "smooth" : "auto" });
}

function Detail() {
  const k = chosen.value;
  const n = nodes[k];
  const { values, grads } = done.value;
  element("update").hidden = !!n; // what Python has written of the update
  if (!n) return null;
  const [known, back] = [values[k] && !isLeaf(n), grads[k]];
  return (
    <>
      <h3>
        {titleOf(n)} <small>{n.layer && !isParameter(n) ? n.layer : size(n.shape)}</small>
      </h3>
      <div class="pair flex">
        <View title="value" t={values[k] ? array(n["value"]) : undefined} tone="value" />
        <View title="gradient of the loss" t={back ? array(n.grad) : undefined} tone="grad" />
      </div>
      {known && n["value"] && <Formula of={words("place", at.value[0] + 1, at.value[1] + 1)}>{formula(n)}</Formula>}
      {back && known && (
        <>
          <h4>Parts sent on</h4>
          <Parts n={n} k={k} />
        </>
      )}
      {back && n.checks.length > 0 && (
        <Table
          kind="checks"
          caption={words("check")}
          head={words("checks").split("|")}
          rows={n.checks.map((c) => [`[${c["cell"].join(", ")}]`, fmt(real(c.exact), 4), fmt(real(c.numeric), 4), fmt(c.h, 2)])}
        />
      )}
    </>
  );
}

export function showStep(): void {
  const end = steps.length - 1;
  (element("position") as HTMLInputElement).max = `${end}`;
  const tape = element("tape");
  tape.innerHTML = svg; // made by this program, its texts escaped
  tape.onclick = (event) => {
    const found = (event.target as Element).closest<SVGElement>("[data-node]")?.dataset.node;
    if (found) shown.value = +found;
  };
  effect(() => mark(tape));
  const player = element("play");
  player.hidden = !moves();
  player.onclick = () => {
    stop();
    const from = position.value + 1;
    if ((playing.value = !playing.value)) play(steps.length - from, 1100, (n) => go(from + n), () => (playing.value = false));
  };
  effect(() => void (player.textContent = playing.value ? "Pause" : "Play"));
  effect(() => {
    const s = steps[position.value]!;
    element("said").className = `said ${s.phase}`;
    element("said").textContent = sentence(s);
    shown.value = -1;
    // Two steps may have the same sentence, and a live region is read only when it changes.
    element("said").insertAdjacentHTML("beforeend", `<span class="aside"> Step ${position.value + 1}.</span>`);
  });
  mount("detail", () => <Detail />);
}
