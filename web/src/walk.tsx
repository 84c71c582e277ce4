/** The guided walk: six steps with one small picture, each with a way on to the panel that has the same for the own net. */
import { layerOf } from "./arrays.ts";
import { array, data } from "./app.ts";
import { tensor, type Layer } from "./contract.ts";
import { boxAround, boxAt, Field, fly, mapOf, sweep, type Box } from "./field.tsx";
import { floor } from "./math.ts";
import { places } from "./ops.ts";
import type { Tone } from "./paint.ts";
import { effect, signal } from "./signals.ts";
import { all, control, count, element, mount, moves, stop } from "./state.ts";
import { fmt, last } from "./text.ts";

const { net, nodes, steps } = data.walk;
const at = count("walk", 0, 0, 5);
const hidden = control<boolean>("nowalk", false);
const shown = signal(Infinity); // windows that have been computed while the picture moves

export function visit(panel: string): void {
  const target = element(panel);
  target.scrollIntoView();
  target.focus({ preventScroll: true });
}

/** The elements that one window of a layer reads, as a box on its input. */
function boxOf(layer: Layer, i: number, j: number, tone: Tone): Box {
  const { rows, cols } = places(layer);
  return boxAround(rows[i]!, cols[j]!, tone);
}

function Scene() {
  const { what: tone, show, slides } = steps[at.value]!;
  const back = tone === "grad";
  const maps = show.map((n) => {
    const t = array(nodes[n]![tone])!;
    const [h, w] = t.shape;
    return { ...nodes[n]!, t: tensor([h!, w!, 1], t.data) };
  });
  const end = maps.at(-1)!;
  const [, across] = end.t.shape as [number, number];
  const total = end.t.data.length;
  const moving = layerOf(net, slides);
  const now = shown.value < total ? floor(shown.value) : 0;
  const [i, j] = [floor(now / across), now % across];
  const run = (): void =>
    sweep(
      total,
      shown,
      (n) => () => {
        const places = all("#walk .box").map((box) => box.getBoundingClientRect());
        const [from, to] = back ? places.reverse() : places;
        if (from && to) fly(from, to, fmt(end.t.data[n]!), tone);
      },
      () => (shown.value = Infinity),
    );
  const boxes = (n: number): Box[] => (moving ? [n ? boxAt(i, j, tone) : boxOf(moving, i, j, tone)] : []);
  return (
    <>
      {maps.map(({ layer: name, op, t }, n) => {
        const cols = t.shape[1]!;
        const map = mapOf(t);
        const known = t === end.t && moving && !back ? shown.value : Infinity;
        return (
          <>
            {n > 0 && <div class={`arrow ${back ? "left" : ""}`} aria-hidden="true" />}
            <figure>
              <figcaption>{last(name) || (op === "image" ? "picture" : op)}</figcaption>
              <Field
                {...map}
                label={`${back ? "gradient of " : ""}${name ?? op}`}
                at={(a, b) => (a * cols + b < known ? map.at(a, b) : { v: null })}
                tone={tone}
                cell={44}
                boxes={boxes(n)}
                scale={false}
              />
            </figure>
          </>
        );
      })}
      {moving && moves() && <button type="button" onClick={run}>{shown.value < total ? "Again" : "Play"}</button>}
    </>
  );
}

export function showWalk(): void {
  const numbers = all(".steps [aria-label]");
  effect(() => {
    void hidden.value;
    numbers.forEach((button, n) => {
      button.classList.toggle("past", n < at.value);
      button.ariaCurrent = n === at.value ? "step" : null;
    });
    stop();
    shown.value = Infinity;
  });
  mount("figure", () => <Scene />);
}
