/** Window arithmetic for the window bench, with the library's messages: the rules of `minicnn/geometry.py`. */
import type { Axis } from "./contract.ts";

export type Pads = "same" | readonly [readonly [number, number], readonly [number, number]];

export const span = (a: Axis): number => (a.k - 1) * a.d + 1;

/** Cells that the last window reads past the padded end, which ceil mode allows. */
export const overhang = (a: Axis): number => Math.max(0, (a.out - 1) * a.s + span(a) - a.before - a.n - a.after);

function axis(n: number, k: number, s: number, d: number, pads: readonly [number, number] | null, ceil: boolean): Axis {
  const extent = (k - 1) * d + 1;
  if (!pads) {
    const out = Math.ceil(n / s);
    const total = Math.max(0, (out - 1) * s + extent - n);
    return { n, k, s, d, before: total >> 1, after: total - (total >> 1), out };
  }
  const [before, after] = pads;
  const free = n + before + after - extent;
  let out = (ceil ? Math.ceil(free / s) : Math.floor(free / s)) + 1;
  if (ceil && (out - 1) * s >= n + before) out -= 1;
  return { n, k, s, d, before, after, out };
}

/** The size formula with its numbers. */
export function formula(a: Axis, rounding: string): string {
  if (rounding === "adaptive")
    return `from floor(i * ${a.n} / ${a.out}) up to ceil((i + 1) * ${a.n} / ${a.out}) for i = 0 .. ${a.out - 1}`;
  if (rounding === "same") return `ceil(${a.n} / ${a.s}) = ${a.out}`;
  const pads = a.before || a.after ? ` + ${a.before} + ${a.after}` : "";
  const free = a.n + a.before + a.after - span(a);
  const most = rounding === "ceil" ? Math.ceil(free / a.s) + 1 : a.out;
  const dropped = most === a.out ? "" : ` = ${most}, less one that would start past the input`;
  return `${rounding}((${a.n}${pads} - ${span(a)}) / ${a.s}) + 1${dropped} = ${a.out}`;
}

export interface Setting {
  op: string;
  size: [number, number];
  window: [number, number];
  strides: [number, number];
  dilation: [number, number];
  pads: Pads;
  ceil: boolean;
}

export interface Windows {
  rows: Axis;
  cols: Axis;
  rounding: string;
}

/** Return both axes, or the message with which the library refuses the setting. */
export function windows({ op, size, window, strides, dilation, pads, ceil }: Setting): Windows | string {
  const pooling = op !== "conv2d" && op !== "blur_pool2d";
  const rounding = pads === "same" ? "same" : ceil ? "ceil" : "floor";
  const at = (i: 0 | 1) => axis(size[i], window[i], strides[i], dilation[i], pads === "same" ? null : pads[i], ceil);
  const rows = at(0);
  const cols = at(1);
  if (pooling)
    for (const a of [rows, cols])
      if (Math.max(a.before, a.after) >= span(a))
        return (
          `${op}: padding must be smaller than the window extent ${span(a)}, got (${a.before}, ${a.after}):` +
          ` some windows would contain only padding. Use a padding of at most ${span(a) - 1}, padding='same', or pad before` +
          ` pooling with pad2d.`
        );
  for (const [name, a] of [["rows", rows], ["columns", cols]] as const)
    if (a.out < 1) return `${op}: ${unfit(rows, cols, `${formula(a, rounding)} ${name}`, op !== "conv2d" && pooling)}`;
  return { rows, cols, rounding };
}

function unfit(rows: Axis, cols: Axis, text: string, pooling: boolean): string {
  const dilated = Math.max(rows.d, cols.d) > 1 ? ` (it spans ${span(rows)}x${span(cols)})` : "";
  const padded = Math.max(rows.before + rows.after, cols.before + cols.after) > 0 ? " with its padding" : "";
  const name = pooling ? "pool_size" : "kernel_size";
  const [down, across] = [rows, cols].map((a) => Math.floor(Math.max(0, a.n + a.before + a.after - 1) / a.d) + 1) as [number, number];
  const most = Math.max(down, across) > 1 ? `${name} <= ${down === across ? down : `(${down}, ${across})`}` : `a smaller ${name}`;
  return (
    `a ${rows.k}x${cols.k} window${dilated} does not fit a ${rows.n}x${cols.n} input${padded}: ${text}.` +
    ` Use padding="same", ${most}, or drop this layer.`
  );
}

/** Blur pooling pads by its own rule, with copies of the image by reflection. */
export function blurWindows(size: [number, number], window: [number, number], strides: [number, number]): Windows | string {
  const pads = window.map((k) => [(k - 1) >> 1, k - 1 - ((k - 1) >> 1)] as const) as unknown as Exclude<Pads, "same">;
  const found = windows({ op: "blur_pool2d", size, window, strides, dilation: [1, 1], pads, ceil: false });
  for (const i of [0, 1] as const) {
    const most = size[i] - 1;
    if (Math.max(...pads[i]) > most)
      return (
        `blur_pool2d: reflect padding must be at most ${most}, the pixels that it can copy from ${size[i]}, got` +
        ` (${pads[i].join(", ")}). Use a padding of at most ${most}, or the mode constant or edge.`
      );
  }
  return found;
}

/** Adaptive pooling: window i reads from floor(i * n / out) up to ceil((i + 1) * n / out). */
export function adaptiveWindows(size: [number, number], out: [number, number]): Windows {
  const at = (i: 0 | 1): Axis => {
    const [n, o] = [size[i], out[i]];
    const k = Math.max(...Array.from({ length: o }, (_, j) => Math.ceil(((j + 1) * n) / o) - Math.floor((j * n) / o)));
    return { n, k, s: Math.max(1, Math.floor(n / o)), d: 1, before: 0, after: 0, out: o };
  };
  return { rows: at(0), cols: at(1), rounding: "adaptive" };
}

export const PAD = -1;
export const OVER = -2;

/** Return where each tap of window `o` lies: an element, PAD for padding, OVER for what extends past the padding. */
export function taps(a: Axis, o: number, mode = "constant", adaptive = false): number[] {
  if (adaptive) {
    const first = Math.floor((o * a.n) / a.out);
    return Array.from({ length: Math.ceil(((o + 1) * a.n) / a.out) - first }, (_, i) => first + i);
  }
  return Array.from({ length: a.k }, (_, i) => {
    const at = o * a.s + i * a.d - a.before;
    return at >= 0 && at < a.n ? at : at >= a.n + a.after ? OVER : copy(at, a.n, mode);
  });
}

function copy(at: number, n: number, mode: string): number {
  if (mode === "edge") return at < 0 ? 0 : n - 1;
  if (mode === "wrap") return ((at % n) + n) % n;
  if (mode !== "reflect") return PAD;
  const period = Math.max(1, 2 * n - 2);
  const folded = ((at % period) + period) % period;
  return folded < n ? folded : period - folded;
}
