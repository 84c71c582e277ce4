/** The window bench: one operation over one channel, its result and its gradient, with the library's rules. */
import { tensor, type Axis, type Layer, type Tensor } from "./contract.ts";
import { sum } from "./math.ts";
import { blurWeights, inside, places, pooling, weighted, type Pool } from "./ops.ts";
import { all } from "./state.ts";
import { fmt, list, terms } from "./text.ts";
import { adaptiveWindows, blurWindows, formula, windows, type Pads } from "./windows.ts";
import { words } from "./words.ts";

/** An operation as page.html has it: `name` of the function, the part of the layer's name before "Pooling2D", which
 * controls it `has`, and which sentences it `says`. */
export const operations = new Map(all<HTMLOptionElement>("[name=op] option").map((option) => [option["value"], option.dataset]));
const name = (op: string): string => operations.get(op)!.name!;

/** Whether an operation has a control. */
export const has = (op: string, control: string): boolean => operations.get(op)!.has!.split(" ").includes(control);

export interface Setting {
  op: string;
  window: [number, number];
  strides: [number, number];
  dilation: [number, number];
  pads: Pads;
  ceil: boolean;
  ties: string;
  p: number;
  r: number;
  weights: number[];
  out: [number, number];
}

/** A setting that fits its input. */
export interface Ready {
  layer: Layer;
  axes: [Axis, Axis];
  how: Pool;
  sizes: string[];
}

/** Return what the setting does with an input of this size, or the library's message. */
export function ready(s: Setting, size: [number, number]): Ready | string {
  const conv = s.op === "conv";
  const found =
    s.op === "blur"
      ? blurWindows(size, s.window, s.strides)
      : has(s.op, "out")
        ? adaptiveWindows(size, s.out)
        : !has(s.op, "alike")
          ? windows(name(s.op), size, size, [1, 1], [1, 1], [[0, 0], [0, 0]], false)
          : windows(name(s.op), size, conv ? [3, 3] : s.window, s.strides, s.dilation, s.pads, s.ceil && !conv);
  if (typeof found === "string") return found;
  const { rows, cols, rounding } = found;
  const layer: Layer = {
    kind: `${operations.get(s.op)!.kind}Pooling2D`,
    name: "",
    rows,
    cols,
    mode: s.op === "blur" ? "reflect" : "constant",
    ties: s.ties,
    p: s.p,
    r: s.r,
    epsilon: 1e-6,
    count_include_pad: s.op === "counted",
  };
  const how = conv ? weighted(s.weights) : s.op === "blur" ? weighted(blurWeights(layer)) : pooling(layer)!;
  return { layer, axes: [rows, cols], how, sizes: [formula(rows, rounding), formula(cols, rounding)] };
}

/** One tap of one window: where it lies in the padded grid, and the element that it reads, or a negative number. */
export interface Tap {
  i: number;
  j: number;
  row: number;
  col: number;
}

/** One window of a setting: all taps, and its value and the shares of its gradient for elements given by a function. */
export interface Window {
  taps: Tap[];
  real: Tap[];
  counted: number;
  value(read: Read): number;
  shares(read: Read): number[];
}

type Read = (row: number, col: number) => number;

/** Return all windows of a setting, in row order. */
export function windowsOf({ layer, axes, how }: Ready): Window[] {
  const at = places(layer);
  const first = (a: Axis, o: number, line: number[], t: number): number => (layer.kind.startsWith("Adaptive") ? line[t]! : o * a.s + t * a.d - a.before);
  return at.rows.flatMap((down, p) =>
    at.cols.map((across, q) => {
      const taps = down.flatMap((row, i) => across.map((col, j) => ({ i: first(axes[0], p, down, i), j: first(axes[1], q, across, j), row, col })));
      const found = inside(layer, down, across);
      const places = found.map((t) => t.at);
      const counted = found.counted!;
      const elements = (read: Read): number[] => found.map((t) => read(t.row, t.col));
      return {
        taps,
        real: places.map((t) => taps[t]!),
        counted,
        value: (read) => how.value(elements(read), counted, places),
        shares: (read) => how.shares(elements(read), counted, places),
      };
    }),
  );
}

/** How elements of a map are read. */
export const reader = (x: Tensor): Read => (row, col) => x.data[row * x.shape[1]! + col]!;

/** Return the result, and the gradient that comes back for one of the result. */
export function run(r: Ready, x: Tensor, g: (n: number) => number): [Tensor, Float32Array] {
  const read = reader(x);
  const found = windowsOf(r);
  const dx = new Float64Array(x.data.length);
  found.forEach((w, n) => w.shares(read).forEach((share, t) => (dx[w.real[t]!.row * x.shape[1]! + w.real[t]!.col]! += share * g(n))));
  return [tensor([r.axes[0].out, r.axes[1].out, 1], found.map((w) => w.value(read))), Float32Array.from(dx)];
}

const pair = ([a, b]: readonly number[]): string => (a === b ? `${a}` : `(${a}, ${b})`);

function padding(pads: Pads): string {
  if (pads === "same") return 'padding="same"';
  const [[t, b], [l, r]] = pads;
  return t || b || l || r ? `padding=${t === b && l === r ? pair([t, l]) : `((${t}, ${b}), (${l}, ${r}))`}` : "";
}

/** The call in Python. */
export function call(s: Setting): string {
  const h = (control: string): boolean => has(s.op, control);
  const standard = s.op === "conv" ? "1" : s.op === "blur" ? "2" : pair(s.window);
  const args = [
    "x",
    h("conv") && "kernel",
    h("out") && pair(s.out),
    s.op === "gem" && s.p,
    h("window") && pair(s.window),
    s.op === "lp" && `p=${s.p}`,
    h("r") && `r=${s.r}`,
    h("stride") && pair(s.strides) !== standard && `strides=${pair(s.strides)}`,
    h("free") && padding(s.pads),
    h("free") && pair(s.dilation) !== "1" && `dilation_rate=${pair(s.dilation)}`,
    h("ceil") && s.ceil && "ceil_mode=True",
    s.op === "counted" && "count_include_pad=True",
    h("ties") && s.ties === "split" && 'ties="split"',
  ];
  return `ops.${name(s.op)}(${args.filter(Boolean).join(", ")})`;
}

/** The formula of one window with its numbers, and how it hands on its gradient. */
export function texts(s: Setting, w: Window, read: Read): [string, string] {
  const v = w.real.map((t) => read(t.row, t.col));
  const facts = [list(v), terms(v), w.counted, fmt(1 / w.counted), fmt(s.p), fmt(s.r), fmt(s.p - 1), v.length, products(v, w.shares(read))];
  const says = operations.get(s.op)!.says as "max";
  const shared = has(s.op, "ties") && s.ties === "split" ? "split" : says;
  return [`${words(says, ...facts)} = ${fmt(w.value(read), 4)}`, words(`${shared} gradient`, ...facts)];
}

const products = (v: number[], weights: number[]): string =>
  v.slice(0, 9).map((a, i) => `${fmt(a)}·${weights[i]! < 0 ? `(${fmt(weights[i]!)})` : fmt(weights[i]!)}`).join(" + ") + (v.length > 9 ? " + …" : "");

/** The difference quotient of a sum of windows at one element: (y(x + h) - y(x - h)) / 2h, in float64. */
export function quotient(chosen: Window[], read: Read, i: number, j: number): number {
  const h = 1e-4;
  const at = (by: number): number => sum(chosen.map((w) => w.value((row, col) => read(row, col) + (row === i && col === j ? by : 0))));
  return (at(h) - at(-h)) / (2 * h);
}

