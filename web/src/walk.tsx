/** The guided walk: six steps with one small picture, each with a way on to the panel that has the same for the own net. */
import { arrays, data } from "./app.ts";
import { boxAt, Field, fly, mapOf, sweep, type Box } from "./field.tsx";
import { floor } from "./math.ts";
import { effect, signal } from "./signals.ts";
import { all, control, count, element, mount, moves, stop } from "./state.ts";
import { fmt } from "./text.ts";

const { steps } = data.walk;
const at = count("walk", 0, 0, 5);
const hidden = control<boolean>("nowalk", false);
const shown = signal(Infinity); // windows that have been computed while the picture moves

export function visit(panel: string): void {
  const target = element(panel);
  target.scrollIntoView();
  target.focus({ preventScroll: true });
}

/** The map that a window of this step gives, or whose gradient it sends back. */
function output() {
  const { what, array } = steps[at.value]!.show[0]!.at(-1)!;
  const { data, shape } = arrays.get(array)!;
  return { what, data, across: shape[1]! };
}

function Scene() {
  const { show, window } = steps[at.value]!;
  const { what, data, across } = output();
  const now = shown.value < data.length ? floor(shown.value) : 0;
  const [i, j] = [floor(now / across), now % across];
  const end = show[0]!.length - 1;
  /** The window on the first map, and its place on the last one. */
  const sliding = (n: number): Box[] => {
    if (!window) return [];
    const [k, s] = window;
    return n === 0 ? [{ i: i * s, j: j * s, h: k, w: k, tone: what }] : n === end ? [boxAt(i, j, what)] : [];
  };
  return show.map((group) => (
    <div class="figure flex">
      {group.map(({ name, array, largest, size, what, sign, framed = [] }, n) => {
        const map = mapOf(arrays.get(array)!);
        const known = window && n === end && what === "value" ? shown.value : Infinity;
        return (
          <>
            {sign !== undefined && <div class={sign ? "" : `arrow ${what}`}>{sign}</div>}
            <figure>
              <figcaption>{name}</figcaption>
              <Field
                {...map}
                label={name}
                most={largest as number}
                at={(a, b) => (a * across + b < known ? map.at(a, b) : { v: null })}
                tone={what}
                cell={size}
                boxes={[...sliding(n), ...framed.map(([a, b]) => boxAt(a, b, "ink"))]}
                scale={false}
              />
            </figure>
          </>
        );
      })}
    </div>
  ));
}

function run(): void {
  const { what, data } = output();
  sweep(
    data.length,
    shown,
    (n) => () => {
      const places = all("#walk .box").map((box) => box.getBoundingClientRect());
      const [from, to] = what === "grad" ? places.reverse() : places;
      if (from && to) fly(from, to, fmt(data[n]!), what);
    },
    () => (shown.value = Infinity),
  );
}

export function showWalk(): void {
  const numbers = all(".steps [aria-label]");
  for (const button of all("#walk .play")) {
    button.hidden = !moves();
    button.onclick = run;
  }
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
