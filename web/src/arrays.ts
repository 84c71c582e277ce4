/** The arrays of a page: told as they are, or as a rule and the bits that it gets wrong. The other half of `explain/derived.py`. */
import { tensor, type Data, type Id, type Layer, type Tensor } from "./contract.ts";
import { conv2d, inside, places, windowed } from "./ops.ts";

/** A layer of a net by its name, in branches too. */
export const layerOf = (net: Layer[], name?: string): Layer | undefined =>
  net.flatMap((layer) => [layer, ...(layer.branches ?? []).map((branch) => layerOf(branch, name))]).find((layer) => layer?.name === name);

/** An array of the tape without its batch axis. */
export const unbatched = (t: Tensor): Tensor => (t.shape.length > 1 && t.shape[0] === 1 ? tensor(t.shape.slice(1), t.data) : t);

type Rule = (layer: Layer, ...arrays: [Tensor, Tensor, Tensor]) => ArrayLike<number>;

const convolution: Rule = (layer, x, kernel, bias) => conv2d(unbatched(x), windowed(layer), kernel, bias).data;

/** That of a kernel. */
function gradient(layer: Layer, x: Tensor, g: Tensor): ArrayLike<number> {
  layer = windowed(layer);
  const { rows, cols } = places(layer);
  const [c, filters] = [x, g].map((t) => t.shape.at(-1)!) as [number, number];
  const total = new Float64Array(layer.rows!.k * layer.cols!.k * c * filters);
  let from = 0;
  for (const down of rows)
    for (const across of cols) {
      for (const { n, at } of inside(layer, down, across).reads)
        for (let k = 0; k < c; k++) {
          const v = x.data[n * c + k]!;
          for (let f = 0; f < filters; f++) total[(at * c + k) * filters + f]! += v * g.data[from + f]!;
        }
      from += filters;
    }
  return total;
}

const RULES: Record<string, Rule> = {
  same: (_, x) => x.data,
  relu: (_, x) => x.data.map((v) => (v > 0 ? v : 0)),
  relu_grad: (_, y, g) => g.data.map((v, i) => (y.data[i]! > 0 ? v : 0)),
  dense: convolution,
  dense_grad: gradient,
  conv2d: convolution,
  conv2d_grad: gradient,
};

function inflate(z: string): Promise<ArrayBuffer> {
  const bytes = Uint8Array.from(atob(z), (byte) => byte.charCodeAt(0));
  return new Response(new Response(bytes).body!.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
}

/** Return every array of the page by its id. */
export async function unpack({ arrays, net }: Data): Promise<Map<Id, Tensor>> {
  const told = new Map<Id, ArrayBuffer>();
  for (const [id, { z }] of Object.entries(arrays)) if (z) told.set(id, await inflate(z));
  const found = new Map<Id, Tensor>();
  const one = (id: Id): Tensor => {
    if (!found.has(id)) {
      const { shape, rule } = arrays[id]!;
      const bits = told.get(id);
      const [name, layer, ...sources] = rule ?? [];
      const data = name ? Float32Array.from(RULES[name]!(layerOf(net, layer)!, ...(sources.map(one) as [Tensor, Tensor, Tensor]))) : new Float32Array(bits!);
      const whole = new Int32Array(data.buffer);
      if (name && bits) new Int32Array(bits).forEach((difference, i) => (whole[i]! += difference));
      found.set(id, tensor(shape, data));
    }
    return found.get(id)!;
  };
  Object.keys(arrays).forEach(one);
  return found;
}
