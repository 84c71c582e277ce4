/** The data that Python writes into the page, format 1. `minicnn/explain/contract.py` is its other half. */

/** One axis of a window op: n elements, windows of k taps that lie d apart, one window every s elements. */
export interface Axis {
  n: number;
  k: number;
  s: number;
  d: number;
  before: number;
  after: number;
  out: number;
}

/** A layer; options such as `ties`, `p` or `epsilon` are fields of their own. A kind with a dot is a user's layer. */
export interface Layer {
  kind: string;
  name: string;
  call?: string;
  input?: number[];
  output?: number[];
  parameters?: number;
  multiply_adds?: number;
  rows?: Axis;
  cols?: Axis;
  rounding?: string;
  mode?: string;
  params?: Record<string, Id>;
  branches?: Layer[][];
  node?: number;
  [option: string]: unknown;
}

/** A key of `Data.arrays`. */
export type Id = string;

/** A number; JSON has none for NaN and the infinities, which are the strings "nan", "inf" and "-inf". */
export type Real = number | string;

// Names in quotes are those that `mangle.mjs` would shorten: where they are read, they must be in quotes as well.
export interface Check {
  "cell": number[];
  exact: Real;
  "value": Real;
  after?: Real;
  numeric: Real;
  h: number;
}

export interface TapeNode {
  op: string;
  layer?: string;
  leaf?: string;
  shape: number[];
  "value"?: Id;
  grad?: Id;
  after?: Id;
  from: { node: number; part?: Id; largest?: Real }[];
  checks: Check[];
  known?: number;
  arrives?: number;
  complete?: number;
}

export interface Tape {
  rules: Record<string, string>;
  nodes: TapeNode[];
  steps: number[];
  svg: string;
  loss: string;
  training: boolean;
  optimizer?: string;
}

export interface Head {
  name: string;
  net: Layer[];
  parameters: number;
  multiply_adds: number;
  logits: Real[];
  class_maps: Id;
  map_of: string;
  bias: Real[];
  remainder: Real[];
  exact: boolean;
  winners?: Id;
}

export interface Shift {
  range: number;
  images: number;
  consistency: Record<string, Real[][]>;
  accuracy: Record<string, Real[][]>;
}

export interface Arm {
  name: string;
  values: Real[];
  mean: Real;
  low?: Real;
  high?: Real;
  control?: string;
  difference?: Real;
  difference_low?: Real;
  difference_high?: Real;
  verdict?: string;
  curve?: Real[];
  curves?: Real[][];
}

export interface Study {
  name: string;
  metric: string;
  arms: Arm[];
  baseline: string;
  margin: Real;
  confidence: number;
  curve_of?: string;
  verdict?: string;
}

export interface Shown {
  name: string;
  array: Id;
  largest: Real;
  size: number;
  what: "value" | "grad";
  sign?: string;
  framed?: [number, number][];
}

export interface WalkStep {
  panel: string;
  "title": string;
  text: string;
  show: Shown[][];
  window?: [number, number];
}

export interface Walk {
  steps: WalkStep[];
}

export interface Data {
  format: number;
  minicnn: string;
  "title": string;
  classes: string[];
  input: [number, number, number];
  "label": number;
  image: Id;
  examples: Id[];
  example_labels: number[];
  arrays: Record<Id, { shape: number[]; z: string; rule?: string[] }>;
  net: Layer[];
  shapes: string[];
  execution: string[];
  summary: (string | number)[][];
  tape: Tape;
  heads: Head[];
  bench: { inputs: Record<string, Id>; maps: Record<string, [number, number]> };
  start: [number, number, number, number];
  walk: Walk;
  draw: boolean;
  coverage?: Id;
  shift?: Shift;
  study?: Study;
}

/** An array in C order without its batch axis. */
export interface Tensor {
  shape: number[];
  data: Float32Array;
}

/** A tensor of these values, or of zeros. */
export const tensor = (shape: number[], values?: ArrayLike<number>): Tensor => ({
  shape,
  data: values instanceof Float32Array ? values : values ? Float32Array.from(values) : new Float32Array(shape.reduce((a, b) => a * b, 1)),
});

export const real = (value: Real): number =>
  typeof value === "number" ? value : value === "inf" ? Infinity : value === "-inf" ? -Infinity : NaN;
