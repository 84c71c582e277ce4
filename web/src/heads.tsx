/** Panels 5 to 7: the same image through each head, shifted, and drawn by hand. */
import { answer, arrays, bestOf, broken, data, examples, image, named, probabilities } from "./app.ts";
import { real, tensor, type Head, type Tensor } from "./contract.ts";
import { Bars, boxAt, Canvas, channel, Field, paintMap, placeOf, Scale } from "./field.tsx";
import { best, ceil, clamp, extent, floor, max, min, round, sum, upTo } from "./math.ts";
import { colour, css } from "./paint.ts";
import { Button } from "./parts.tsx";
import { computed, signal } from "./signals.ts";
import { control, count, element, mount } from "./state.ts";
import { fmt, percent, plus, thousands } from "./text.ts";

const shownClass = control<string>("class", `${data.label}`);
const [down, right] = [count("dy", 0, -3, 3), count("dx", 0, -3, 3)];

function Card({ head, k, maps, most }: { head: Head; k: number; maps: Tensor; most: number }) {
  const [, h, w] = maps.shape as [number, number, number];
  const map = maps.data.subarray(k * h * w, (k + 1) * h * w);
  const won = arrays.get(head.winners!)?.data;
  const logits = head.logits.map(real);
  const says = best(logits);
  const p = probabilities(logits);
  return (
    <li>
      <h3>{head.name}</h3>
      <p class={says === data.label ? "ok" : "off"}>
        says {bestOf(p)} <small>{percent(p[says]!)}</small>
      </p>
      <Field
        name={head.name}
        label={`class map of ${named(k)} for head ${head.name}`}
        rows={h}
        cols={w}
        at={(i, j) => ({ v: map[i * w + j]!, ring: won ? won[i * w + j]! > 0 : false })}
        most={most}
        cell={clamp(floor(260 / w), 8, 56)}
        numbers={w <= 8}
        scale={false}
      />
      <p class="sum">
        Σ {fmt(sum([...map]))}
        {plus(real(head.bias[k]!))} bias {!head.exact && <span class="rest">{plus(real(head.remainder[k]!))} remainder </span>}= <b>{fmt(logits[k]!)}</b>
      </p>
      <p class="cost">
        {thousands(head.parameters)} parameters · {thousands(head.multiply_adds)} multiply-adds
      </p>
    </li>
  );
}

function Cards() {
  const k = clamp(+shownClass.value || 0, 0, data.classes.length - 1);
  const maps = data.heads.map((head) => arrays.get(head.class_maps)!);
  const most = max(1e-9, ...maps.map(({ data: m, shape: [, h, w] }) => extent(m.subarray(k * h! * w!, (k + 1) * h! * w!))));
  return (
    <>
      <ul class="cards">
        {data.heads.map((head, n) => (
          <Card head={head} k={k} maps={maps[n]!} most={most} />
        ))}
      </ul>
      <div class="row">
        <Scale most={most} tone="value" signed />
        <p class="note">
          One scale for all heads.{" "}
          {data.heads.some((h) => h.winners) && "A ring marks places where a maximum was found, which are all that such a head looks at."}
        </p>
      </div>
    </>
  );
}

/** Move an image; zeros come in from outside. */
function moved(x: Tensor, dy: number, dx: number): Tensor {
  const [h, w, c] = data.input;
  const y = tensor(x.shape);
  for (const i of upTo(h)) for (const j of upTo(w)) if (x.data[((i - dy) * w + j - dx) * c] !== undefined && j >= dx && j - dx < w) for (const k of upTo(c)) y.data[(i * w + j) * c + k] = x.data[((i - dy) * w + j - dx) * c + k]!;
  return y;
}

const answers = (x: Tensor) => data.heads.map((head) => answer(head.net, x));

const Answers = ({ all }: { all: ReturnType<typeof answers> }) => (
  <ul class="answers" aria-live="polite">
    {data.heads.map((head, n) => {
      const p = all[n];
      if (!p) return <li>{head.name}: the page cannot compute one of its layers.</li>;
      const most = percent(max(...p));
      return (
        <li>
          <b>{head.name}</b>
          <span class="says">{bestOf(p)}</span>
          <span class="meter" aria-hidden="true">
            <i style={{ width: `${100 * max(...p)}%` }} />
          </span>
          <span class="num">{most}</span>
        </li>
      );
    })}
  </ul>
);

const shifted = computed(() => moved(image, down.value, right.value));

function Shift() {
  const range = data.shift?.range ?? 3;
  const [dy, dx] = [down.value, right.value];
  const to = (y: number, x: number): void => void ([down.value, right.value] = [clamp(y, -range, range), clamp(x, -range, range)]);
  const [h, w] = data.input;
  const way = (name: string, arrow: string, y: number, x: number) => (
    <Button label={name} off={Math.abs(dy + y) > range || Math.abs(dx + x) > range} onClick={() => (y || x ? to(dy + y, dx + x) : to(0, 0))}>
      {arrow}
    </Button>
  );
  return (
    <>
      <div class="wide split even">
        <div>
          <Field label="the moved image" rows={h} cols={w} at={channel(shifted.value)} most={max(extent(shifted.value.data), 1e-9)} cell={max(4, floor(280 / w))} numbers={w <= 8} />
          <div class="pad" role="group" aria-label="Move the image">
            {way("Move up", "↑", -1, 0)}
            {way("Move left", "←", 0, -1)}
            {way("Back to the middle", "•", 0, 0)}
            {way("Move right", "→", 0, 1)}
            {way("Move down", "↓", 1, 0)}
          </div>
          <p class="formula" aria-live="polite">
            moved by {dy} {dy ** 2 === 1 ? "row" : "rows"} and {dx} {dx ** 2 === 1 ? "column" : "columns"}
          </p>
        </div>
        <div>
        <Answers all={answers(shifted.value)} />
      {data.shift && (
        <>
          <h3>How often the answer stayed the same, over {data.shift.images} images</h3>
          <ul class="cards">
            {Object.entries(data.shift.consistency).map(([name, table]) => (
              <li>
                <h4>{name}</h4>
                <Field
                  label={`consistency of ${name} by rows and columns moved`}
                  rows={2 * range + 1}
                  cols={2 * range + 1}
                  origin={[range + 1, range + 1]}
                  at={(i, j) => ({ v: real(table[i]![j]!), text: `${round(100 * real(table[i]![j]!))}` })}
                  most={1}
                  cell={28}
                  numbers
                  scale={false}
                  pick={[dy + range, dx + range]}
                  onPick={(i, j) => to(i - range, j - range)}
                  boxes={[boxAt(dy + range, dx + range, "ink")]}
                />
              </li>
            ))}
          </ul>
          <p class="note">In percent. Rows are moves up and down, columns left and right; the middle is the image where it was.</p>
        </>
      )}
        </div>
      </div>
    </>
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
  const at = centred.value ? centring(strokes) : (i: number, j: number) => [i, j];
  const out = tensor(data.input);
  for (const i of upTo(H))
    for (const j of upTo(W)) {
      const [a, b] = at(i, j).map(round) as [number, number];
      const v = b >= 0 && b < W ? (strokes[a * W + b] ?? 0) : 0;
      for (const k of upTo(c)) out.data[(floor(i / FINE) * w + floor(j / FINE)) * c + k]! += v / FINE ** 2;
    }
  return out;
});

/** MNIST's rule: the box of the strokes fills 20 of 28 pixels, their centre of mass lies in the middle. */
function centring(strokes: Float32Array): (i: number, j: number) => number[] {
  let [top, bottom, left, right, mass, y, x] = [H, -1, W, -1, 0, 0, 0];
  strokes.forEach((v, n) => {
    if (!v) return;
    const [i, j] = [floor(n / W), n % W];
    [top, bottom, left, right] = [min(top, i), max(bottom, i), min(left, j), max(right, j)];
    mass += v;
    y += v * i;
    x += v * j;
  });
  if (!mass) return (i, j) => [i, j];
  const zoom = max(bottom - top + 1, right - left + 1) / ((20 / 28) * max(H, W));
  return (i, j) => [y / mass + (i - (H - 1) / 2) * zoom, x / mass + (j - (W - 1) / 2) * zoom];
}

/** Draw from one place to another with a round pen. */
function stroke([fromY, fromX]: number[], [toY, toX]: number[]): void {
  const next = Float32Array.from(ink.value ?? new Float32Array(H * W));
  const radius = max(1.6, H / 17);
  const n = max(1, ceil(Math.hypot(toY! - fromY!, toX! - fromX!)));
  for (let t = 1; t <= n; t++) {
    const [y, x] = [fromY! + ((toY! - fromY!) * t) / n, fromX! + ((toX! - fromX!) * t) / n];
    for (let i = max(0, floor(y - radius - 1)); i < min(H, y + radius + 1); i++)
      for (let j = max(0, floor(x - radius - 1)); j < min(W, x + radius + 1); j++)
        next[i * W + j] = max(next[i * W + j]!, clamp(radius + 0.5 - Math.hypot(i - y, j - x), 0, 1));
  }
  ink.value = next;
}

let pen = [floor(H / 2), floor(W / 2)];
let last: number[] | undefined;

function drawTo(event: PointerEvent): void {
  const to = placeOf(event, H, W);
  stroke(last ?? to, to);
  last = to;
}

const showPen = (): void => void Object.assign(element("pen").style, { top: `${(100 * (pen[0]! + 0.5)) / H}%`, left: `${(100 * (pen[1]! + 0.5)) / W}%` });

function onKey(event: KeyboardEvent): void {
  const by = { ArrowUp: [-2, 0], ArrowDown: [2, 0], ArrowLeft: [0, -2], ArrowRight: [0, 2] }[event.key];
  if (by) pen = [clamp(pen[0]! + by[0]!, 0, H - 1), clamp(pen[1]! + by[1]!, 0, W - 1)];
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
        context.strokeStyle = css(colour("line"));
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

const Examples = () =>
  examples.map((x, n) => {
    const [h, w] = data.input;
    return (
      <Button label={`Example ${n + 1}, a ${named(data.example_labels[n]!)}`} onClick={() => show(n)}>
        <Canvas width={36} height={(36 * h) / w} paint={(context) => paintMap(context, x, 0, 0, 0, 36 / w, max(1e-9, extent(x.data)))} style={{ width: "36px", height: `${(36 * h) / w}px` }} />
      </Button>
    );
  });

function show(n: number, strokes?: Float32Array): void {
  ink.value = strokes;
  example.value = n;
}

function Verdict() {
  const all = answers(drawing.value);
  const p = all[0]!; // the net explained is the first head
  return (
    <>
      <p class="verdict" aria-live="polite">
        The net says <b>{bestOf(p)}</b>
      </p>
      <Bars label="probability of each class" names={data.classes} values={p} show={percent} mark={best(p)} />
      <h3>All heads</h3>
      <Answers all={all} />
    </>
  );
}

export function showHeads(): void {
  mount("cards", () => <Cards />);
  mount("shift-stage", () => <Shift />);
  if (broken) {
    element("draw-stage").className = "refused";
    element("draw-stage").textContent = `${broken}, so that it cannot answer a drawing.`;
    return;
  }
  mount("paper", () => <Paper />);
  mount("examples", () => Examples());
  mount("verdict", () => <Verdict />);
  element("paper").parentElement!.onkeydown = onKey;
  element("clear").onclick = () => show(-1, new Float32Array(H * W));
  element("given").onclick = () => show(-1);
  showPen();
}
