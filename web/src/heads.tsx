/** Panels 5 to 7: the same image through each head, shifted, and drawn by hand. */
import { computed, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { answer, app, best, named } from "./app.ts";
import { real, tensor, type Head, type Tensor } from "./contract.ts";
import { Button, Choice, Formula, Panel, Switch } from "./controls.tsx";
import { Bars, Field, Scale, usePaint } from "./field.tsx";
import { softmax } from "./ops.ts";
import { colour, css, extent, shade } from "./paint.ts";
import { control, count, theme } from "./state.ts";
import { fmt, percent, plural, thousands } from "./text.ts";

const shownClass = control<string>("class", "", (t) => t === "" || /^\d+$/.test(t));
const shift = { y: count("dy", 0, -3, 3), x: count("dx", 0, -3, 3) };

const probabilities = (logits: ArrayLike<number>): number[] => [...softmax(tensor([logits.length], Float32Array.from(logits))).data];
const given = (head: Head): number[] => head.logits.map(real);

function ClassMap({ head, k, most }: { head: Head; k: number; most: number }) {
  const maps = app.arrays.get(head.class_maps)!;
  const [, h, w] = maps.shape as [number, number, number];
  const won = head.winners ? app.arrays.get(head.winners) : undefined;
  const cell = (i: number, j: number): number => maps.data[(k * h + i) * w + j]!;
  const total = maps.data.subarray(k * h * w, (k + 1) * h * w).reduce((a, b) => a + b, 0);
  const bias = real(head.bias[k]!);
  const rest = real(head.remainder[k]!);
  const exact = head.exact;
  return (
    <>
      <Field
        label={`class map of ${named(k)} for head ${head.name}`}
        rows={h}
        cols={w}
        at={(i, j) => ({ v: cell(i, j), ring: won ? won.data[i * w + j]! > 0 : false })}
        most={most}
        cell={Math.max(8, Math.min(48, Math.floor(216 / w)))}
        numbers={w <= 8}
        scale={false}
      />
      <p class="sum">
        <span>Σ {fmt(total)}</span> {bias < 0 ? "−" : "+"} <span>{fmt(Math.abs(bias))}</span> bias{" "}
        {exact ? "" : <span class="rest">{rest < 0 ? "−" : "+"} {fmt(Math.abs(rest))} remainder </span>}= <b>{fmt(given(head)[k]!)}</b>
      </p>
    </>
  );
}

export function Heads() {
  const { data, arrays } = app;
  const k = shownClass.value === "" ? data.label : Math.min(Number(shownClass.value), data.classes.length - 1);
  const most = Math.max(
    ...data.heads.map((head) => {
      const m = arrays.get(head.class_maps)!;
      const each = m.shape[1]! * m.shape[2]!;
      return extent(m.data.subarray(k * each, (k + 1) * each));
    }),
    1e-9,
  );
  return (
    <Panel
      id="heads"
      number={5}
      title="The heads side by side"
      lede="A head turns the last feature maps into one number per class. The class map shows which places brought it: activation times gradient, summed over channels. Places, bias and, where the head is not proportional to its input, a remainder add up to the logit."
    >
      <div class="wide">
        <Choice
          label="class"
          state={classChoice(k)}
          names={data.classes.map((name, n) => [String(n), name] as const)}
        />
        <ul class="cards">
          {data.heads.map((head) => {
            const logits = given(head);
            const says = best(logits);
            return (
              <li key={head.name}>
                <h3>{head.name}</h3>
                <p class={says === data.label ? "ok" : "off"}>
                  says {named(says)} <small>{percent(probabilities(logits)[says]!)}</small>
                </p>
                <ClassMap head={head} k={k} most={most} />
                <p class="cost">
                  {thousands(head.parameters)} parameters · {thousands(head.multiply_adds)} multiply-adds
                </p>
              </li>
            );
          })}
        </ul>
        <div class="row">
          <Scale most={most} tone="value" signed />
          <p class="note">
            One scale for all heads. {data.heads.some((h) => h.winners) && "A ring marks places where a maximum was found, which are all that such a head looks at."}
          </p>
        </div>
      </div>
    </Panel>
  );
}

/** The state of the class control, which shows the label until another class is chosen. */
const classChoice = (k: number) =>
  ({
    get value() {
      return String(k);
    },
    set value(v: string) {
      shownClass.value = Number(v) === app.data.label ? "" : v;
    },
  }) as typeof shownClass;

/** Move an image; zeros come in from outside. */
function moved(x: Tensor, dy: number, dx: number): Tensor {
  const [h, w, c] = x.shape as [number, number, number];
  const y = tensor(x.shape);
  for (let i = 0; i < h; i++)
    for (let j = 0; j < w; j++) {
      const [a, b] = [i - dy, j - dx];
      if (a >= 0 && b >= 0 && a < h && b < w) for (let k = 0; k < c; k++) y.data[(i * w + j) * c + k] = x.data[(a * w + b) * c + k]!;
    }
  return y;
}

function Answers({ image }: { image: Tensor }) {
  return (
    <ul class="answers" aria-live="polite">
      {app.data.heads.map((head) => {
        const logits = answer(head.net, image);
        if (!logits) return <li key={head.name}>{head.name}: the page cannot compute one of its layers.</li>;
        const p = probabilities(logits);
        const says = best(p);
        return (
          <li key={head.name}>
            <b>{head.name}</b>
            <span class="says">{named(says)}</span>
            <span class="meter" aria-hidden="true">
              <i style={{ width: `${100 * p[says]!}%` }} />
            </span>
            <span class="num">{percent(p[says]!)}</span>
          </li>
        );
      })}
    </ul>
  );
}

function Picture({ label, image, side }: { label: string; image: Tensor; side?: number }) {
  const [h, w, c] = image.shape as [number, number, number];
  return (
    <Field
      label={label}
      rows={h}
      cols={w}
      at={(i, j) => ({ v: image.data[(i * w + j) * c]! })}
      most={Math.max(extent(image.data), 1e-9)}
      cell={Math.max(4, Math.floor((side ?? 280) / w))}
      numbers={w <= 8}
    />
  );
}

const shifted = computed(() => moved(app.image, shift.y.value, shift.x.value));

export function Shift() {
  const { range, consistency, images } = app.data.shift ?? { range: 3, consistency: {}, images: 0 };
  const move = (dy: number, dx: number): void => {
    shift.y.value = Math.max(-range, Math.min(range, shift.y.value + dy));
    shift.x.value = Math.max(-range, Math.min(range, shift.x.value + dx));
  };
  const [dy, dx] = [shift.y.value, shift.x.value];
  return (
    <Panel
      id="shift"
      number={6}
      title="Move the image a little"
      lede="The digit stays the same when it moves by a pixel or two, and a good head should not change its answer. Move the image, and compare with how often each head kept its answer over the test images."
    >
      <div class="wide split even">
        <div>
          <Picture label="the moved image" image={shifted.value} />
          <div class="pad" role="group" aria-label="Move the image">
            <Button label="Move up" off={dy <= -range} onClick={() => move(-1, 0)}>
              ↑
            </Button>
            <Button label="Move left" off={dx <= -range} onClick={() => move(0, -1)}>
              ←
            </Button>
            <Button label="Back to the middle" onClick={() => ([shift.y.value, shift.x.value] = [0, 0])}>
              •
            </Button>
            <Button label="Move right" off={dx >= range} onClick={() => move(0, 1)}>
              →
            </Button>
            <Button label="Move down" off={dy >= range} onClick={() => move(1, 0)}>
              ↓
            </Button>
          </div>
          <Formula>
            moved by {dy} {Math.abs(dy) === 1 ? "row" : "rows"} and {dx} {Math.abs(dx) === 1 ? "column" : "columns"}
          </Formula>
        </div>
        <Answers image={shifted.value} />
      </div>
      {images > 0 && <div class="wide">
        <h3>How often the answer stayed the same, over {plural(images, "image")}</h3>
        <ul class="cards small">
          {Object.entries(consistency).map(([name, table]) => (
            <li key={name}>
              <h4>{name}</h4>
              <Field
                label={`consistency of ${name} by rows and columns moved`}
                rows={table.length}
                cols={table[0]!.length}
                origin={[range + 1, range + 1]}
                at={(i, j) => ({ v: real(table[i]![j]!), text: String(Math.round(100 * real(table[i]![j]!))) })}
                most={1}
                cell={28}
                numbers
                scale={false}
                pick={[dy + range, dx + range]}
                onPick={(i, j) => ([shift.y.value, shift.x.value] = [i - range, j - range])}
                boxes={[{ i: dy + range, j: dx + range, h: 1, w: 1, tone: "ink" }]}
              />
            </li>
          ))}
        </ul>
        <p class="note">In percent. Rows are moves up and down, columns left and right; the middle is the image where it was.</p>
      </div>}
    </Panel>
  );
}

const FINE = 4; // strokes are kept on a grid this much finer than the image
const ink = signal<Float32Array | null>(null); // null: the given image
const example = signal(-1);
const centred = control<boolean>("centre", false);

const fine = (): [number, number] => [app.data.input[0] * FINE, app.data.input[1] * FINE];

/** The strokes as the net sees them: averaged over pixels, centred if that is wanted. */
const drawing = computed<Tensor>(() => {
  if (!ink.value) return example.value >= 0 ? app.examples[example.value]! : app.image;
  const [h, w, c] = app.data.input;
  const at = centred.value ? centring(ink.value) : (i: number, j: number): [number, number] => [i, j];
  const [H, W] = fine();
  const out = tensor([h, w, c]);
  for (let i = 0; i < H; i++)
    for (let j = 0; j < W; j++) {
      const [a, b] = at(i, j).map(Math.round) as [number, number];
      const v = a >= 0 && b >= 0 && a < H && b < W ? ink.value[a * W + b]! : 0;
      for (let k = 0; k < c; k++) out.data[(Math.floor(i / FINE) * w + Math.floor(j / FINE)) * c + k]! += v / FINE ** 2;
    }
  return out;
});

/** MNIST's rule: the box of the strokes fills 20 of 28 pixels, their centre of mass lies in the middle. */
function centring(strokes: Float32Array): (i: number, j: number) => [number, number] {
  const [H, W] = fine();
  let [top, bottom, left, right, mass, y, x] = [H, -1, W, -1, 0, 0, 0];
  strokes.forEach((v, n) => {
    if (!v) return;
    const [i, j] = [Math.floor(n / W), n % W];
    [top, bottom, left, right] = [Math.min(top, i), Math.max(bottom, i), Math.min(left, j), Math.max(right, j)];
    mass += v;
    y += v * i;
    x += v * j;
  });
  if (!mass) return (i, j) => [i, j];
  const zoom = Math.max(bottom - top + 1, right - left + 1) / ((20 / 28) * Math.max(H, W));
  return (i, j) => [y / mass + (i - (H - 1) / 2) * zoom, x / mass + (j - (W - 1) / 2) * zoom];
}

function stroke(y: number, x: number): void {
  const [H, W] = fine();
  const next = ink.value ? Float32Array.from(ink.value) : new Float32Array(H * W);
  const radius = Math.max(1.6, H / 17);
  for (let i = Math.max(0, Math.floor(y - radius - 1)); i < Math.min(H, y + radius + 1); i++)
    for (let j = Math.max(0, Math.floor(x - radius - 1)); j < Math.min(W, x + radius + 1); j++) {
      const v = Math.max(0, Math.min(1, radius + 0.5 - Math.hypot(i - y, j - x)));
      next[i * W + j] = Math.max(next[i * W + j]!, v);
    }
  ink.value = next;
}

function Pad() {
  const [H, W] = fine();
  const size = 300;
  const pen = useRef<[number, number]>([Math.floor(H / 2), Math.floor(W / 2)]);
  const cursor = useRef<HTMLDivElement>(null);
  const image = drawing.value;
  const [h, w, c] = app.data.input;
  const scale = size / w;
  const canvas = usePaint(size, (size * h) / w, (context) => {
    const most = Math.max(1, extent(image.data));
    for (let i = 0; i < h; i++)
      for (let j = 0; j < w; j++) {
        context.fillStyle = css(shade(image.data[(i * w + j) * c]!, most, "value"));
        context.fillRect(j * scale, i * scale, scale + 0.5, scale + 0.5);
      }
    context.strokeStyle = css(colour("line"));
    for (let n = 1; n < w; n++) context.strokeRect(n * scale, -1, 0, size * 2);
    for (let n = 1; n < h; n++) context.strokeRect(-1, n * scale, size + 2, 0);
  });
  void theme.value;
  const place = (event: PointerEvent): [number, number] => {
    const box = canvas.current!.getBoundingClientRect();
    return [((event.clientY - box.top) / box.height) * H, ((event.clientX - box.left) / box.width) * W];
  };
  const show = (): void => {
    const [y, x] = pen.current;
    Object.assign(cursor.current!.style, { top: `${(100 * (y + 0.5)) / H}%`, left: `${(100 * (x + 0.5)) / W}%` });
  };
  useEffect(show, []);
  const onKey = (event: KeyboardEvent): void => {
    const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (by) {
      pen.current = [Math.max(0, Math.min(H - 1, pen.current[0] + by[0]! * 2)), Math.max(0, Math.min(W - 1, pen.current[1] + by[1]! * 2))];
      if (event.shiftKey) stroke(...pen.current);
    } else if (event.key === " ") stroke(...pen.current);
    else return;
    event.preventDefault();
    show();
  };
  const last = useRef<[number, number] | null>(null);
  const draw = (event: PointerEvent): void => {
    const [y, x] = place(event);
    const [py, px] = last.current ?? [y, x];
    const n = Math.max(1, Math.ceil(Math.hypot(y - py, x - px)));
    for (let t = 1; t <= n; t++) stroke(py + ((y - py) * t) / n, px + ((x - px) * t) / n);
    last.current = [y, x];
  };
  return (
    <div
      class="draw"
      tabIndex={0}
      role="application"
      aria-label="Drawing area. Arrow keys move the pen, space draws, Shift and an arrow draw a line."
      onKeyDown={onKey}
    >
      <canvas
        ref={canvas}
        style={{ aspectRatio: `${w} / ${h}` }}
        onPointerDown={(e) => {
          e.currentTarget.setPointerCapture(e.pointerId);
          last.current = null;
          draw(e);
        }}
        onPointerMove={(e) => e.buttons && draw(e)}
      />
      <div class="pen" ref={cursor} />
    </div>
  );
}

export function Draw() {
  const { data, examples, broken } = app;
  const start = (n: number): void => {
    ink.value = null;
    example.value = n;
  };
  return (
    <Panel
      id="draw"
      number={7}
      title="Draw one yourself"
      lede="Draw with the mouse, a finger, or with the arrow keys and space. The net computes its answer here, in the page, with every stroke."
    >
      {broken ? (
        <p class="refused">{broken}, so that it cannot answer a drawing.</p>
      ) : (
        <div class="wide split even">
          <div>
            <Pad />
            <div class="row">
              <Button
                onClick={() => {
                  example.value = -1;
                  ink.value = new Float32Array(fine()[0] * fine()[1]);
                }}
              >
                Clear
              </Button>
              <Button onClick={() => start(-1)}>The given image</Button>
              <Switch label="centre as MNIST does" state={centred} />
            </div>
            {examples.length > 0 && (
              <div class="examples" role="group" aria-label="Examples">
                {examples.map((x, n) => (
                  <Button key={n} label={`Example ${n + 1}, a ${named(app.data.example_labels[n] ?? -1)}`} onClick={() => start(n)}>
                    <Thumb image={x} />
                  </Button>
                ))}
              </div>
            )}
            <p class="note">
              MNIST's images were scaled so that the digit fills 20 of 28 pixels, and moved so that its centre of mass lies in the middle. A net that has only seen
              such images is better at drawings that are centred in the same way.
            </p>
          </div>
          <div>
            <Verdict image={drawing.value} />
            <h3>All heads</h3>
            <Answers image={drawing.value} />
            <p class="note">{plural(data.heads.length, "head")}, each with a net of its own training.</p>
          </div>
        </div>
      )}
    </Panel>
  );
}

function Verdict({ image }: { image: Tensor }) {
  const logits = answer(app.data.net, image)!;
  const p = probabilities(logits);
  const says = best(p);
  return (
    <>
      <p class="verdict" aria-live="polite">
        The net says <b>{named(says)}</b>
      </p>
      <Bars label="probability of each class" names={app.data.classes} values={p} show={percent} most={1} mark={says} />
    </>
  );
}

function Thumb({ image }: { image: Tensor }) {
  const [h, w, c] = image.shape as [number, number, number];
  const canvas = usePaint(36, (36 * h) / w, (context) => {
    const s = 36 / w;
    const most = Math.max(1e-9, extent(image.data));
    for (let i = 0; i < h; i++)
      for (let j = 0; j < w; j++) {
        context.fillStyle = css(shade(image.data[(i * w + j) * c]!, most, "value"));
        context.fillRect(j * s, i * s, s + 0.3, s + 0.3);
      }
  });
  return <canvas ref={canvas} aria-hidden="true" style={{ width: "36px", height: `${(36 * h) / w}px` }} />;
}
