/** The page's data, unpacked, and what several panels ask of it. */
import { tensor, type Data, type Layer, type Tensor } from "./contract.ts";
import { forward, places, Unknown } from "./ops.ts";

export interface App {
  data: Data;
  arrays: Map<string, Tensor>;
  image: Tensor;
  examples: Tensor[];
  values: (Tensor | null)[]; // of each layer of the net, null where the page cannot compute it
  broken: string; // why, if there is such a layer
}

export let app: App;

export function start(data: Data, arrays: Map<string, Tensor>): void {
  const image = single(arrays.get(data.image)!, data.input);
  const examples = data.examples.map((id) => single(arrays.get(id)!, data.input));
  const [computed, why] = attempt(data.net, image, arrays);
  const broken = data.draw ? why : "this file has no parameters";
  // What the page cannot compute, Python has: the tape ran the same layers.
  const values = data.net.map((layer, n) => computed[n] ?? taped(layer, data, arrays));
  app = { data, arrays, image, examples, values, broken };
}

function taped(layer: Layer, data: Data, arrays: Map<string, Tensor>): Tensor | null {
  const id = layer.node === undefined || data.tape.training ? undefined : data.tape.nodes[layer.node]?.value;
  return id ? unbatched(arrays.get(id)!) : null;
}

const single = (t: Tensor, shape: number[]): Tensor => tensor(shape, t.data);

/** Return the value of each layer as far as the page can compute them, and why it cannot go on. */
export function attempt(net: Layer[], x: Tensor, arrays: Map<string, Tensor>): [(Tensor | null)[], string] {
  const done: (Tensor | null)[] = [];
  try {
    for (const layer of net) done.push((x = forward([layer], x, arrays)[0]!));
    return [done, ""];
  } catch (error) {
    if (!(error instanceof Unknown)) throw error;
    return [[...done, ...net.slice(done.length).map(() => null)], error.message];
  }
}

/** Return the logits of a net for an image, or null if the page cannot compute them. */
export const answer = (net: Layer[], x: Tensor): Float32Array | null => attempt(net, x, app.arrays)[0].at(-1)?.data ?? null;

export const best = (v: ArrayLike<number>): number => {
  let k = 0;
  for (let i = 1; i < v.length; i++) if (v[i]! > v[k]!) k = i;
  return k;
};

export const named = (k: number): string => app.data.classes[k] ?? String(k);

/** A tensor of the tape without its batch axis. */
export const unbatched = (t: Tensor): Tensor => (t.shape.length > 1 && t.shape[0] === 1 ? tensor(t.shape.slice(1), t.data) : t);

/** Every layer of the net, those in branches too. */
export const layers = (net: Layer[]): Layer[] => net.flatMap((layer) => [layer, ...(layer.branches ?? []).flatMap(layers)]);

export const isWindow = (layer: Layer): boolean => Boolean(layer.rows && layer.cols);

type Patch = { rows: Set<number>; cols: Set<number> };

/** Return the parts of the image that one place of the map after some layers depends on. */
export function field(net: Layer[], rows: number[], cols: number[]): Patch[] {
  let patches: Patch[] = [{ rows: new Set(rows), cols: new Set(cols) }];
  for (const layer of [...net].reverse()) {
    if (layer.branches)
      patches = patches.flatMap((p) => layer.branches!.flatMap((branch) => field(branch, [...p.rows], [...p.cols])));
    else if (isWindow(layer)) {
      const at = places(layer);
      const read = (lines: number[][], of: Set<number>): Set<number> =>
        new Set([...of].flatMap((o) => lines[o] ?? []).filter((n) => n >= 0));
      patches = patches.map((p) => ({ rows: read(at.rows, p.rows), cols: read(at.cols, p.cols) }));
    }
  }
  return patches;
}
