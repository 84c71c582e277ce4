/** Panels 5 to 7: the same image through each head, shifted, and drawn by hand. */
import { answer, arrays, bestOf, broken, data, examples, image, named } from "./app.ts";
import { real, tensor, type Axis, type Head, type Tensor } from "./contract.ts";
import { ARROWS, boxAt, Canvas, Field, mapOf, paintMap, placeOf, Scale, share } from "./field.tsx";
import { best, clamp, extent, floor, max, min, round, upTo } from "./math.ts";
import { ink as paint } from "./paint.ts";
import { moved } from "./ops.ts";
import { computed, effect, signal, type Signal } from "./signals.ts";
import { all, choice, control, count, element, mount, put } from "./state.ts";
import { percent, plural } from "./text.ts";
import { words } from "./words.ts";

const shownClass = choice("class", `${data["label"]}`, ...Object.keys(data.classes));
const [down, right] = ["dy", "dx"].map((key) => count(key, 0, -3, 3)) as [Signal<number>, Signal<number>];

/** The class maps of all heads for the class that is chosen, and the end of their scale. */
const chosen = computed(() => {
  const k = +shownClass.value;
  const maps = data.heads.map((head) => {
    const { shape, data } = arrays.get(head.class_maps)!;
    const [, h, w] = shape as [number, number, number];
    return tensor([h, w, 1], data.subarray(k * h * w, (k + 1) * h * w));
  });
  return { maps, most: max(...maps.map((map) => extent(map.data))) };
});

function ClassMap({ head, n }: { head: Head; n: number }) {
  const { maps, most } = chosen.value;
  const map = mapOf(maps[n]!);
  const won = arrays.get(head.winners!)?.data;
  return (
    <Field
      {...map}
      name={head.name}
      label={words("class map", named(+shownClass.value), head.name)}
      at={(i, j) => ({ ...map.at(i, j), ring: won ? won[i * map.cols + j]! > 0 : false })}
      most={most}
      cell={clamp(floor(260 / map.cols), 8, 56)}
      scale={false}
    />
  );
}

const answers = (x: Tensor) => data.heads.map((head) => answer(head.net, x));

/** Show a probability in a row of the file: as a bar and as a number. */
function fill(row: Element, p: number): void {
  row.querySelector("i")!.style.width = share(p, 1);
  put(row.querySelector(".num")!, percent(p));
}

/** Show what each head says of an image. */
const tell = (id: string, all: ReturnType<typeof answers>): void =>
  [...element(id).children].forEach((row, n) => {
    const p = all[n];
    if (!p) return put(row, words("failed", data.heads[n]!.name));
    fill(row, max(...p));
    put(row.querySelector(".says")!, bestOf(p));
  });

/** An axis along which everything moves; zeros are shifted in. */
const along = (n: number, by: number): Axis => ({ n, k: 1, s: 1, d: 1, before: by, after: -by, out: n });

const shifted = computed(() => moved(image, { kind: "", name: "", rows: along(data.input[0], down.value), cols: along(data.input[1], right.value) }));

function showShift(): void {
  effect(() => {
    put(element("moved-by"), words("moved", plural(down.value, "row"), plural(right.value, "column")));
  });
  mount("moved", () => <Field label="the moved image" {...mapOf(shifted.value)} cell={max(4, floor(280 / data.input[1]))} />);
  effect(() => tell("shift-answers", answers(shifted.value)));
  Object.entries(data.shift?.consistency ?? {}).forEach(([name, table], n) =>
    mount(`consistency${n}`, () => {
      const { range } = data.shift!;
      const [i, j] = [down.value + range, right.value + range];
      return (
        <Field
          label={words("stayed", name)}
          rows={2 * range + 1}
          cols={2 * range + 1}
          origin={[range + 1, range + 1]}
          at={(i, j) => ({ v: real(table[i]![j]!), text: `${round(100 * real(table[i]![j]!))}` })}
          most={1}
          cell={28}
          scale={false}
          pick={[i, j]}
          onPick={(i, j) => void ([down.value, right.value] = [i - range, j - range])}
          boxes={[boxAt(i, j, "ink")]}
        />
      );
    }),
  );
}

const FINE = 4; // strokes are kept on a grid this much finer than the image
const [H, W] = [data.input[0] * FINE, data.input[1] * FINE];
const ink = signal<Float32Array | undefined>(undefined); // none: the given image or an example
const example = signal(-1);
const centred = control<boolean>("centre", false);

/** The strokes as the net sees them: averaged over pixels, centred if that is wanted. */
const drawing = computed<Tensor>(() => {
  const strokes = ink.value;
  if (!strokes) return examples[example.value] ?? image;
  const [, w, c] = data.input;
  const from = centred.value ? centring(strokes) : (n: number) => n;
  const out = tensor(data.input);
  for (let n = 0; n < H * W; n++) {
    const v = strokes[from(n)] ?? 0;
    const at = (floor(n / W / FINE) * w + floor((n % W) / FINE)) * c;
    if (v) for (let k = 0; k < c; k++) out.data[at + k]! += v / FINE ** 2;
  }
  return out;
});

/** MNIST's rule: the box of the strokes fills 20 of 28 pixels, their centre of mass lies in the middle. */
function centring(strokes: Float32Array): (n: number) => number {
  let [top, bottom, left, right, mass, y, x] = [H, 0, W, 0, 0, 0, 0];
  strokes.forEach((v, n) => {
    if (!v) return;
    const [i, j] = [floor(n / W), n % W];
    [top, bottom, left, right] = [min(top, i), max(bottom, i), min(left, j), max(right, j)];
    mass += v;
    y += v * i;
    x += v * j;
  });
  const zoom = max(bottom - top + 1, right - left + 1) / ((20 / 28) * max(H, W));
  return (n) => {
    const j = round(x / mass + ((n % W) - (W - 1) / 2) * zoom);
    return j >= 0 && j < W ? round(y / mass + (floor(n / W) - (H - 1) / 2) * zoom) * W + j : -1;
  };
}

/** Draw from one place to another with a round pen: what counts is how far a pixel lies from the line. */
function stroke([fromY, fromX]: [number, number], [toY, toX]: [number, number]): void {
  const [dy, dx] = [toY - fromY, toX - fromX];
  const radius = max(1.6, H / 17);
  ink.value = (ink.value ?? new Float32Array(H * W)).map((v, n) => {
    const [y, x] = [floor(n / W) - fromY, (n % W) - fromX];
    const nearest = clamp((y * dy + x * dx) / (dy * dy + dx * dx || 1), 0, 1);
    return max(v, clamp(radius + 0.5 - Math.hypot(y - nearest * dy, x - nearest * dx), 0, 1));
  });
}

let pen: [number, number] = [floor(H / 2), floor(W / 2)];
let last: [number, number] | undefined;

function drawTo(event: PointerEvent): void {
  const to = placeOf(event, H, W);
  stroke(last ?? to, to);
  last = to;
}

const showPen = (): void => void (element("pen").style.inset = `${share(pen[0] + 0.5, H)} auto auto ${share(pen[1] + 0.5, W)}`);

function onKey(event: KeyboardEvent): void {
  const by = ARROWS[event.key];
  if (by) pen = [clamp(pen[0] + 2 * by[0], 0, H - 1), clamp(pen[1] + 2 * by[1], 0, W - 1)];
  else if (event.key !== " ") return;
  if (!by || event.shiftKey) stroke(pen, pen);
  event.preventDefault();
  showPen();
}

function Paper() {
  const [h, w] = data.input;
  const [width, x] = [300, drawing.value];
  const size = width / w;
  return (
    <Canvas
      width={width}
      height={size * h}
      style={{ aspectRatio: `${w} / ${h}` }}
      paint={(context) => {
        paintMap(context, x, 0, 0, 0, size, max(1, extent(x.data)));
        context.strokeStyle = paint("--line");
        for (const n of upTo(w)) context.strokeRect(n * size, -1, 0, width * 2);
        for (const n of upTo(h)) context.strokeRect(-1, n * size, width + 2, 0);
      }}
      onPointerDown={(e) => {
        e.currentTarget.setPointerCapture(e.pointerId);
        last = undefined;
        drawTo(e);
      }}
      onPointerMove={(e) => e.buttons && drawTo(e)}
    />
  );
}

function show(n: number, strokes?: Float32Array): void {
  ink.value = strokes;
  example.value = n;
}

export function showHeads(): void {
  data.heads.forEach((head, n) => mount(`card${n}`, () => <ClassMap head={head} n={n} />));
  mount("heads-scale", () => <Scale most={chosen.value.most} tone="value" signed />);
  showShift();
  if (broken) {
    element("draw-stage").className = "refused large";
    put(element("draw-stage"), words("refused", broken));
    return;
  }
  mount("paper", () => <Paper />);
  const [h, w] = data.input;
  examples.forEach((x, n) => {
    const id = `example${n}`;
    element(id).onclick = () => show(n);
    mount(id, () => <Canvas width={36} height={(36 * h) / w} paint={(context) => paintMap(context, x, 0, 0, 0, 36 / w, extent(x.data))} style={{ width: "36px" }} />);
  });
  // The net explained is the first head.
  const found = computed(() => answers(drawing.value));
  effect(() => {
    const p = found.value[0]!;
    put(element("verdict"), bestOf(p));
    all("#chances tr").forEach((row, k) => {
      fill(row, p[k]!);
      row.className = k === best(p) ? "mark" : "";
    });
    tell("answers", found.value);
  });
  element("paper").parentElement!.onkeydown = onKey;
  element("clear").onclick = () => show(-1, new Float32Array(H * W));
  element("given").onclick = () => show(-1);
  showPen();
}
