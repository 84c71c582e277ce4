/** Window arithmetic for the window bench, with the library's messages: the rules of `minicnn/geometry.py`. */
import type { Axis } from "./contract.ts";
import { ceil, floor, max, upTo } from "./math.ts";
import { words } from "./words.ts";

export type Pads = "same" | readonly [readonly [number, number], readonly [number, number]];

export const span = (a: Axis): number => (a.k - 1) * a.d + 1;

/** The length of an axis with its padding. */
export const padded = (a: Axis): number => a.before + a.n + a.after;

/** The same with what the last window reads past the padded end, which ceil mode allows. */
export const covered = (a: Axis): number => max(padded(a), (a.out - 1) * a.s + span(a));

function axis(n: number, k: number, s: number, d: number, pads: readonly [number, number] | null, up: boolean): Axis {
  const extent = (k - 1) * d + 1;
  let out = ceil(n / s);
  const total = max(0, (out - 1) * s + extent - n);
  const [before, after] = pads ?? [total >> 1, total - (total >> 1)];
  if (pads) out = (up ? ceil : floor)((n + before + after - extent) / s) + 1;
  if (up && (out - 1) * s >= n + before) out -= 1;
  return { n, k, s, d, before, after, out };
}

/** The size formula with its numbers. */
export function formula(a: Axis, rounding: string): string {
  if (rounding === "adaptive")
    return words("adaptive", a.n, a.out, a.out - 1);
  if (rounding === "same") return `ceil(${a.n} / ${a.s}) = ${a.out}`;
  const pads = a.before || a.after ? ` + ${a.before} + ${a.after}` : "";
  const free = padded(a) - span(a);
  const most = rounding === "ceil" ? ceil(free / a.s) + 1 : a.out;
  const dropped = most === a.out ? "" : words("dropped", most);
  return `${rounding}((${a.n}${pads} - ${span(a)}) / ${a.s}) + 1${dropped} = ${a.out}`;
}

export interface Windows {
  rows: Axis;
  cols: Axis;
  rounding: string;
}

type Two = readonly [number, number];

/** Return both axes, or the message with which the library refuses the setting. */
export function windows(op: string, size: Two, window: Two, strides: Two, dilation: Two, pads: Pads, up: boolean): Windows | string {
  const pooling = op !== "conv2d" && op !== "blur_pool2d";
  const rounding = pads === "same" ? "same" : up ? "ceil" : "floor";
  const at = (i: 0 | 1) => axis(size[i], window[i], strides[i], dilation[i], pads === "same" ? null : pads[i], up);
  const [rows, cols] = [at(0), at(1)];
  for (const a of [rows, cols])
    if (pooling && max(a.before, a.after) >= span(a))
      return words("padding", op, span(a), a.before, a.after, span(a) - 1);
  for (const a of [rows, cols]) if (a.out < 1) return unfit(op, rows, cols, `${formula(a, rounding)} ${a === rows ? "rows" : "columns"}`, pooling);
  return { rows, cols, rounding };
}

function unfit(op: string, rows: Axis, cols: Axis, text: string, pooling: boolean): string {
  const dilated = max(rows.d, cols.d) > 1 ? words("spans", span(rows), span(cols)) : "";
  const around = max(rows.before + rows.after, cols.before + cols.after) > 0 ? words("padded") : "";
  const name = pooling ? "pool_size" : "kernel_size";
  const [down, across] = [rows, cols].map((a) => floor(max(0, padded(a) - 1) / a.d) + 1) as [number, number];
  const most = max(down, across) > 1 ? `${name} <= ${down === across ? down : `(${down}, ${across})`}` : `a smaller ${name}`;
  return words("unfit", op, rows.k, cols.k, dilated, rows.n, cols.n, around, text, most);
}

/** Blur pooling pads by its own rule, with copies of the image by reflection. */
export function blurWindows(size: Two, window: Two, strides: Two): Windows | string {
  const pads = window.map((k) => [(k - 1) >> 1, k >> 1] as const) as unknown as Exclude<Pads, "same">;
  for (const i of [0, 1] as const) {
    const most = size[i] - 1;
    if (max(...pads[i]) > most)
      return words("reflect", most, size[i], pads[i].join(", "));
  }
  return windows("blur_pool2d", size, window, strides, [1, 1], pads, false);
}

/** Adaptive pooling: window i reads from floor(i * n / out) up to ceil((i + 1) * n / out). */
export function adaptiveWindows(size: Two, out: Two): Windows {
  const at = (i: 0 | 1): Axis => {
    const [n, o] = [size[i], out[i]];
    const k = max(...upTo(o).map((j) => ceil(((j + 1) * n) / o) - floor((j * n) / o)));
    return { n, k, s: max(1, floor(n / o)), d: 1, before: 0, after: 0, out: o };
  };
  return { rows: at(0), cols: at(1), rounding: "adaptive" };
}

export const PAD = -1;
export const OVER = -2;

/** Return where each tap of window `o` lies: an element, PAD for padding, OVER for what extends past the padding. */
export function taps(a: Axis, o: number, mode = "constant", adaptive = false): number[] {
  if (adaptive) {
    const first = floor((o * a.n) / a.out);
    return upTo(ceil(((o + 1) * a.n) / a.out) - first).map((i) => first + i);
  }
  return upTo(a.k).map((i) => {
    const at = o * a.s + i * a.d - a.before;
    return at >= 0 && at < a.n ? at : at >= a.n + a.after ? OVER : copy(at, a.n, mode);
  });
}

function copy(at: number, n: number, mode: string): number {
  const period = mode === "wrap" ? n : max(1, 2 * n - 2);
  const folded = ((at % period) + period) % period;
  if (mode === "edge") return at < 0 ? 0 : n - 1;
  return mode === "wrap" || (mode === "reflect" && folded < n) ? folded : mode === "reflect" ? period - folded : PAD;
}
