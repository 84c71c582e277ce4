/** Panel 4: one training step, operation by operation, forward and back, with every number that was computed. */
import { layerOf } from "./arrays.ts";
import { array, data, named } from "./app.ts";
import { tensor, type TapeNode, type Tensor } from "./contract.ts";
import { Field, inRows, mapOf, Sheet } from "./field.tsx";
import { abs, clamp, floor, min, sum, upTo } from "./math.ts";
import { inside, places, softmaxOf } from "./ops.ts";
import type { Tone } from "./paint.ts";
import { Figure, Formula } from "./parts.tsx";
import { computed, effect, signal } from "./signals.ts";
import { all, count, element, mount, moves, play, put, stop } from "./state.ts";
import { fmt, list, plus, terms } from "./text.ts";
import { words } from "./words.ts";

const { nodes, steps, svg } = data.tape;
export const last = steps.length - 1;
export const position = count("step", 0, 0, last);
const shown = count("node", -1, -1, nodes.length - 1); // one that was chosen instead of that of the step
const chosen = computed(() => (shown.value < 0 ? steps[position.value]! : shown.value));
const map = signal(0);
const at = signal<[number, number]>([0, 0]);
const playing = signal(false);

/** Whether what a step computes, or sends back, is there. */
const past = (step?: number): boolean => position.value >= step!;

/** When the file shows what it tells of a node. */
export const stepConditions = { node: (k: string) => chosen.value === +k, from: (step: string) => past(+step) };

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
      const xc = x.shape[2]!;
      const { reads, counted } = inside(layer, rows[i]!, cols[j]!);
      const read = (n: number, channel: number): number => x.data[n * xc + channel]!;
      const v1 = reads.map((t) => read(t.n, k));
      if (n.op === "max_pool2d") return `max(${list(v1)}) = ${v}`;
      if (n.op === "average_pool2d") return `(${terms(v1)}) / ${counted} = ${v}`;
      if (!kernel) break;
      const each = kernel.shape[2]!;
      const first = floor(k / (c / (xc / each))) * each;
      const sums = reads.map((t) => sum(upTo(each).map((q) => read(t.n, first + q) * kernel.data[(t.at * each + q) * c + k]!)));
      return `${terms(sums)}${added(k)} = ${v}${each > 1 ? words("terms", each) : ""}`;
    }
    case "dense": {
      const units = kernel!.shape[1]!;
      const products = [...x.data].map((a, q) => a * kernel!.data[q * units + place]!).sort((a, b) => abs(b) - abs(a));
      return `${terms([...products.slice(0, 4), sum(products.slice(4))])}${added(place)} = ${v}${words("largest", products.length)}`;
    }
    case "cross_entropy": {
      const p = softmaxOf([...x.data])[data["label"]]!;
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

export const go = (to: number): void => void (position.value = clamp(to, 0, last));

/** Mark the drawing that Python laid out with what has been computed. */
function mark(root: HTMLElement): void {
  for (const part of all<SVGElement>("[data-node], [data-to]", root)) {
    const { node, to } = part.dataset;
    const k = +(node ?? to!);
    const { known, arrives, complete } = nodes[k]!;
    const is = { done: past(known), back: past(node ? arrives : complete), here: k === chosen.value, flowing: k === steps[position.value] };
    for (const [name, on] of Object.entries(is)) part.classList.toggle(name, on);
  }
  const box = root.querySelector(".node.here")?.getBoundingClientRect();
  if (!box) return;
  const { x, y, width, height } = root.getBoundingClientRect();
  root.scrollBy(box.right - x - width + 60, box.y - y - (height - box.height) / 2);
}

function Detail() {
  const n = nodes[chosen.value];
  if (!n) return null; // of the update
  const known = past(n.known);
  return (
    <>
      <div class="pair flex">
        <View title="value" t={known ? array(n["value"]) : undefined} tone="value" />
        <View title="gradient of the loss" t={past(n.complete) ? array(n.grad) : undefined} tone="grad" />
      </div>
      {known && n.from.length > 0 && n["value"] && <Formula of={words("place", at.value[0] + 1, at.value[1] + 1)}>{formula(n)}</Formula>}
    </>
  );
}

export function showStep(): void {
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
  effect(() => put(player, playing.value ? "Pause" : "Play"));
  let before = position.value;
  effect(() => {
    if (before !== position.value) shown.value = -1;
    before = position.value;
  });
  mount("detail", () => <Detail />);
}
