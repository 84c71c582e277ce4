/** The page's data, unpacked, and what several panels ask of it. */
import { unbatched, unpack } from "./arrays.ts";
import type { Data, Layer, Tensor } from "./contract.ts";
import { best } from "./math.ts";
import { forward, places, softmaxOf } from "./ops.ts";
import { element } from "./state.ts";
import { words } from "./words.ts";

export const data = JSON.parse(element("data").textContent!) as Data;
export let arrays: Map<string, Tensor>;
export let image: Tensor;
export let examples: Tensor[];
export let values: (Tensor | undefined)[]; // of each layer of the net, where the page can compute it
export let broken: string; // why, if there is one that it cannot

export async function start(): Promise<void> {
  arrays = await unpack(data);
  [image, ...examples] = [data.image, ...data.examples].map((id) => arrays.get(id)!) as [Tensor, ...Tensor[]];
  const [computed, why] = attempt(data.net, image);
  broken = data.draw ? why : words("empty");
  // What the page cannot compute, Python has: the tape ran the same layers.
  values = data.net.map((layer, n) => computed[n] ?? (data.tape.training ? undefined : array(data.tape.nodes[layer.node!]?.["value"])));
}

/** Return the value of each layer as far as the page can compute them, and why it cannot go on. */
function attempt(net: Layer[], x: Tensor): [Tensor[], string] {
  const done: Tensor[] = [];
  try {
    for (const layer of net) done.push((x = forward([layer], x, arrays)[0]!));
  } catch (error) {
    const { cause, message } = error as Error;
    if (!cause) throw error;
    return [done, message]; // it says which layer has no code, or no parameters
  }
  return [done, ""];
}

export const probabilities = (logits: ArrayLike<number>): number[] => softmaxOf(Array.from(logits));

/** Return the probabilities that a net gives an image, or nothing if the page cannot compute them. */
export function answer(net: Layer[], x: Tensor): number[] | undefined {
  const [done, why] = attempt(net, x);
  return why ? undefined : probabilities(done.at(-1)!.data);
}

export const named = (k: number): string => data.classes[k]!;
export const bestOf = (p: number[]): string => (p.some(isNaN) ? "NaN" : named(best(p)));

/** An array of the tape, if there is one, without its batch axis. */
export function array(id?: string): Tensor | undefined {
  const t = arrays.get(id!);
  return t && unbatched(t);
}

type Patch = { rows: number[]; cols: number[] };

/** Return the parts of the image that these places of the map after some layers depend on. */
export function field(net: Layer[], rows: number[], cols: number[]): Patch[] {
  let patches = [{ rows, cols }];
  for (const layer of [...net].reverse()) {
    if (layer.branches) patches = patches.flatMap((p) => layer.branches!.flatMap((branch) => field(branch, p.rows, p.cols)));
    else if (layer.rows) {
      const at = places(layer);
      const read = (lines: number[][], of: number[]): number[] => [...new Set(of.flatMap((o) => lines[o] ?? []).filter((n) => n >= 0))];
      patches = patches.map((p) => ({ rows: read(at.rows, p.rows), cols: read(at.cols, p.cols) }));
    }
  }
  return patches;
}
