/** The forward pass of every layer, and the backward pass of the window ops: sums in float64, results in float32. */
import { real, tensor, type Axis, type Layer, type Tensor } from "./contract.ts";
import { taps } from "./windows.ts";

/** What a pooling makes of the elements of one window, and how much of its gradient each of them gets. */
export interface Pool {
  value(v: number[], counted: number): number;
  shares(v: number[], counted: number): number[];
}

const sum = (v: number[]): number => v.reduce((a, b) => a + b, 0);
const largest = (v: number[]): number => (v.some(Number.isNaN) ? NaN : v.reduce((a, b) => Math.max(a, b), -Infinity));

const average: Pool = {
  value: (v, counted) => sum(v) / Math.max(1, counted),
  shares: (v, counted) => v.map(() => 1 / Math.max(1, counted)),
};

const maximum = (ties: string): Pool => ({
  value: largest,
  shares: (v) => {
    const top = largest(v);
    const is = v.map((a) => (a === top || Number.isNaN(a) ? 1 : 0));
    const first = is.indexOf(1);
    return ties === "split" ? is.map((a) => a / Math.max(1, sum(is))) : is.map((_, i) => (i === first ? 1 : 0));
  },
});

const lp = (p: number): Pool => {
  const norm = (v: number[]): number => {
    const top = largest(v.map(Math.abs));
    return top > 0 && top < Infinity ? top * sum(v.map((a) => (Math.abs(a) / top) ** p)) ** (1 / p) : v.length ? top : 0;
  };
  return {
    value: norm,
    shares: (v) => {
      const y = norm(v);
      return v.map((a) => (y > 0 ? Math.sign(a) * (Math.abs(a) / y) ** (p - 1) : 0));
    },
  };
};

const logMeanExp = (r: number): Pool => {
  const below = (v: number[]): [number, number[]] => {
    const top = largest(v);
    return [top, v.map((a) => r * (a - top))];
  };
  return {
    value: (v) => {
      const [top, b] = below(v);
      const excess = sum(b.map(Math.expm1)) / Math.max(1, v.length);
      return top + (excess > -0.5 ? Math.log1p(excess) : Math.log(sum(b.map(Math.exp)) / v.length)) / r;
    },
    shares: (v) => {
      const e = below(v)[1].map(Math.exp);
      return e.map((a) => a / sum(e));
    },
  };
};

const gem = (p: number, epsilon: number): Pool => {
  const r = Math.abs(p);
  const sign = Math.sign(p);
  const mean = logMeanExp(r);
  const logs = (v: number[]): number[] => v.map((a) => sign * Math.log(Math.max(a, epsilon)));
  const value = (v: number[]): number => (v.length ? Math.exp(sign * mean.value(logs(v), v.length)) : 0);
  return {
    value,
    shares: (v) => v.map((a) => (a >= epsilon ? (a / value(v)) ** (p - 1) / v.length : 0)),
  };
};

const soft: Pool = {
  value: (v) => {
    const w = logMeanExp(1).shares(v, v.length);
    return sum(v.map((a, i) => a * w[i]!));
  },
  shares: (v) => {
    const w = logMeanExp(1).shares(v, v.length);
    const y = soft.value(v, v.length);
    return v.map((a, i) => w[i]! * (1 + a - y));
  },
};

const maxAverage: Pool = {
  value: (v, counted) => largest(v) + average.value(v, counted),
  shares: (v, counted) => {
    const [a, b] = [maximum("first").shares(v, counted), average.shares(v, counted)];
    return a.map((s, i) => s + b[i]!);
  },
};

/** The mean that stochastic pooling has in evaluation: each element weighted by its size. */
const stochastic: Pool = {
  value: (v) => {
    const u = v.map((a) => (Number.isNaN(a) ? a : Math.max(a, 0)));
    return sum(u) ? sum(u.map((a) => a * a)) / sum(u) : 0;
  },
  shares: (v) => {
    const u = v.map((a) => Math.max(a, 0));
    const [total, y] = [sum(u), stochastic.value(v, v.length)];
    return u.map((a) => (a ? (2 * a - y) / total : 0));
  },
};

const option = (layer: Layer, name: string, otherwise: number): number => {
  const value = layer[name];
  return value === undefined || value === null ? otherwise : real(value as number);
};

/** Return the pooling that a kind of layer does, by the part of its name that is not about its windows. */
export function pooling(layer: Layer, arrays?: Map<string, Tensor>): Pool | null {
  const p = arrays?.get(layer.params?.p ?? "")?.data[0];
  const name = /^(?:Global|Adaptive)?(.*)Pooling2D$/.exec(layer.kind)?.[1];
  switch (name) {
    case "Max":
      return maximum(String(layer.ties ?? "first"));
    case "Average":
      return average;
    case "Lp":
      return lp(option(layer, "p", 2));
    case "GeM":
      return gem(p ?? option(layer, "p", 3), option(layer, "epsilon", 1e-6));
    case "LogMeanExp":
      return logMeanExp(option(layer, "r", 1));
    case "Soft":
      return soft;
    case "MaxAverage":
      return maxAverage;
    case "Stochastic":
      return stochastic;
    default:
      return null;
  }
}

const modeOf = (layer: Layer): string => String(layer.padding_mode ?? layer.mode ?? "constant");
const isAdaptive = (layer: Layer): boolean => layer.kind.startsWith("Adaptive");

/** Return the taps of every window along both axes of a layer. */
export function places(layer: Layer): { rows: number[][]; cols: number[][] } {
  const along = (a: Axis): number[][] => Array.from({ length: a.out }, (_, o) => taps(a, o, modeOf(layer), isAdaptive(layer)));
  return { rows: along(layer.rows!), cols: along(layer.cols!) };
}

/** Call `visit` for each window of each channel with the indices of its elements and the count that an average divides by. */
function eachWindow(x: Tensor, layer: Layer, visit: (at: number, cells: number[], counted: number) => void): void {
  const { rows, cols } = places(layer);
  const [, w, c] = x.shape as [number, number, number];
  const least = layer.count_include_pad ? -1 : 0; // PAD counts, OVER never does
  const real = (line: number[]): number[] => line.filter((i) => i >= 0);
  const counts = (lines: number[][]): number[] => lines.map((line) => line.filter((i) => i >= least).length);
  const [down, across] = [counts(rows), counts(cols)];
  const inside = cols.map(real);
  rows.forEach((line, p) => {
    const mine = real(line);
    cols.forEach((_, q) => {
      const corner: number[] = [];
      for (const i of mine) for (const j of inside[q]!) corner.push((i * w + j) * c);
      for (let k = 0; k < c; k++)
        visit((p * cols.length + q) * c + k, corner.map((at) => at + k), down[p]! * across[q]!);
    });
  });
}

export function pool(x: Tensor, layer: Layer, how: Pool): Tensor {
  const y = tensor([layer.rows!.out, layer.cols!.out, x.shape[2]!]);
  eachWindow(x, layer, (at, cells, counted) => {
    y.data[at] = how.value(cells.map((i) => x.data[i]!), counted);
  });
  return y;
}

export function poolGrad(x: Tensor, layer: Layer, how: Pool, g: Tensor): Tensor {
  const dx = new Float64Array(x.data.length);
  eachWindow(x, layer, (at, cells, counted) => {
    const shares = how.shares(cells.map((i) => x.data[i]!), counted);
    cells.forEach((i, t) => (dx[i]! += g.data[at]! * shares[t]!));
  });
  return tensor(x.shape, Float32Array.from(dx));
}

/** y[p, q, k] = bias[k] + sum over i, j, c of x[p * s + i * d, q * s + j * d, c] * kernel[i, j, c, k]. */
export function conv2d(x: Tensor, layer: Layer, kernel: Tensor, bias?: Tensor): Tensor {
  const { rows, cols } = places(layer);
  const [, w, c] = x.shape as [number, number, number];
  const [, , each, filters] = kernel.shape as [number, number, number, number];
  const groups = c / each;
  const mine = filters / groups;
  const y = tensor([rows.length, cols.length, filters]);
  const total = new Float64Array(filters);
  const [from, weights] = [x.data, kernel.data];
  rows.forEach((line, p) =>
    cols.forEach((across, q) => {
      if (bias) total.set(bias.data);
      else total.fill(0);
      line.forEach((row, i) => {
        if (row < 0) return;
        across.forEach((col, j) => {
          if (col < 0) return;
          let at = (row * w + col) * c;
          const tap = (i * across.length + j) * each * filters;
          for (let group = 0; group < groups; group++)
            for (let k = 0; k < each; k++) {
              const v = from[at++]!;
              if (v === 0) continue; // after a ReLU half of the values are
              const first = group * mine;
              let n = tap + k * filters + first;
              for (let f = first; f < first + mine; f++) total[f]! += v * weights[n++]!;
            }
        });
      });
      y.data.set(total, (p * cols.length + q) * filters);
    }),
  );
  return y;
}

/** Each pixel gets, from every window that reads it, that window's gradient times the kernel element at its tap. */
export function conv2dGrad(x: Tensor, layer: Layer, kernel: Tensor, g: Tensor): Tensor {
  const { rows, cols } = places(layer);
  const [, w, c] = x.shape as [number, number, number];
  const [, , each, filters] = kernel.shape as [number, number, number, number];
  const mine = filters / (c / each);
  const dx = new Float64Array(x.data.length);
  rows.forEach((line, p) =>
    cols.forEach((across, q) =>
      line.forEach((row, i) =>
        across.forEach((col, j) => {
          if (row < 0 || col < 0) return;
          for (let f = 0; f < filters; f++) {
            const channel = Math.floor(f / mine) * each;
            for (let k = 0; k < each; k++)
              dx[(row * w + col) * c + channel + k]! +=
                g.data[(p * cols.length + q) * filters + f]! *
                kernel.data[((i * across.length + j) * each + k) * filters + f]!;
          }
        }),
      ),
    ),
  );
  return tensor(x.shape, Float32Array.from(dx));
}

const binomial = (k: number): number[] => {
  let line = [1];
  for (let n = 1; n < k; n++) line = [...line, 0].map((a, i) => a + (line[i - 1] ?? 0));
  return line.map((a) => a / 2 ** (k - 1));
};

/** The kernel of a blur pooling: the same filter for each channel, in float32 as the library has it. */
export function blurKernel(layer: Layer, channels: number): Tensor {
  const [down, across] = [binomial(layer.rows!.k), binomial(layer.cols!.k)];
  const kernel = tensor([down.length, across.length, 1, channels]);
  kernel.data.set(down.flatMap((a) => across.flatMap((b) => Array<number>(channels).fill(a * b))));
  return kernel;
}

function dense(x: Tensor, kernel: Tensor, bias?: Tensor): Tensor {
  const [inputs, units] = kernel.shape as [number, number];
  const total = new Float64Array(units);
  for (let i = 0; i < inputs; i++) {
    const v = x.data[i]!;
    if (v !== 0) for (let j = 0; j < units; j++) total[j]! += v * kernel.data[i * units + j]!;
  }
  return tensor([units], Float32Array.from(total, (v, j) => v + (bias?.data[j] ?? 0)));
}

/** Normalization by the stored statistics. */
function batchNorm(x: Tensor, [gamma, beta, mean, variance]: Tensor[], epsilon: number): Tensor {
  const c = x.shape.at(-1)!;
  return map(x, (v, i) => {
    const k = i % c;
    return ((v - mean!.data[k]!) * gamma!.data[k]!) / Math.sqrt(variance!.data[k]! + epsilon) + beta!.data[k]!;
  });
}

/** Pad, or crop where an axis has negative padding. */
function moved(x: Tensor, layer: Layer): Tensor {
  const { rows, cols } = places(layer);
  const [, w, c] = x.shape as [number, number, number];
  const y = tensor([rows.length, cols.length, c]);
  rows.forEach(([i], p) =>
    cols.forEach(([j], q) => {
      if (i! >= 0 && j! >= 0) y.data.set(x.data.subarray((i! * w + j!) * c, (i! * w + j! + 1) * c), (p * cols.length + q) * c);
    }),
  );
  return y;
}

const map = (x: Tensor, f: (v: number, i: number) => number): Tensor => tensor(x.shape, x.data.map(f));

/** Softmax along the last axis. */
export function softmax(x: Tensor): Tensor {
  const c = x.shape.at(-1)!;
  const y = tensor(x.shape);
  for (let at = 0; at < x.data.length; at += c) {
    const row = [...x.data.subarray(at, at + c)];
    const top = largest(row);
    const e = row.map((v) => Math.exp(v - top));
    y.data.set(e.map((v) => v / sum(e)), at);
  }
  return y;
}

/** The normal distribution function, to 1e-15: a series near 0, a continued fraction in the tails. */
function normal(x: number): number {
  const z = Math.abs(x);
  const density = Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
  if (z < 3) {
    let [term, total] = [x, x];
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(total); n++) total += term *= (x * x) / (2 * n + 1);
    return 0.5 + density * total;
  }
  let tail = z;
  for (let n = 60; n > 0; n--) tail = z + n / tail;
  return x > 0 ? 1 - density / tail : density / tail;
}

function activation(layer: Layer): ((v: number) => number) | null {
  switch (layer.kind) {
    case "ReLU":
      return (v) => (v > 0 || Number.isNaN(v) ? v : 0);
    case "LeakyReLU":
      return (v) => (v > 0 ? v : option(layer, "negative_slope", 0.3) * v);
    case "ELU":
      return (v) => (v > 0 ? v : option(layer, "alpha", 1) * Math.expm1(v));
    case "Sigmoid":
      return (v) => (v >= 0 ? 1 / (1 + Math.exp(-v)) : Math.exp(v) / (1 + Math.exp(v)));
    case "Tanh":
      return Math.tanh;
    case "Softplus":
      return (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)));
    case "GELU":
      return layer.approximate
        ? (v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)))
        : (v) => v * normal(v);
    case "Dropout": // does nothing in evaluation
      return (v) => v;
    default:
      return null;
  }
}

/** A layer that the page has no code for, or no parameters. */
export class Unknown extends Error {
  constructor(readonly layer: Layer) {
    super(`The page cannot compute ${layer.name} (${layer.kind})`);
  }
}

type Arrays = Map<string, Tensor>;

/** Return the result of one layer. */
export function apply(layer: Layer, x: Tensor, arrays: Arrays): Tensor {
  const param = (name: string): Tensor | undefined => arrays.get(layer.params?.[name] ?? "");
  const needs = ["Conv2D", "Dense", "BatchNormalization"].includes(layer.kind) || /GeMPooling2D$/.test(layer.kind);
  if (needs && !layer.params) throw new Unknown(layer);
  const f = activation(layer);
  if (f) return map(x, f);
  switch (layer.kind) {
    case "Conv2D":
      return conv2d(x, layer, param("kernel")!, param("bias"));
    case "Dense":
      return dense(x, param("kernel")!, param("bias"));
    case "BatchNormalization":
      return batchNorm(x, ["gamma", "beta", "moving_mean", "moving_variance"].map((n) => param(n)!), option(layer, "epsilon", 1e-3));
    case "BlurPooling2D":
      return conv2d(x, layer, blurKernel(layer, x.shape[2]!));
    case "ZeroPadding2D":
    case "Padding2D":
    case "Cropping2D":
      return moved(x, layer);
    case "Flatten":
      return tensor([x.data.length], x.data);
    case "Softmax":
      return softmax(x);
    case "Concat":
      return concat(layer.branches!.map((branch) => forward(branch, x, arrays).at(-1) ?? x));
    case "Residual":
      return layer.branches!.map((branch) => forward(branch, x, arrays).at(-1) ?? x).reduce((a, b) => map(a, (v, i) => v + b.data[i]!));
  }
  const how = pooling(layer, arrays);
  if (!how) throw new Unknown(layer);
  const y = pool(x, layer, how);
  return layer.kind.startsWith("Global") && !layer.keepdims ? tensor([x.shape[2]!], y.data) : y;
}

function concat(parts: Tensor[]): Tensor {
  const widths = parts.map((t) => t.shape.at(-1)!);
  const width = sum(widths);
  const y = tensor([...parts[0]!.shape.slice(0, -1), width]);
  let first = 0;
  parts.forEach((part, n) => {
    const c = widths[n]!;
    for (let row = 0; row * c < part.data.length; row++) y.data.set(part.data.subarray(row * c, (row + 1) * c), row * width + first);
    first += c;
  });
  return y;
}

/** Return the result of each layer in turn, the last one being that of the net. */
export function forward(net: Layer[], x: Tensor, arrays: Arrays): Tensor[] {
  return net.map((layer) => (x = apply(layer, x, arrays)));
}
