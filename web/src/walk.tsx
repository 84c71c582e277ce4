/** The guided walk: six steps with one small picture, each with a way on to the panel that has the same for the own net. */
import { effect, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { app, layers, unbatched } from "./app.ts";
import { tensor, type Layer, type Tensor } from "./contract.ts";
import { Button } from "./controls.tsx";
import { channel, Field, fly, type Box, type Cell } from "./field.tsx";
import { places } from "./ops.ts";
import { extent } from "./paint.ts";
import { control, count, moves } from "./state.ts";
import { fmt } from "./text.ts";

const at = count("walk", 0, 0, 5);
const hidden = control<boolean>("nowalk", false);
const shown = signal(Infinity); // windows that have been computed while the picture moves
const PANELS: Record<string, string> = { backward: "back" };

export const visit = (panel: string): void => {
  const target = document.getElementById(PANELS[panel] ?? panel);
  target?.scrollIntoView({ behavior: moves() ? "smooth" : "auto" });
  target?.focus({ preventScroll: true });
};

/** A tensor as a map: the first channel of a feature map, a vector as one column. */
function spread(t: Tensor): { rows: number; cols: number; at: (i: number, j: number) => Cell } {
  if (t.shape.length === 3) {
    const [h, w] = t.shape as [number, number, number];
    return { rows: h, cols: w, at: channel(t, 0) };
  }
  const flat = tensor([t.data.length, 1, 1], t.data);
  return { rows: t.data.length, cols: 1, at: channel(flat, 0) };
}

/** The elements that one window of a layer reads, as a box on its input. */
function boxOf(layer: Layer | undefined, i: number, j: number, tone: Box["tone"]): Box[] {
  if (!layer?.rows || layer.kind === "Flatten") return [];
  const { rows, cols } = places(layer);
  const [r, c] = [rows[i] ?? rows[0]!, cols[j] ?? cols[0]!].map((line) => line.filter((n) => n >= 0)) as [number[], number[]];
  return [{ i: Math.min(...r), j: Math.min(...c), h: Math.max(...r) - Math.min(...r) + 1, w: Math.max(...c) - Math.min(...c) + 1, ...(tone ? { tone } : {}) }];
}

let timer = 0;

/** Let the windows of the last map move, one after the other; the same way backwards for gradients. */
function run(total: number, text: (n: number) => string, back: boolean): void {
  clearInterval(timer);
  shown.value = Infinity;
  if (!moves() || total < 2) return;
  shown.value = 0;
  timer = globalThis.setInterval(() => {
    shown.value++;
    const n = shown.value - 1;
    if (n >= total) {
      clearInterval(timer);
      shown.value = Infinity;
      return;
    }
    requestAnimationFrame(() => {
      const boxes = document.querySelectorAll("#walk .figure .box");
      const [from, to] = [boxes[0], boxes[boxes.length - 1]];
      if (back) fly(to, from, text(n), "grad");
      else fly(from, to, text(n), "value");
    });
  }, 420) as unknown as number;
}

export function Walk() {
  const { steps, nodes, net } = app.data.walk;
  useEffect(() => effect(() => (void at.value, clearInterval(timer), void (shown.value = Infinity))), []);
  if (!steps.length) return null;
  if (hidden.value)
    return (
      <div class="walk closed">
        <Button onClick={() => (hidden.value = false)}>Show the guided walk</Button>
      </div>
    );
  const k = Math.min(at.value, steps.length - 1);
  const s = steps[k]!;
  const tone = s.what === "grad" ? "grad" : "value";
  const maps = s.show.map((n) => {
    const node = nodes[n]!;
    const id = s.what === "grad" ? node.grad : node.value;
    return { node, t: id ? unbatched(app.arrays.get(id)!) : null };
  });
  const last = maps.at(-1);
  const grid = last?.t ? spread(last.t) : null;
  const total = grid ? grid.rows * grid.cols : 0;
  const now = shown.value < total ? Math.max(0, shown.value - 1) : 0;
  const [i, j] = grid ? [Math.floor(now / grid.cols), now % grid.cols] : [0, 0];
  const layer = layers(net).find((l) => l.name === last?.node.layer);
  const moving = maps.length > 1 && Boolean(boxOf(layer, 0, 0, tone).length);
  return (
    <section id="walk" class="walk" aria-labelledby="walk-title" tabIndex={-1}>
      <div class="steps" role="group" aria-label="Steps of the walk">
        {steps.map((one, n) => (
          <button key={n} type="button" class={n === k ? "here" : n < k ? "past" : ""} aria-current={n === k ? "step" : undefined} aria-label={`Step ${n + 1}: ${one.title}`} onClick={() => (at.value = n)}>
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
            <Button main off={k === steps.length - 1} onClick={() => (at.value = k + 1)}>
              Next →
            </Button>
            <button type="button" class="link" onClick={() => visit(s.panel)}>
              {k === steps.length - 1 ? "On to the panels" : "The same for your net"}
            </button>
          </div>
        </div>
        <div class="figure">
          {maps.map(({ node, t }, n) => {
            if (!t) return null;
            const g = spread(t);
            const end = n === maps.length - 1;
            const side = Math.max(26, Math.min(44, Math.floor((maps.length > 2 ? 190 : 264) / Math.max(g.cols, g.rows, 3))));
            const boxes: Box[] = moving && end ? [{ i, j, h: 1, w: 1, tone }] : moving && n === maps.length - 2 ? boxOf(layer, i, j, tone) : [];
            return (
              <>
                {n > 0 && <div class={`arrow ${s.what === "grad" ? "left" : ""}`} aria-hidden="true" />}
                <figure key={n}>
                  <figcaption>{node.layer?.split("/").at(-1) ?? (node.op === "image" ? "picture" : node.op)}</figcaption>
                  <Field
                    label={`${s.what === "grad" ? "gradient of " : ""}${node.layer ?? node.op}`}
                    rows={g.rows}
                    cols={g.cols}
                    at={(a, b) => (end && moving && tone === "value" && a * g.cols + b >= shown.value ? { v: null } : g.at(a, b))}
                    most={Math.max(extent(t.data), 1e-9)}
                    tone={tone}
                    cell={side}
                    numbers
                    boxes={boxes}
                    scale={false}
                  />
                </figure>
              </>
            );
          })}
          {moving && moves() && (
            <Button onClick={() => run(total, (n) => fmt(last!.t!.data[n]!), s.what === "grad")}>{shown.value < total ? "Again" : "Play"}</Button>
          )}
        </div>
      </div>
    </section>
  );
}
