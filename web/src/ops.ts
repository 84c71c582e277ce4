/** The forward pass of every layer, and the backward pass of the window ops: sums in float64, results in float32. */
import { real, tensor, type Axis, type Layer, type Real, type Tensor } from "./contract.ts";
import { abs, exp, expm1, log, log1p, max, sign, sqrt, sum, upTo } from "./math.ts";
import { PAD, taps } from "./windows.ts";
import { words } from "./words.ts";

/** Of the elements of a window; `n` of them are counted by an average; `at` has the tap of each. */
type Reduce = (v: number[], n?: number, at?: number[]) => number;

/** What a pooling makes of the elements of one window, and how much of its gradient each of them gets. */
export interface Pool {
  value: Reduce;
  shares(v: number[], n?: number, at?: number[]): number[];
}

/** The largest number, NaN if there is one among them. */
const largest = (v: number[]): number => v.reduce((a, b) => max(a, b), -Infinity);

const dot = (a: ArrayLike<number>, v: number[]): number => sum(v.map((b, i) => a[i]! * b));

export const softmaxOf = (v: number[], r = 1): number[] => {
  const top = largest(v);
  const e = v.map((a) => exp(r * (a - top)));
  const total = sum(e);
  return e.map((a) => a / total);
};

const average: Pool = {
  value: (v, n = v.length) => sum(v) / max(1, n),
  shares: (v, n = v.length) => v.map(() => 1 / max(1, n)),
};

const maximum = (ties?: unknown): Pool => ({
  value: largest,
  shares: (v) => {
    const top = largest(v);
    const is = v.map((a) => +(a === top || isNaN(a)));
    return ties === "split" ? is.map((a) => a / max(1, sum(is))) : is.map((_, i) => +(i === is.indexOf(1)));
  },
});

const lp = (p: number): Pool => {
  const norm = (v: number[]): number => {
    const top = largest(v.map(abs));
    return top > 0 && top < Infinity ? top * sum(v.map((a) => (abs(a) / top) ** p)) ** (1 / p) : v.length ? top : 0;
  };
  return {
    value: norm,
    shares: (v) => {
      const y = norm(v);
      return v.map((a) => (y > 0 ? sign(a) * (abs(a) / y) ** (p - 1) : 0));
    },
  };
};

const logMeanExp = (r: number): Pool => ({
  value: (v) => {
    const top = largest(v);
    return top + log1p(average.value(v.map((a) => expm1(r * (a - top))))) / r;
  },
  shares: (v) => softmaxOf(v, r),
});

const gem = (p: number, epsilon: number): Pool => {
  const value = (v: number[]): number => {
    const logs = v.map((a) => sign(p) * log(max(a, epsilon)));
    return v.length ? exp(sign(p) * logMeanExp(abs(p)).value(logs)) : 0;
  };
  return { value, shares: (v) => v.map((a) => (a >= epsilon ? (a / value(v)) ** (p - 1) / v.length : 0)) };
};

const soft: Pool = {
  value: (v) => dot(softmaxOf(v), v),
  shares: (v) => {
    const w = softmaxOf(v);
    const y = dot(w, v);
    return v.map((a, i) => w[i]! * (1 + a - y));
  },
};

/** A convolution of one channel, as a pooling with weights. */
export const weighted = (weights: ArrayLike<number>): Pool => ({
  value: (v, _, at) => dot(at!.map((i) => weights[i]!), v),
  shares: (_, __, at) => at!.map((i) => weights[i]!),
});

const maxAverage: Pool = { value: (v, n) => largest(v) + average.value(v, n), shares: () => [] };

/** The mean that stochastic pooling has in evaluation: each element weighted by its size. */
const stochastic: Pool = {
  value: (v) => {
    const u = v.map((a) => (a < 0 ? 0 : a));
    return sum(u) ? dot(u, u) / sum(u) : 0;
  },
  shares: () => [],
};

/** Return the pooling that a kind of layer does, by the part of its name that is not about its windows. */
export function pooling(layer: Layer, arrays?: Map<string, Tensor>): Pool | undefined {
  const option = (name: string): number => real(layer[name] as Real);
  const made: Record<string, Pool> = {
    Max: maximum(layer.ties),
    Average: average,
    Lp: lp(option("p")),
    GeM: gem(arrays?.get(layer.params?.p ?? "")?.data[0] ?? option("p"), option("epsilon")),
    LogMeanExp: logMeanExp(option("r")),
    Soft: soft,
    MaxAverage: maxAverage,
    Stochastic: stochastic,
  };
  return made[/^(?:Global|Adaptive)?(.*)Pooling2D$/.exec(layer.kind)?.[1] ?? ""];
}

/** Return the taps of every window along both axes of a layer. */
export function places(layer: Layer): { rows: number[][]; cols: number[][] } {
  const mode = (layer.padding_mode ?? layer.mode) as string | undefined;
  const along = (a: Axis): number[][] => upTo(a.out).map((o) => taps(a, o, mode, layer.kind.startsWith("Adaptive")));
  return { rows: along(layer.rows!), cols: along(layer.cols!) };
}

/** A tap that reads an element: the place of the tap in the window, and that of the element in a map of one channel. */
interface Read {
  at: number;
  n: number;
}

/** Return what one window reads, from its places along both axes, and the count that an average divides by. */
export function inside(layer: Layer, rows: number[], cols: number[]): { reads: Read[]; counted: number } {
  const taps = rows.flatMap((row, i) => cols.map((col, j) => ({ row, col, at: i * cols.length + j, n: row * layer.cols!.n + col })));
  const least = layer.count_include_pad ? PAD : 0; // OVER never counts
  const counted = (line: number[]): number => line.filter((i) => i >= least).length;
  return { reads: taps.filter((t) => t.row >= 0 && t.col >= 0), counted: counted(rows) * counted(cols) };
}

function pool(x: Tensor, layer: Layer, value: Reduce): Tensor {
  const { rows, cols } = places(layer);
  const c = x.shape[2]!;
  const y = tensor([rows.length, cols.length, c]);
  let n = 0;
  for (const down of rows)
    for (const across of cols) {
      const { reads, counted } = inside(layer, down, across);
      const at = reads.map((t) => t.at);
      for (let k = 0; k < c; k++) y.data[n++] = value(reads.map((t) => x.data[t.n * c + k]!), counted, at);
    }
  return y;
}

const ONE: Axis = { n: 1, k: 1, s: 1, d: 1, before: 0, after: 0, out: 1 };

/** A layer with its axes; a dense layer is a convolution of one pixel, whose channels are the features. */
export const windowed = (layer: Layer): Layer => ({ rows: ONE, cols: ONE, ...layer });

/** y[p, q, k] = bias[k] + sum over i, j, c of x[p * s + i * d, q * s + j * d, c] * kernel[i, j, c, k]. */
export function conv2d(x: Tensor, layer: Layer, kernel: Tensor, bias?: Tensor): Tensor {
  const { rows, cols } = places(layer);
  const c = x.shape.at(-1)!;
  const [each, filters] = kernel.shape.slice(-2) as [number, number];
  const groups = c / each;
  const mine = filters / groups;
  const y = tensor([rows.length, cols.length, filters]);
  const total = new Float64Array(filters);
  const [from, weights] = [x.data, kernel.data];
  const first = bias?.data.map((v) => v + 0) ?? total.slice(); // 0 for a bias of -0: zeros of x are passed over
  rows.forEach((line, p) =>
    cols.forEach((across, q) => {
      total.set(first);
      line.forEach((row, i) => {
        if (row < 0) return;
        across.forEach((col, j) => {
          if (col < 0) return;
          let at = (row * layer.cols!.n + col) * c;
          const tap = (i * across.length + j) * each * filters;
          for (let group = 0; group < groups; group++)
            for (let k = 0; k < each; k++) {
              const v = from[at++]!;
              if (v === 0) continue; // after a ReLU half of the values are
              const one = group * mine;
              let n = tap + k * filters + one;
              for (let f = one; f < one + mine; f++) total[f]! += v * weights[n++]!;
            }
        });
      });
      y.data.set(total, (p * cols.length + q) * filters);
    }),
  );
  return y;
}

const binomial = (k: number): number[] => {
  let line = [1];
  for (let n = 1; n < k; n++) line = [...line, 0].map((a, i) => (a + (line[i - 1] ?? 0)) / 2);
  return line;
};

/** The weights of a blur pooling in float32, as the library has them. */
export const blurWeights = (layer: Layer): Float32Array =>
  Float32Array.from(binomial(layer.rows!.k).flatMap((a) => binomial(layer.cols!.k).map((b) => a * b)));

/** Pad, or crop where an axis has negative padding. */
export const moved = (x: Tensor, layer: Layer): Tensor => pool(x, layer, ([v = 0]) => v);

const flat = ({ data }: Tensor): Tensor => tensor([data.length], data);

const map = (x: Tensor, f: (v: number, i: number) => number): Tensor => tensor(x.shape, x.data.map(f));

/** Softmax along the last axis. */
function softmax(x: Tensor): Tensor {
  const [c, y] = [x.shape.at(-1)!, tensor(x.shape)];
  for (let at = 0; at < x.data.length; at += c) y.data.set(softmaxOf([...x.data.subarray(at, at + c)]), at);
  return y;
}

/** The normal distribution function: a series around 0, to 1e-15; past 8 it is 0 or 1 as far as float32 can tell. */
function normal(x: number): number {
  if (abs(x) > 8) return +(x > 0);
  let [term, total] = [x, x];
  for (let n = 1; abs(term) > 1e-17 * abs(total); n++) total += term *= (x * x) / (2 * n + 1);
  return 0.5 + (exp(-0.5 * x * x) / sqrt(2 * Math.PI)) * total;
}

const { tanh } = Math;
const ACTIVATIONS: Record<string, (v: number, option: (name: string) => number) => number> = {
  ReLU: (v) => (v < 0 ? 0 : v),
  LeakyReLU: (v, option) => (v > 0 ? v : option("negative_slope") * v),
  ELU: (v, option) => (v > 0 ? v : option("alpha") * expm1(v)),
  Sigmoid: (v) => (v >= 0 ? 1 / (1 + exp(-v)) : exp(v) / (1 + exp(v))),
  Tanh: tanh,
  Softplus: (v) => max(v, 0) + log1p(exp(-abs(v))),
  GELU: (v, option) => v * (option("approximate") ? 0.5 * (1 + tanh(sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))) : normal(v)),
  Dropout: (v) => v, // does nothing in evaluation
};

/** Of a layer that the page has no code for, or no parameters. */
const unknown = (layer: Layer): Error => new Error(words("layer", layer.name, layer.kind), { cause: layer });

type Arrays = Map<string, Tensor>;

/** Return the result of one layer. */
function apply(layer: Layer, x: Tensor, arrays: Arrays): Tensor {
  const param = (name: string): Tensor => arrays.get(layer.params?.[name] ?? "")!;
  const option = (name: string): number => layer[name] as number;
  const through = (): Tensor[] => layer.branches!.map((branch) => forward(branch, x, arrays).at(-1) ?? x);
  if (!layer.params && /^Conv2D|Dense|BatchN|GeMPooling2D$/.test(layer.kind)) throw unknown(layer);
  const f = ACTIVATIONS[layer.kind];
  if (f) return map(x, (v) => f(v, option));
  switch (layer.kind) {
    case "Conv2D":
      return conv2d(x, layer, param("kernel"), param("bias"));
    case "Dense":
      return flat(conv2d(x, windowed(layer), param("kernel"), param("bias")));
    case "BatchNormalization": {
      // By the stored statistics.
      const [gamma, beta, mean, variance] = ["gamma", "beta", "moving_mean", "moving_variance"].map((name) => param(name).data);
      return map(x, (v, i) => {
        const k = i % mean!.length;
        return ((v - mean![k]!) * gamma![k]!) / sqrt(variance![k]! + option("epsilon")) + beta![k]!;
      });
    }
    case "Flatten":
      return flat(x);
    case "Softmax":
      return softmax(x);
    case "Concat":
      return concat(through());
    case "Residual":
      return through().reduce((a, b) => map(a, (v, i) => v + b.data[i]!));
  }
  if (/^(Zero)?Padding2D|Cropping2D$/.test(layer.kind)) return moved(x, layer);
  const how = layer.kind === "BlurPooling2D" ? weighted(blurWeights(layer)) : pooling(layer, arrays);
  if (!how) throw unknown(layer);
  const y = pool(x, layer, how.value);
  return layer.kind.startsWith("Global") && !layer.keepdims ? flat(y) : y;
}

/** Join along the last axis. */
function concat(parts: Tensor[]): Tensor {
  const widths = parts.map((t) => t.shape.at(-1)!);
  const shape = [...parts[0]!.shape.slice(0, -1), sum(widths)];
  const rows = upTo(parts[0]!.data.length / widths[0]!);
  return tensor(shape, rows.flatMap((row) => parts.flatMap(({ data }, n) => [...data.subarray(row * widths[n]!, (row + 1) * widths[n]!)])));
}

/** Return the result of each layer in turn, the last one being that of the net. */
export const forward = (net: Layer[], x: Tensor, arrays: Arrays): Tensor[] => net.map((layer) => (x = apply(layer, x, arrays)));
