/** Panel 1: every layer of the net with its maps, and what one of their elements has seen of the image. */
import { bestOf, data, field, image, probabilities, values } from "./app.ts";
import type { Layer, Tensor } from "./contract.ts";
import { Bars, boxAround, channel, Field, inRows, Scale, Sheet } from "./field.tsx";
import { best, clamp, extent, floor, min, upTo } from "./math.ts";
import { Figure, Formula } from "./parts.tsx";
import { computed, signal } from "./signals.ts";
import { control, mount } from "./state.ts";
import { fmt, last, percent, plural, size } from "./text.ts";

const chosen = control<string>("at", "", (text) => /^\d+(,\d+){3}$/.test(text)); // layer, channel, row, column
const channels = signal<Record<number, number>>({});
type Place = [number, number, number, number];

/** The largest element of the last map, where nothing has been chosen: it has seen much of the image. */
function first(): Place {
  const n = values.findLastIndex((t) => t?.shape.length === 3 && t.shape[0]! > 2);
  if (n < 0) return [0, 0, 0, 0];
  const [, w, c] = values[n]!.shape as [number, number, number];
  const top = best(values[n]!.data);
  return [n, top % c, floor(top / c / w), floor(top / c) % w];
}

const place = computed(() => (chosen.value ? chosen.value.split(",").map(Number) : first()) as Place);

function choose(n: number, k: number, i = place.value[2], j = place.value[3]): void {
  channels.value = { ...channels.value, [n]: k };
  chosen.value = `${[n, k, i, j]}`;
}

/** Whether some element of the last feature map depends on a pixel. */
function used(): (i: number, j: number) => boolean {
  const flat = data.net.findIndex((l) => l.output!.length < 3);
  const trunk = flat < 0 ? data.net : data.net.slice(0, flat);
  const [h, w] = trunk.at(-1)?.output ?? data.input;
  const patches = field(trunk, upTo(h!), upTo(w!));
  return (i, j) => patches.some((p) => p.rows.includes(i) && p.cols.includes(j));
}

function optionsOf({ kind, rows, cols }: Layer): string {
  if (!/^Conv2D|^[^G].*Pooling2D$/.test(kind) || !rows) return "";
  const [conv, stride] = [kind === "Conv2D", `, stride ${rows.s}`];
  return `${rows.k}×${cols!.k} ${conv ? "kernel" : "window"}${conv && rows.s < 2 ? "" : stride}`;
}

const isMap = (t?: Tensor): boolean => t?.shape.length === 3 && t.data.length > t.shape[2]!;

function Row({ n, l, value }: { n: number; l: Layer; value: Tensor | undefined }) {
  const [at, map] = place.value;
  const name = last(l.name);
  const parameters = +(data.summary[n]?.[2] ?? 0);
  const across = min(value?.data.length ?? 0, 64);
  return (
    <li class={n === at ? "chosen" : ""}>
      <div class="about">
        <b>{name}</b>
        <span>{optionsOf(l)}</span>
        <span>
          {value ? size(value.shape) : "not computed in the page"}
          {parameters > 0 && `, ${plural(parameters, "parameter")}`}
        </span>
        {value && <Scale most={extent(value.data)} tone="value" signed={value.data.some((v) => v < 0)} />}
      </div>
      {value && isMap(value) ? (
        <Sheet label={name} tensor={value} pick={min(value.shape[2]! - 1, n === at ? map : (channels.value[n] ?? 0))} onPick={(k, i, j) => choose(n, k, i, j)} hover />
      ) : (
        value && (
          <Field
            label={name}
            rows={inRows(value, across).shape[0]!}
            cols={across}
            at={channel(inRows(value, across))}
            most={extent(value.data)}
            cell={value.data.length > 32 ? 10 : value.data.length > 16 ? 18 : 36}
            numbers={value.data.length <= 16}
            pick={n === at ? [floor(map / across), map % across] : undefined}
            onPick={(i, j) => choose(n, min(value.data.length - 1, i * across + j))}
            scale={false}
          />
        )
      )}
    </li>
  );
}

function Seen() {
  const [layer, map, row, col] = place.value;
  const n = min(layer, data.net.length - 1);
  const l = data.net[n]!;
  const value = values[n];
  const spatial = value?.shape.length === 3;
  const [vh, vw, c] = (spatial ? value.shape : [1, 1, value?.data.length ?? 1]) as [number, number, number];
  const [k, i, j] = [min(map, c - 1), min(row, vh - 1), min(col, vw - 1)];
  const patches = value ? field(data.net.slice(0, n + 1), [i], [j]) : [];
  const seen = (a: number, b: number): boolean => patches.some((p) => p.rows.includes(a) && p.cols.includes(b));
  const reads = used();
  const [h, w, depth] = data.input;
  const pixels = upTo(h * w).filter((m) => seen(floor(m / w), m % w)).length;
  return (
    <>
      <Figure title={`the image, ${h} × ${w}${depth > 1 ? `, channel 1 of ${depth}` : ""}`}>
        <Field
          label="the image"
          rows={h}
          cols={w}
          at={(a, b) => ({ ...channel(image)(a, b), kind: !reads(a, b) ? "unread" : seen(a, b) ? undefined : "faint" })}
          most={extent(image.data)}
          cell={clamp(floor(288 / w), 6, 72)}
          numbers={w <= 12}
          boxes={pixels ? [boxAround(patches.flatMap((p) => p.rows), patches.flatMap((p) => p.cols), "value")] : []}
        />
      </Figure>
      <Formula of={`${l.name}, ${spatial ? `channel ${k + 1}, row ${i + 1}, column ${j + 1}` : `element ${k + 1}`}`}>
        {value ? fmt(value.data[(i * vw + j) * c + k]!, 4) : "not computed in the page"}. It depends on {plural(pixels, "pixel")} of {h * w}.
      </Formula>
      {value && isMap(value) && (
        <Figure title={`channel ${k + 1} of ${last(l.name)}`}>
          <Field
            name="channel"
            label={`channel ${k + 1} of ${l.name}`}
            rows={vh}
            cols={vw}
            at={channel(value, k)}
            most={extent(value.data)}
            cell={clamp(floor(288 / vw), 6, 54)}
            numbers={vw <= 8}
            pick={[i, j]}
            onPick={(a, b) => choose(n, k, a, b)}
            onHover={(a, b) => choose(n, k, a, b)}
          />
        </Figure>
      )}
    </>
  );
}

export function showNet(): void {
  mount("seen", () => <Seen />);
  mount("layers", () => {
    const logits = values.at(-1)?.data;
    return (
      <>
        {data.net.map((one, m) => (
          <Row n={m} l={one} value={values[m]} />
        ))}
        {logits && (
          <li>
            <div class="about">
              <b>probabilities</b>
              <span>softmax of the logits</span>
              <span>the net says {bestOf(probabilities(logits))}</span>
            </div>
            <Bars label="probability of each class" names={data.classes} values={probabilities(logits)} show={percent} mark={best(logits)} />
          </li>
        )}
      </>
    );
  });
}
