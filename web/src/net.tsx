/** Panel 1: every layer of the net with its maps, and what one of their elements has seen of the image. */
import { arrays, data, field, image, values } from "./app.ts";
import type { Layer, Tensor } from "./contract.ts";
import { boxAround, channel, Field, inRows, mapOf, Scale, Sheet } from "./field.tsx";
import { clamp, extent, floor, min, upTo } from "./math.ts";
import { Figure, Formula } from "./parts.tsx";
import { computed, effect, signal } from "./signals.ts";
import { control, element, mount } from "./state.ts";
import { fmt, last, plural } from "./text.ts";
import { words } from "./words.ts";

const chosen = control<string>("at", `${data.start}`, (text) => /^\d+(,\d+){3}$/.test(text)); // layer, channel, row, column
const channels = signal<Record<number, number>>({});
type Place = [number, number, number, number];

const place = computed(() => chosen.value.split(",").map(Number) as Place);

function choose(n: number, k: number, i = place.value[2], j = place.value[3]): void {
  channels.value = { ...channels.value, [n]: k };
  chosen.value = `${[n, k, i, j]}`;
}

const isMap = (t?: Tensor): boolean => t?.shape.length === 3 && t.data.length > t.shape[2]!;

function Maps({ n, l, value }: { n: number; l: Layer; value: Tensor | undefined }) {
  const [at, map] = place.value;
  const label = last(l.name);
  if (!value) return <>{words("missing")}</>;
  if (isMap(value)) return <Sheet label={label} tensor={value} pick={min(value.shape[2]! - 1, n === at ? map : (channels.value[n] ?? 0))} onPick={(k, i, j) => choose(n, k, i, j)} hover />;
  const total = value.data.length;
  const across = min(total, 64);
  return (
    <Field
      {...mapOf(inRows(value, across))}
      label={label}
      cell={total > 32 ? 10 : total > 16 ? 18 : 36}
      pick={n === at ? [floor(map / across), map % across] : undefined}
      onPick={(i, j) => choose(n, min(total - 1, i * across + j))}
      scale={false}
    />
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
  const reads = arrays.get(data.coverage!)?.data; // for each pixel, how many elements of the last feature map read it
  const [h, w] = data.input;
  const pixels = upTo(h * w).filter((m) => seen(floor(m / w), m % w)).length;
  return (
    <>
      <Figure title={words("image")}>
        <Field
          label="the image"
          {...mapOf(image)}
          at={(a, b) => ({ ...channel(image)(a, b), kind: reads?.[a * w + b] === 0 ? "unread" : seen(a, b) ? undefined : "faint" })}
          cell={clamp(floor(288 / w), 6, 72)}
          boxes={pixels ? [boxAround(patches.flatMap((p) => p.rows), patches.flatMap((p) => p.cols), "value")] : []}
        />
      </Figure>
      <Formula of={`${l.name}, ${spatial ? `channel ${k + 1}, ${words("place", i + 1, j + 1)}` : `element ${k + 1}`}`}>
        {value ? fmt(value.data[(i * vw + j) * c + k]!, 4) : words("missing")}
        {words("seen", plural(pixels, "pixel"), h * w)}
      </Formula>
      {value && isMap(value) && (
        <Figure title={`channel ${k + 1} of ${last(l.name)}`}>
          <Field
            name="channel"
            label={`channel ${k + 1} of ${l.name}`}
            {...mapOf(value, k)}
            cell={clamp(floor(288 / vw), 6, 54)}
            pick={[i, j]}
            onPick={(a, b) => choose(n, k, a, b)}
            hover
          />
        </Figure>
      )}
    </>
  );
}

export function showNet(): void {
  mount("seen", () => <Seen />);
  data.net.forEach((l, n) => {
    const value = values[n];
    mount(`map${n}`, () => <Maps n={n} l={l} value={value} />);
    if (value) mount(`scale${n}`, () => <Scale most={extent(value.data)} tone="value" signed={value.data.some((v) => v < 0)} />);
    const row = element(`map${n}`).parentElement!;
    effect(() => void row.classList.toggle("chosen", n === place.value[0]));
  });
}
