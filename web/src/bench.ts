/** The window bench: one operation over one channel, its result and its gradient, with the library's rules. */
import { tensor, type Axis, type Layer, type Tensor } from "./contract.ts";
import { sum } from "./math.ts";
import { blurWeights, inside, places, pooling, weighted, type Pool } from "./ops.ts";
import { all } from "./state.ts";
import { fmt, list, some, terms } from "./text.ts";
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
  rows: Axis;
  cols: Axis;
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
    count_include_pad: has(s.op, "counted"),
  };
  const how = conv ? weighted(s.weights) : s.op === "blur" ? weighted(blurWeights(layer)) : pooling(layer)!;
  return { layer, rows, cols, how, sizes: [formula(rows, rounding), formula(cols, rounding)] };
}

/** Where a tap of a window lies in the padded input. */
interface Tap {
  i: number;
  j: number;
}

/** One window of a setting: all taps, those that read element `n`, and its value and the shares of its gradient. */
export interface Window {
  taps: Tap[];
  real: (Tap & { n: number })[];
  counted: number;
  value(x: ArrayLike<number>): number;
  shares(x: ArrayLike<number>): number[];
}

/** Return all windows of a setting, in row order. */
export function windowsOf({ layer, rows, cols, how }: Ready): Window[] {
  const at = places(layer);
  const first = (a: Axis, o: number, line: number[], t: number): number => (layer.kind.startsWith("Adaptive") ? line[t]! : o * a.s + t * a.d);
  return at.rows.flatMap((down, p) =>
    at.cols.map((across, q) => {
      const taps = down.flatMap((_, i) => across.map((_, j) => ({ i: first(rows, p, down, i), j: first(cols, q, across, j) })));
      const { reads, counted } = inside(layer, down, across);
      const places = reads.map((t) => t.at);
      const elements = (x: ArrayLike<number>): number[] => reads.map((t) => x[t.n]!);
      return {
        taps,
        real: reads.map(({ at, n }) => ({ ...taps[at]!, n })),
        counted,
        value: (x) => how.value(elements(x), counted, places),
        shares: (x) => how.shares(elements(x), counted, places),
      };
    }),
  );
}

/** Return the result, and the gradient that comes back for one of the result. */
export function run(r: Ready, { data }: Tensor, g: (n: number) => number): [Tensor, Float32Array] {
  const found = windowsOf(r);
  const dx = new Float64Array(data.length);
  found.forEach((w, n) => w.shares(data).forEach((share, t) => (dx[w.real[t]!.n]! += share * g(n))));
  return [tensor([r.rows.out, r.cols.out, 1], found.map((w) => w.value(data))), Float32Array.from(dx)];
}

const pair = ([a, b]: readonly number[]): string => (a === b ? `${a}` : `(${a}, ${b})`);

function padding(pads: Pads): string {
  if (pads === "same") return 'padding="same"';
  const [[t, b], [l, r]] = pads;
  return t || b || l || r ? `padding=${t === b && l === r ? pair([t, l]) : `((${t}, ${b}), (${l}, ${r}))`}` : "";
}

/** The call in Python: each control that the operation has, in the order in which page.html names them, is an argument. */
export function call(s: Setting): string {
  const { name, has } = operations.get(s.op)!;
  const standard = { conv: "1", blur: "2" }[s.op] ?? pair(s.window);
  const args: Record<string, unknown> = {
    conv: "kernel",
    out: pair(s.out),
    power: s.p,
    window: pair(s.window),
    norm: `p=${s.p}`,
    r: `r=${s.r}`,
    stride: pair(s.strides) !== standard && `strides=${pair(s.strides)}`,
    free: [padding(s.pads), pair(s.dilation) !== "1" && `dilation_rate=${pair(s.dilation)}`],
    ceil: s.ceil && "ceil_mode=True",
    "counted": "count_include_pad=True",
    ties: s.ties === "split" && 'ties="split"',
  };
  return `ops.${name}(${["x", ...has!.split(" ").flatMap((control) => args[control])].filter(Boolean).join(", ")})`;
}

/** The formula of one window with its numbers, and how it hands on its gradient. */
export function texts(s: Setting, w: Window, x: ArrayLike<number>): [string, string] {
  const v = w.real.map((t) => x[t.n]!);
  const facts = [list(v), terms(v), w.counted, fmt(1 / w.counted), fmt(s.p), fmt(s.r), fmt(s.p - 1), v.length, products(v, w.shares(x))];
  const says = operations.get(s.op)!.says as "max";
  const shared = has(s.op, "ties") && s.ties === "split" ? "split" : says;
  return [`${words(says, ...facts)} = ${fmt(w.value(x), 4)}`, words(`${shared} gradient`, ...facts)];
}

const products = (v: number[], weights: number[]): string =>
  some(v, " + ", " +", (a, i) => `${fmt(a)}·${weights[i]! < 0 ? `(${fmt(weights[i]!)})` : fmt(weights[i]!)}`);

/** The difference quotient of a sum of windows at one element: (y(x + h) - y(x - h)) / 2h, in float64. */
export function quotient(chosen: Window[], x: ArrayLike<number>, n: number): number {
  const h = 1e-4;
  const at = (by: number): number => {
    const moved = Array.from(x);
    moved[n]! += by;
    return sum(chosen.map((w) => w.value(moved)));
  };
  return (at(h) - at(-h)) / (2 * h);
}
