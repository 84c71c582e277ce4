/** The guided walk: six steps with one small picture, each with a way on to the panel that has the same for the own net. */
import { layerOf } from "./arrays.ts";
import { array, data } from "./app.ts";
import { tensor, type Layer, type Tensor } from "./contract.ts";
import { boxAround, boxAt, channel, Field, FLIGHT, fly, inRows, type Box } from "./field.tsx";
import { clamp, extent, floor, max } from "./math.ts";
import { places } from "./ops.ts";
import { Button } from "./parts.tsx";
import { effect, signal } from "./signals.ts";
import { control, count, element, mount, moves, play, stop } from "./state.ts";
import { fmt, last } from "./text.ts";

const { net, nodes, steps } = data.walk;
const at = count("walk", 0, 0, 5);
const hidden = control<boolean>("nowalk", false);
const shown = signal(Infinity); // windows that have been computed while the picture moves

export function visit(panel: string): void {
  const target = element(panel);
  target.scrollIntoView({ behavior: moves() ? "smooth" : "auto" });
  target.focus({ preventScroll: true });
}

/** The elements that one window of a layer reads, as a box on its input. */
function boxOf(layer: Layer | undefined, i: number, j: number, tone: Box["tone"]): Box[] {
  if (!layer?.rows || layer.kind === "Flatten") return [];
  const { rows, cols } = places(layer);
  return [boxAround(rows[i] ?? rows[0]!, cols[j] ?? cols[0]!, tone)];
}

function Scene() {
  const k = at.value;
  const s = steps[k]!;
  const tone = s.what;
  // In the order of the forward pass: a gradient flows back through the same picture.
  const maps = [...s.show].sort((a, b) => a - b).map((n) => {
    const t = array(nodes[n]![s.what])!;
    const [h, w, c] = t.shape;
    return { ...nodes[n]!, t: c === 1 ? tensor([h!, w!, 1], t.data) : inRows(t, 1) };
  });
  const end = maps.at(-1)!;
  const [, across] = end.t.shape as [number, number];
  const total = end.t.data.length;
  const layer = layerOf(net, end.layer);
  const moving = maps.length > 1 && boxOf(layer, 0, 0, tone).length > 0;
  const now = shown.value < total ? floor(shown.value) : 0;
  const [i, j] = [floor(now / across), now % across];
  const run = (): void =>
    play(
      total,
      FLIGHT + 450,
      (n) => {
        shown.value = n;
        // When the boxes have arrived, and when the number has.
        setTimeout(() => {
          const places = [...document.querySelectorAll("#walk .box")].map((box) => box.getBoundingClientRect());
          const [from, to] = tone === "grad" ? places.reverse() : places;
          if (shown.value === n && from && to) fly(from, to, fmt(end.t.data[n]!), tone);
        }, 300);
        setTimeout(() => shown.value === n && (shown.value = n + 0.5), 300 + FLIGHT * 0.9);
      },
      () => (shown.value = Infinity),
    );
  const boxes = (n: number): Box[] => (!moving || n < maps.length - 2 ? [] : n < maps.length - 1 ? boxOf(layer, i, j, tone) : [boxAt(i, j, tone)]);
  return (
    <>
      <div class="steps" role="group" aria-label="Steps of the walk">
        {steps.map((one, n) => (
          <button type="button" class={n === k ? "here" : n < k ? "past" : ""} aria-current={n === k ? "step" : undefined} aria-label={`Step ${n + 1}: ${one.title}`} onClick={() => (at.value = n)}>
            {n + 1}
          </button>
        ))}
        <Button onClick={() => (hidden.value = true)}>Skip the walk</Button>
      </div>
      <div class="scene">
        <div class="words" aria-live="polite">
          <h2 id="walk-title">{s.title}</h2>
          <p>{s.text}</p>
          <div class="row">
            <Button off={k === 0} onClick={() => (at.value = k - 1)}>
              ← Back
            </Button>
            <Button main off={k === 5} onClick={() => (at.value = k + 1)}>
              Next →
            </Button>
            <button type="button" class="link" onClick={() => visit(s.panel)}>
              {k === 5 ? "On to the panels" : "The same for your net"}
            </button>
          </div>
        </div>
        <div class="figure">
          {maps.map((node, n) => (
            <>
              {n > 0 && <div class={`arrow ${tone === "grad" ? "left" : ""}`} aria-hidden="true" />}
              <figure>
                <figcaption>{last(node.layer) || (node.op === "image" ? "picture" : node.op)}</figcaption>
                <Picture label={`${tone === "grad" ? "gradient of " : ""}${node.layer ?? node.op}`} t={node.t} tone={tone} upTo={node === end && moving && tone === "value" ? shown.value : Infinity} boxes={boxes(n)} room={maps.length > 2 ? 190 : 264} />
              </figure>
            </>
          ))}
          {moving && moves() && <Button onClick={run}>{shown.value < total ? "Again" : "Play"}</Button>}
        </div>
      </div>
    </>
  );
}

function Picture({ label, t, tone, upTo, boxes, room }: { label: string; t: Tensor; tone: Box["tone"] & ("value" | "grad"); upTo: number; boxes: Box[]; room: number }) {
  const [rows, cols] = t.shape as [number, number];
  const v = channel(t);
  return (
    <Field
      label={label}
      rows={rows}
      cols={cols}
      at={(a, b) => (a * cols + b < upTo ? v(a, b) : { v: null })}
      most={max(extent(t.data), 1e-9)}
      tone={tone}
      cell={clamp(floor(room / max(cols, rows, 3)), 26, 44)}
      numbers
      boxes={boxes}
      scale={false}
    />
  );
}

export function showWalk(): void {
  effect(() => {
    void [at.value, hidden.value];
    stop();
    shown.value = Infinity;
  });
  effect(() => void (element("walk").className = `walk ${hidden.value ? "closed" : ""}`));
  mount("walk", () => (hidden.value ? <Button onClick={() => (hidden.value = false)}>Show the guided walk</Button> : <Scene />));
}
