/** Panel 1: every layer of the net with its maps, and what one of their elements has seen of the image. */
import { computed, signal } from "@preact/signals";
import { app, best, field, named } from "./app.ts";
import type { Layer, Tensor } from "./contract.ts";
import { Figure, Formula, Panel } from "./controls.tsx";
import { Bars, channel, Field, Sheet, type Cell } from "./field.tsx";
import { softmax } from "./ops.ts";
import { extent } from "./paint.ts";
import { control } from "./state.ts";
import { fmt, percent, plural, size, thousands } from "./text.ts";

const chosen = control<string>("at", "", (text) => /^$|^\d+(,\d+){3}$/.test(text)); // layer, channel, row, column
const channels = signal<Record<number, number>>({});

/** The largest element of the last map but one, where nothing has been chosen: it has seen much of the image. */
const first = computed<number[]>(() => {
  const maps = app.values.map((t, n) => [t, n] as const).filter(([t]) => t?.shape.length === 3 && t.shape[0]! > 2);
  const [t, n] = maps.at(-1) ?? [null, 0];
  if (!t) return [0, 0, 0, 0];
  const [w, c] = [t.shape[1]!, t.shape[2]!];
  const top = best(t.data);
  return [n, top % c, Math.floor(top / c / w), Math.floor(top / c) % w];
});

const place = computed(() => (chosen.value ? chosen.value.split(",").map(Number) : first.value) as [number, number, number, number]);

const pickedOf = (n: number, c: number): number => Math.min(c - 1, n === place.value[0] ? place.value[1] : (channels.value[n] ?? 0));

function choose(n: number, k: number, i = place.value[2], j = place.value[3]): void {
  channels.value = { ...channels.value, [n]: k };
  chosen.value = [n, k, i, j].join();
}

/** Pixels of the image that no element of the last feature map depends on. */
function idle(): (i: number, j: number) => boolean {
  const flat = app.data.net.findIndex((l) => l.kind === "Flatten" || l.kind === "Dense" || (l.kind.startsWith("Global") && !l.keepdims));
  const trunk = flat < 0 ? app.data.net : app.data.net.slice(0, flat);
  const last = app.values[trunk.length - 1] ?? app.image;
  if (last.shape.length !== 3) return () => false;
  const all = (n: number): number[] => Array.from({ length: n }, (_, k) => k);
  const patches = field(trunk, all(last.shape[0]!), all(last.shape[1]!));
  return (i, j) => !patches.some((p) => p.rows.has(i) && p.cols.has(j));
}

function optionsOf(l: Layer): string {
  const a = l.rows;
  if (l.kind === "Conv2D") return `${a!.k}×${l.cols!.k} kernel${a!.s > 1 ? `, stride ${a!.s}` : ""}`;
  if (l.kind.endsWith("Pooling2D") && !l.kind.startsWith("Global")) return `${a?.k}×${l.cols?.k} window, stride ${a?.s}`;
  return "";
}

function Row({ n, l, value }: { n: number; l: Layer; value: Tensor | null }) {
  const facts = app.data.summary[n];
  const short = l.name.split("/").at(-1)!;
  return (
    <li class={n === place.value[0] ? "chosen" : ""}>
      <div class="about">
        <b>{short}</b>
        <span>{optionsOf(l)}</span>
        <span>
          {value ? size(value.shape) : "not computed in the page"}
          {facts && Number(facts[2]) ? `, ${plural(Number(facts[2]), "parameter")}` : ""}
        </span>
      </div>
      {value?.shape.length === 3 && value.shape[0]! * value.shape[1]! > 1 ? (
        <Sheet
          label={short}
          tensor={value}
          pick={pickedOf(n, value.shape[2]!)}
          onPick={(k) => choose(n, k)}
          onHover={(k, i, j) => choose(n, k, i, j)}
        />
      ) : (
        value && <Strip label={short} value={value} n={n} />
      )}
    </li>
  );
}

/** A vector as one line of cells. */
function Strip({ label, value, n }: { label: string; value: Tensor; n: number }) {
  const length = value.data.length;
  const most = extent(value.data);
  const across = Math.min(length, 64);
  return (
    <Field
      label={label}
      rows={Math.ceil(length / across)}
      cols={across}
      at={(i, j): Cell => ({ v: value.data[i * across + j] ?? null })}
      most={most}
      cell={length > 32 ? 10 : 22}
      numbers={length <= 16}
      pick={n === place.value[0] ? [Math.floor(place.value[1] / across), place.value[1] % across] : null}
      onPick={(i, j) => choose(n, Math.min(length - 1, i * across + j))}
      scale={false}
    />
  );
}

export function Net() {
  const { data, values, image } = app;
  const [layer, map, row, col] = place.value;
  const n = Math.min(layer, data.net.length - 1);
  const value = values[n];
  const l = data.net[n]!;
  const spatial = value?.shape.length === 3;
  const c = spatial ? value.shape[2]! : (value?.data.length ?? 1);
  const k = Math.min(map, c - 1);
  const [i, j] = spatial ? [Math.min(row, value.shape[0]! - 1), Math.min(col, value.shape[1]! - 1)] : [0, 0];
  const patches = value ? field(data.net.slice(0, n + 1), [i], [j]) : [];
  const seen = (a: number, b: number): boolean => patches.some((p) => p.rows.has(a) && p.cols.has(b));
  const unused = idle();
  const [h, w, depth] = data.input;
  const pixels = Array.from({ length: h * w }, (_, m) => seen(Math.floor(m / w), m % w)).filter(Boolean).length;
  const element = spatial ? (i * value.shape[1]! + j) * c + k : k;
  const v = value ? value.data[element]! : NaN;
  const logits = values.at(-1);
  const rows = patches.flatMap((p) => [...p.rows]);
  const cols = patches.flatMap((p) => [...p.cols]);
  const box = rows.length ? [{ i: Math.min(...rows), j: Math.min(...cols), h: Math.max(...rows) - Math.min(...rows) + 1, w: Math.max(...cols) - Math.min(...cols) + 1 }] : [];
  const side = Math.max(6, Math.floor(288 / w));
  return (
    <Panel
      id="net"
      number={1}
      title="The net, layer by layer"
      lede="Each layer turns the maps above it into new ones. Point at a place of any map: the box on the image is its receptive field, all that this number can have seen."
    >
      <div class="wide net">
        <div class="seen">
          <Figure title={`the image, ${h} × ${w}${depth > 1 ? `, channel 1 of ${depth}` : ""}`}>
            <Field
              label="the image"
              rows={h}
              cols={w}
              at={(a, b) => ({
                v: image.data[(a * w + b) * depth]!,
                ...(unused(a, b) ? { kind: "unread" as const } : !seen(a, b) ? { kind: "faint" as const } : {}),
              })}
              most={extent(image.data)}
              cell={side}
              numbers={w <= 12}
              boxes={box}
            />
          </Figure>
          <Formula>
            <b>
              {l.name}, {spatial ? `channel ${k + 1}, row ${i + 1}, column ${j + 1}` : `element ${k + 1}`}:
            </b>{" "}
            {value ? fmt(v, 4) : "not computed in the page"}. It depends on {plural(pixels, "pixel")} of {h * w}.
          </Formula>
          {spatial && value.shape[0]! * value.shape[1]! > 1 && (
            <Figure title={`channel ${k + 1} of ${l.name.split("/").at(-1)}`}>
              <Field
                label={`channel ${k + 1} of ${l.name}`}
                rows={value.shape[0]!}
                cols={value.shape[1]!}
                at={channel(value, k)}
                most={extent(value.data)}
                cell={Math.max(6, Math.min(54, Math.floor(288 / value.shape[1]!)))}
                numbers={value.shape[1]! <= 8}
                pick={[i, j]}
                onPick={(a, b) => choose(n, k, a, b)}
                onHover={(a, b) => choose(n, k, a, b)}
              />
            </Figure>
          )}
        </div>
        <ol class="layers">
          {data.net.map((one, m) => (
            <Row key={m} n={m} l={one} value={values[m] ?? null} />
          ))}
          {logits && (
            <li>
              <div class="about">
                <b>probabilities</b>
                <span>softmax of the logits</span>
                <span>the net says {named(best(logits.data))}</span>
              </div>
              <Bars label="probability of each class" names={data.classes} values={[...softmax(logits).data]} show={percent} most={1} mark={best(logits.data)} />
            </li>
          )}
        </ol>
      </div>
      {app.broken && <p class="refused">{app.broken}. Its numbers in the training step below come from Python.</p>}
      <details class="wide more">
        <summary>How the sizes come about, and the cost of each layer</summary>
        <div class="scroll" tabIndex={0} role="region" aria-label="Sizes and cost">
          <pre>{data.shapes.join("\n")}</pre>
          <table>
            <thead>
              <tr>
                {["layer", "output", "parameters", "multiply-adds", "receptive field"].map((t) => (
                  <th key={t} scope="col">
                    {t}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {data.summary.map((row, m) => (
                <tr key={m}>
                  {row.map((c, q) => (
                    <td key={q}>{typeof c === "number" ? thousands(c) : c}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </Panel>
  );
}
