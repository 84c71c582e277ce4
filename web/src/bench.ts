/** The window bench: one operation over one channel, its result and its gradient, with the library's rules. */
import { tensor, type Axis, type Layer, type Tensor } from "./contract.ts";
import { blurKernel, conv2d, conv2dGrad, places, pool, poolGrad, pooling, type Pool } from "./ops.ts";
import { adaptiveWindows, blurWindows, formula, overhang, windows, type Pads } from "./windows.ts";

export const OPS = [
  ["max", "maximum"],
  ["average", "average"],
  ["counted", "average, pads counted"],
  ["lp", "Lp norm"],
  ["gem", "generalised mean"],
  ["lme", "log-mean-exp"],
  ["soft", "soft"],
  ["blur", "blur"],
  ["conv", "convolution"],
  ["gmax", "global maximum"],
  ["gavg", "global average"],
  ["amax", "adaptive maximum"],
  ["aavg", "adaptive average"],
] as const;

export type Op = (typeof OPS)[number][0];

export interface Setting {
  op: Op;
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
  how: Pool | null;
  kernel: Tensor | null;
  sizes: string[];
}

const NAMES: Record<Op, [string, string]> = {
  max: ["max_pool2d", "MaxPooling2D"],
  average: ["average_pool2d", "AveragePooling2D"],
  counted: ["average_pool2d", "AveragePooling2D"],
  lp: ["lp_pool2d", "LpPooling2D"],
  gem: ["gem_pool2d", "GeMPooling2D"],
  lme: ["log_mean_exp_pool2d", "LogMeanExpPooling2D"],
  soft: ["soft_pool2d", "SoftPooling2D"],
  blur: ["blur_pool2d", "BlurPooling2D"],
  conv: ["conv2d", "Conv2D"],
  gmax: ["global_max_pool2d", "GlobalMaxPooling2D"],
  gavg: ["global_average_pool2d", "GlobalAveragePooling2D"],
  amax: ["adaptive_max_pool2d", "AdaptiveMaxPooling2D"],
  aavg: ["adaptive_average_pool2d", "AdaptiveAveragePooling2D"],
};

/** Which controls an operation has. */
export const has = (op: Op) => ({
  window: !/^(g|a)(max|avg)$/.test(op),
  free: !/^(g|a)(max|avg)$|^blur$/.test(op), // padding and dilation
  size: op !== "conv" && op !== "blur" && !/^(g|a)(max|avg)$/.test(op),
  ceil: !/^(g|a)(max|avg)$|^blur$|^conv$/.test(op),
  ties: op.endsWith("max"),
  out: op.startsWith("a") && op.length === 4,
});

/** Return what the setting does with an input of this size, or the library's message. */
export function ready(s: Setting, size: [number, number]): Ready | string {
  const [op, kind] = NAMES[s.op];
  const window: [number, number] = s.op === "conv" ? [3, 3] : s.window;
  const found =
    s.op === "blur"
      ? blurWindows(size, window, s.strides)
      : s.op.startsWith("g") && s.op !== "gem"
        ? windows({ op, size, window: size, strides: [1, 1], dilation: [1, 1], pads: [[0, 0], [0, 0]], ceil: false })
        : has(s.op).out
          ? adaptiveWindows(size, s.out)
          : windows({ op, size, window, strides: s.strides, dilation: s.dilation, pads: s.pads, ceil: s.ceil && s.op !== "conv" });
  if (typeof found === "string") return found;
  const { rows, cols, rounding } = found;
  const layer: Layer = {
    kind,
    name: op,
    rows,
    cols,
    mode: s.op === "blur" ? "reflect" : "constant",
    ties: s.ties,
    p: s.p,
    r: s.r,
    keepdims: true,
    count_include_pad: s.op === "counted",
  };
  const kernel = s.op === "conv" ? tensor([3, 3, 1, 1], Float32Array.from(s.weights)) : s.op === "blur" ? blurKernel(layer, 1) : null;
  return { layer, axes: [rows, cols], how: kernel ? null : pooling(layer), kernel, sizes: [formula(rows, rounding), formula(cols, rounding)] };
}

export const result = (r: Ready, x: Tensor): Tensor => (r.how ? pool(x, r.layer, r.how) : conv2d(x, r.layer, r.kernel!));

export const gradient = (r: Ready, x: Tensor, g: Tensor): Tensor =>
  r.how ? poolGrad(x, r.layer, r.how, g) : conv2dGrad(x, r.layer, r.kernel!, g);

/** One tap of one window: where it lies in the padded grid, and what it reads. */
export interface Tap {
  i: number;
  j: number;
  row: number; // of the element it reads, negative for none
  col: number;
  weight: number;
}

export function tapsOf(r: Ready, p: number, q: number): Tap[] {
  const [rows, cols] = r.axes;
  const at = places(r.layer);
  const first = (a: Axis, o: number, line: number[]): ((t: number) => number) =>
    r.layer.kind.startsWith("Adaptive") ? (t) => line[t]! : (t) => o * a.s + t * a.d - a.before;
  const [down, across] = [first(rows, p, at.rows[p]!), first(cols, q, at.cols[q]!)];
  return at.rows[p]!.flatMap((row, i) =>
    at.cols[q]!.map((col, j) => ({
      i: down(i),
      j: across(j),
      row,
      col,
      weight: r.kernel ? r.kernel.data[i * at.cols[q]!.length + j]! : 0,
    })),
  );
}

/** The value of one window, in float64, for elements given by a function. */
export function valueOf(r: Ready, taps: Tap[], read: (row: number, col: number) => number): number {
  const real = taps.filter((t) => t.row >= 0 && t.col >= 0);
  if (r.kernel) return real.reduce((a, t) => a + t.weight * read(t.row, t.col), 0);
  return r.how!.value(real.map((t) => read(t.row, t.col)), countedOf(r, taps));
}

/** How many elements an average divides by: never what lies past the padding. */
export const countedOf = (r: Ready, taps: Tap[]): number =>
  taps.filter((t) => (r.layer.count_include_pad ? t.row >= -1 && t.col >= -1 : t.row >= 0 && t.col >= 0)).length;

/** What each real tap of a window gets of its gradient. */
export function sharesOf(r: Ready, taps: Tap[], read: (row: number, col: number) => number): { tap: Tap; share: number }[] {
  const real = taps.filter((t) => t.row >= 0 && t.col >= 0);
  if (r.kernel) return real.map((tap) => ({ tap, share: tap.weight }));
  const shares = r.how!.shares(real.map((t) => read(t.row, t.col)), countedOf(r, taps));
  return real.map((tap, n) => ({ tap, share: shares[n]! }));
}

const pair = ([a, b]: readonly [number, number]): string => (a === b ? String(a) : `(${a}, ${b})`);

function padding(pads: Pads): string {
  if (pads === "same") return 'padding="same"';
  const [[t, b], [l, r]] = pads;
  if (!(t || b || l || r)) return "";
  if (t === b && l === r) return `padding=${pair([t, l])}`;
  return `padding=((${t}, ${b}), (${l}, ${r}))`;
}

/** The call in Python. */
export function call(s: Setting): string {
  const [op] = NAMES[s.op];
  const h = has(s.op);
  const args: string[] = ["x"];
  if (s.op === "conv") args.push("kernel");
  else if (h.out) args.push(pair(s.out));
  else if (h.window) args.push(...(s.op === "gem" ? [String(s.p)] : []), pair(s.window));
  if (s.op === "lp") args.push(`p=${s.p}`);
  if (s.op === "lme") args.push(`r=${s.r}`);
  if (h.window && (s.op === "conv" ? pair(s.strides) !== "1" : s.op === "blur" ? pair(s.strides) !== "2" : pair(s.strides) !== pair(s.window)))
    args.push(`strides=${pair(s.strides)}`);
  if (h.free) {
    if (padding(s.pads)) args.push(padding(s.pads));
    if (pair(s.dilation) !== "1") args.push(`dilation_rate=${pair(s.dilation)}`);
    if (h.ceil && s.ceil) args.push("ceil_mode=True");
  }
  if (s.op === "counted") args.push("count_include_pad=True");
  if (h.ties && s.ties === "split") args.push('ties="split"');
  return `ops.${op}(${args.join(", ")})`;
}

export { overhang };
