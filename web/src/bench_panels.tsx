/** Panels 2 and 3: a window slides over an input and its output appears; its gradient flows back the same way. */
import { computed, effect, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { app } from "./app.ts";
import { call, countedOf, has, OPS, ready, result, sharesOf, tapsOf, valueOf, type Op, type Ready, type Setting, type Tap } from "./bench.ts";
import { tensor, type Axis, type Tensor } from "./contract.ts";
import { Button, Choice, Figure, Formula, Panel, Select, Slider, Switch } from "./controls.tsx";
import { Field, fly, type Box, type Cell } from "./field.tsx";
import { extent } from "./paint.ts";
import { choice, control, count, moves, spoken } from "./state.ts";
import { fmt, terms } from "./text.ts";
import { overhang, type Pads } from "./windows.ts";

const op = choice<Op>("op", OPS.map(([name]) => name));
const input = control<string>("in", "");
const typed = control<string>("x", "");
const window = { r: count("k", 2, 1, 6), c: count("kc", 2, 1, 6) };
const strides = { r: count("s", 2, 1, 6), c: count("sc", 2, 1, 6) };
const dilation = { r: count("d", 1, 1, 3), c: count("dc", 1, 1, 3) };
const locked = control<boolean>("lock", true);
const padding = choice("pad", ["valid", "same", "sides"] as const);
const sides = ["pt", "pb", "pl", "pr"].map((key) => count(key, 1, 0, 3));
const ceil = control<boolean>("ceil", false);
const p = control<number>("p", 3, (v) => v >= 1 && v <= 16);
const r = control<number>("r", 1, (v) => v > 0 && v <= 16);
const ties = choice("ties", ["first", "split"] as const);
const weights = control<string>("w", "1 0 -1 2 0 -2 1 0 -1", (text) => text.split(" ").length === 9 && text.split(" ").every((t) => Number.isFinite(Number(t))));
const out = { r: count("or", 3, 1, 6), c: count("oc", 3, 1, 6) };
const pick = { p: count("op_r", 0, 0, 99), q: count("op_c", 0, 0, 99) };
const cell = { i: count("x_r", 0, 0, 99), j: count("x_c", 0, 0, 99) };
const which = choice("back", ["one", "all"] as const);

const LARGEST = 12; // rows and columns of an own map that the bench shows

/** Names of inputs: those of the file, the maps of the net that are small enough, and what is typed. */
const inputs = computed(() => {
  const found = new Map<string, Tensor>();
  for (const [name, id] of Object.entries(app.data.bench.inputs)) {
    const t = app.arrays.get(id)!;
    found.set(name, tensor([t.shape.at(-3) ?? 1, t.shape.at(-2)!, 1], t.data));
  }
  const add = (name: string, t: Tensor | null | undefined): void => {
    if (t?.shape.length !== 3 || Math.max(t.shape[0]!, t.shape[1]!) > LARGEST || Math.max(t.shape[0]!, t.shape[1]!) < 2) return;
    const [h, w, c] = t.shape as [number, number, number];
    const k = strongest(t);
    found.set(name, tensor([h, w, 1], Float32Array.from({ length: h * w }, (_, n) => t.data[n * c + k]!)));
  };
  add("your image", app.image);
  app.data.net.forEach((layer, n) => add(layer.name, app.values[n]));
  return found;
});

const strongest = (t: Tensor): number => {
  const c = t.shape[2]!;
  let [best, most] = [0, -1];
  for (let k = 0; k < c; k++) {
    const size = extent(t.data.filter((_, n) => n % c === k));
    if (size > most) [best, most] = [k, size];
  }
  return best;
};

/** Digits that were typed, a row on each line, as a map; null if rows differ or there are none. */
function parse(text: string): Tensor | null {
  const rows = text.split("/").map((line) => [...line].filter((c) => /\d/.test(c)).map(Number)).filter((line) => line.length);
  const w = rows[0]?.length ?? 0;
  if (!w || w > LARGEST || rows.length > LARGEST || rows.some((line) => line.length !== w)) return null;
  return tensor([rows.length, w, 1], Float32Array.from(rows.flat()));
}

const x = computed<Tensor>(() => {
  const all = inputs.value;
  if (input.value === "typed") return parse(typed.value) ?? tensor([1, 1, 1]);
  return all.get(input.value) ?? [...all.values()][0]!;
});

const setting = computed<Setting>(() => {
  const [t, b, l, ri] = sides.map((s) => s.value) as [number, number, number, number];
  const pads: Pads = padding.value === "same" ? "same" : padding.value === "valid" ? [[0, 0], [0, 0]] : [[t, b], [l, ri]];
  const pair = (a: { r: { value: number }; c: { value: number } }): [number, number] => [a.r.value, locked.value ? a.r.value : a.c.value];
  return {
    op: op.value,
    window: pair(window),
    strides: pair(strides),
    dilation: pair(dilation),
    pads,
    ceil: ceil.value,
    ties: ties.value,
    p: p.value,
    r: r.value,
    weights: weights.value.split(" ").map(Number),
    out: pair(out),
  };
});

const state = computed<Ready | string>(() => ready(setting.value, [x.value.shape[0]!, x.value.shape[1]!]));
const output = computed(() => (typeof state.value === "string" ? null : result(state.value, x.value)));
const done = signal(Infinity); // windows that have been computed, while the window slides
const playing = signal<"" | "forward" | "back">("");

const read = (row: number, col: number): number => x.value.data[row * x.value.shape[1]! + col]!;
const chosen = (ready: Ready): [number, number] => {
  const [rows, cols] = ready.axes;
  return [Math.min(pick.p.value, rows.out - 1), Math.min(pick.q.value, cols.out - 1)];
};

/** How the padded input is laid out: its first row and column, and how many there are. */
function frame([rows, cols]: [Axis, Axis]) {
  const extra = (a: Axis): number => a.before + a.n + a.after + overhang(a);
  return { top: Math.max(0, rows.before), left: Math.max(0, cols.before), h: extra(rows), w: extra(cols) };
}

const kindAt = (a: Axis, n: number): "in" | "pad" | "over" => (n < 0 || (n >= a.n && n < a.n + a.after) ? "pad" : n >= a.n + a.after ? "over" : "in");

function outside(axes: [Axis, Axis], i: number, j: number): "pad" | "over" | undefined {
  const kinds = [kindAt(axes[0], i), kindAt(axes[1], j)];
  return kinds.includes("over") ? "over" : kinds.includes("pad") ? "pad" : undefined;
}

function unread(ready: Ready): Set<number> {
  const w = x.value.shape[1]!;
  const all = new Set(Array.from({ length: x.value.data.length }, (_, n) => n));
  const [rows, cols] = ready.axes;
  for (let a = 0; a < rows.out; a++)
    for (let b = 0; b < cols.out; b++) for (const t of tapsOf(ready, a, b)) if (t.row >= 0 && t.col >= 0) all.delete(t.row * w + t.col);
  return all;
}

const boxesOf = (ready: Ready, taps: Tap[], tone: Box["tone"]): Box[] => {
  const { top, left } = frame(ready.axes);
  const [i, j] = [Math.min(...taps.map((t) => t.i)), Math.min(...taps.map((t) => t.j))];
  const [h, w] = [Math.max(...taps.map((t) => t.i)) - i + 1, Math.max(...taps.map((t) => t.j)) - j + 1];
  const dots = taps.length < h * w ? taps.map((t): Box => ({ i: t.i + top, j: t.j + left, h: 1, w: 1, ...(tone ? { tone } : {}), soft: true })) : [];
  return [{ i: i + top, j: j + left, h, w, ...(tone ? { tone } : {}) }, ...dots];
};

/** Move through the windows one by one; without motion all appear at once. */
let timer = 0;
function play(direction: "forward" | "back"): void {
  clearInterval(timer);
  if (playing.value === direction || typeof state.value === "string" || !moves()) {
    playing.value = "";
    done.value = Infinity;
    return;
  }
  const ready = state.value;
  const [rows, cols] = ready.axes;
  const total = rows.out * cols.out;
  playing.value = direction;
  done.value = 0;
  const tick = (): void => {
    const n = done.value;
    if (n >= total) {
      clearInterval(timer);
      playing.value = "";
      done.value = Infinity;
      return;
    }
    [pick.p.value, pick.q.value] = [Math.floor(n / cols.out), n % cols.out];
    done.value = n + 1;
    requestAnimationFrame(() => {
      const id = direction === "forward" ? "bench" : "back";
      const [box, target] = [document.querySelector(`#${id}-in .box`), document.querySelector(`#${id}-out .box`)];
      if (direction === "forward") fly(box, target, fmt(output.value!.data[n]!), "value");
      else fly(target, box, "1", "grad");
    });
  };
  tick();
  timer = globalThis.setInterval(tick, 750) as unknown as number;
}

const colourScale = (): number => Math.max(extent(x.value.data), 1e-9);

function formulaOf(ready: Ready, taps: Tap[]): string {
  const real = taps.filter((t) => t.row >= 0 && t.col >= 0);
  const v = real.map((t) => read(t.row, t.col));
  const n = countedOf(ready, taps);
  const y = fmt(valueOf(ready, taps, read), 4);
  const list = v.length > 9 ? `${v.slice(0, 8).map((a) => fmt(a)).join(", ")}, … (${v.length} elements)` : v.map((a) => fmt(a)).join(", ");
  if (ready.kernel) return `${real.slice(0, 9).map((t) => `${fmt(read(t.row, t.col))}·${t.weight < 0 ? `(${fmt(t.weight)})` : fmt(t.weight)}`).join(" + ")}${real.length > 9 ? " + …" : ""} = ${y}`;
  switch (setting.value.op) {
    case "max":
    case "gmax":
    case "amax":
      return `max(${list}) = ${y}`;
    case "average":
    case "counted":
    case "gavg":
    case "aavg":
      return `(${terms(v)}) / ${n} = ${y}`;
    case "lp":
      return `(Σ |x|^${fmt(p.value)})^(1/${fmt(p.value)}) of ${list} = ${y}`;
    case "gem":
      return `(mean of x^${fmt(p.value)})^(1/${fmt(p.value)}) of ${list} = ${y}`;
    case "lme":
      return `log(mean of exp(${fmt(r.value)} x)) / ${fmt(r.value)} of ${list} = ${y}`;
    default:
      return `Σ exp(x) x / Σ exp(x) of ${list} = ${y}`;
  }
}

function Pair({ label, state: s, least, most }: { label: string; state: { r: typeof window.r; c: typeof window.c }; least: number; most: number }) {
  if (locked.value) return <Slider label={label} state={s.r} least={least} most={most} />;
  return (
    <>
      <Slider label={`${label}, rows`} state={s.r} least={least} most={most} />
      <Slider label={`${label}, columns`} state={s.c} least={least} most={most} />
    </>
  );
}

function Weights() {
  const w = weights.value.split(" ");
  return (
    <fieldset class="weights">
      <legend>kernel</legend>
      {w.map((v, n) => (
        <input
          key={n}
          type="number"
          step="any"
          aria-label={`weight in row ${Math.floor(n / 3) + 1}, column ${(n % 3) + 1}`}
          value={v}
          onInput={(e) => {
            const text = e.currentTarget.value;
            if (text !== "" && Number.isFinite(Number(text))) weights.value = w.map((a, k) => (k === n ? String(Number(text)) : a)).join(" ");
          }}
        />
      ))}
    </fieldset>
  );
}

function Controls() {
  const h = has(op.value);
  const names = [...[...inputs.value.keys()].map((n) => [n, n] as const), ["typed", "typed digits"] as const];
  return (
    <div class="controls">
      <Select label="operation" state={op as unknown as typeof input} names={OPS} />
      <Select label="input" state={input} names={names.map(([n, text], k) => [k ? n : "", text])} />
      {input.value === "typed" && (
        <label class="typed">
          <span class="name">digits 0 to 9, one row on each line</span>
          <textarea
            rows={4}
            spellcheck={false}
            value={typed.value.replaceAll("/", "\n")}
            onInput={(e) => (typed.value = e.currentTarget.value.trim().replace(/\s*\n\s*/g, "/"))}
          />
          {!parse(typed.value) && <span class="error">Type rows of the same length, at most {LARGEST} digits each.</span>}
        </label>
      )}
      {h.window && op.value !== "conv" && <Pair label="window" state={window} least={1} most={6} />}
      {h.window && <Pair label="stride" state={strides} least={1} most={6} />}
      {h.free && <Pair label="dilation" state={dilation} least={1} most={3} />}
      {h.out && <Pair label="output" state={out} least={1} most={6} />}
      {(op.value === "lp" || op.value === "gem") && <Slider label="p" state={p} least={1} most={16} by={0.5} show={fmt} />}
      {op.value === "lme" && <Slider label="r" state={r} least={0.25} most={16} by={0.25} show={fmt} />}
      {op.value === "conv" && <Weights />}
      {h.free && (
        <Choice
          label="padding"
          state={padding}
          names={[
            ["valid", "valid"],
            ["same", "same"],
            ["sides", "four sides"],
          ]}
        />
      )}
      {h.free && padding.value === "sides" && (
        <>
          {["top", "bottom", "left", "right"].map((name, n) => (
            <Slider key={name} label={`${name} padding`} state={sides[n]!} least={0} most={3} />
          ))}
        </>
      )}
      <div class="switches">
        {(h.window || h.out) && <Switch label="rows and columns alike" state={locked} />}
        {h.ceil && <Switch label="ceil mode" state={ceil} />}
      </div>
      {h.ties && (
        <Choice
          label="ties"
          state={ties}
          names={[
            ["first", "first"],
            ["split", "split"],
          ]}
        />
      )}
    </div>
  );
}

function Refused({ text }: { text: string }) {
  return (
    <p class="refused" role="alert">
      {text}
    </p>
  );
}

const sized = (n: number): number => Math.max(20, Math.min(46, Math.floor(400 / n)));

function Forward({ ready }: { ready: Ready }) {
  const [rows, cols] = ready.axes;
  const f = frame(ready.axes);
  const [a, b] = chosen(ready);
  const taps = tapsOf(ready, a, b);
  const y = output.value!;
  const idle = unread(ready);
  const w = x.value.shape[1]!;
  const most = colourScale();
  const side = sized(Math.max(f.h, f.w));
  const input = (i: number, j: number): Cell => {
    const [row, col] = [i - f.top, j - f.left];
    const out = outside(ready.axes, row, col);
    if (out) {
      const copied = ready.layer.mode === "reflect" ? taps.find((t) => t.i === row && t.j === col) : undefined;
      return { v: copied ? read(copied.row, copied.col) : null, kind: out };
    }
    return { v: read(row, col), ...(idle.has(row * w + col) ? { kind: "unread" as const } : {}) };
  };
  return (
    <>
      <div class="flow">
        <Figure title={`input, ${rows.n} × ${cols.n}`}>
          <Field
            id="bench-in"
            label="input with its padding"
            rows={f.h}
            cols={f.w}
            origin={[f.top, f.left]}
            at={input}
            most={most}
            cell={side}
            numbers
            boxes={boxesOf(ready, taps, "value")}
            onPick={(i, j) => aim(ready, i - f.top, j - f.left)}
            pick={null}
          />
        </Figure>
        <div class="arrow" aria-hidden="true" />
        <Figure title={`output, ${rows.out} × ${cols.out}`}>
          <Field
            id="bench-out"
            label="output"
            rows={rows.out}
            cols={cols.out}
            at={(i, j) => ({ v: i * cols.out + j < done.value ? y.data[i * cols.out + j]! : null })}
            most={Math.max(extent(y.data), 1e-9)}
            cell={sized(Math.max(rows.out, cols.out, 5))}
            numbers
            pick={[a, b]}
            onPick={(i, j) => {
              [pick.p.value, pick.q.value] = [i, j];
            }}
            boxes={[{ i: a, j: b, h: 1, w: 1, tone: "value" }]}
          />
        </Figure>
      </div>
      <Formula>
        <b>
          row {a + 1}, column {b + 1}:
        </b>{" "}
        {formulaOf(ready, taps)}
      </Formula>
    </>
  );
}

/** Choose the first window that reads an element of the input. */
function aim(ready: Ready, row: number, col: number): void {
  const [rows, cols] = ready.axes;
  for (let a = 0; a < rows.out; a++)
    for (let b = 0; b < cols.out; b++)
      if (tapsOf(ready, a, b).some((t) => t.row === row && t.col === col)) {
        [pick.p.value, pick.q.value] = [a, b];
        return;
      }
}

const Legend = ({ idle, over }: { idle: boolean; over: boolean }) => (
  <ul class="legend">
    <li>
      <i class="k-pad" /> padding
    </li>
    {over && (
      <li>
        <i class="k-over" /> past the padding (ceil mode)
      </li>
    )}
    {idle && (
      <li>
        <i class="k-unread" /> read by no window
      </li>
    )}
  </ul>
);

export function Bench() {
  const ready = state.value;
  useEffect(
    () =>
      effect(() => {
        void setting.value;
        void x.value;
        clearInterval(timer);
        playing.value = "";
        done.value = Infinity;
      }),
    [],
  );
  return (
    <Panel
      id="bench"
      number={2}
      title="A window and what it makes of its numbers"
      lede="A window slides over one map, and each of its positions gives one number of the output. Choose what it computes and how it moves; click a place of the output, or of the input, to see where a number comes from."
    >
      <div class="wide split">
        <Controls />
        <div class="stage">
          {typeof ready === "string" ? (
            <Refused text={ready} />
          ) : (
            <>
              <Forward ready={ready} />
              <p class="sizes">
                <span>
                  rows <code>{ready.sizes[0]}</code>
                </span>
                <span>
                  columns <code>{ready.sizes[1]}</code>
                </span>
              </p>
              <div class="under">
                <Button main onClick={() => play("forward")}>
                  {playing.value === "forward" ? "Stop" : "Slide the window"}
                </Button>
                <Legend idle={unread(ready).size > 0} over={ready.axes.some((a) => overhang(a) > 0)} />
              </div>
            </>
          )}
          <Call />
        </div>
      </div>
    </Panel>
  );
}

function Call() {
  const text = call(setting.value);
  const select = (node: Element): void => getSelection()?.selectAllChildren(node);
  return (
    <p class="call">
      <span>In Python</span> <code id="call">{text}</code>{" "}
      <Button
        onClick={() => {
          select(document.getElementById("call")!);
          navigator.clipboard?.writeText(text).then(
            () => (spoken.value = "Copied."),
            () => (spoken.value = "Selected; copy it with the keyboard."),
          );
        }}
      >
        Copy
      </Button>
    </p>
  );
}

/** The gradient of the chosen output, or of all of them, at each element of the input, and the parts it is made of. */
function parts(ready: Ready): Map<number, number[]> {
  const [rows, cols] = ready.axes;
  const [p, q] = chosen(ready);
  const found = new Map<number, number[]>();
  const upTo = playing.value === "back" ? done.value : Infinity;
  for (let a = 0; a < rows.out; a++)
    for (let b = 0; b < cols.out; b++) {
      if (which.value === "one" ? a !== p || b !== q : a * cols.out + b >= upTo) continue;
      for (const { tap, share } of sharesOf(ready, tapsOf(ready, a, b), read)) {
        const at = tap.row * x.value.shape[1]! + tap.col;
        if (share !== 0) found.set(at, [...(found.get(at) ?? []), share]);
      }
    }
  return found;
}

/** The difference quotient at one element, in float64: (y(x + h) - y(x - h)) / 2h. */
function quotient(ready: Ready, at: number, h: number): number {
  const w = x.value.shape[1]!;
  const [rows, cols] = ready.axes;
  const [p, q] = chosen(ready);
  const sum = (d: number): number => {
    let total = 0;
    for (let a = 0; a < rows.out; a++)
      for (let b = 0; b < cols.out; b++)
        if (which.value === "all" || (a === p && b === q))
          total += valueOf(ready, tapsOf(ready, a, b), (row, col) => read(row, col) + (row * w + col === at ? d : 0));
    return total;
  };
  return (sum(h) - sum(-h)) / (2 * h);
}

export function Backward() {
  const ready = state.value;
  return (
    <Panel
      id="back"
      number={3}
      title="Its gradient goes back the same way"
      lede="Suppose that the loss grows by 1 for each unit of an output. The window hands that gradient to the elements it has read: a maximum to one of them, an average to all in equal parts. Where windows overlap, the parts add up."
    >
      {typeof ready === "string" ? <Refused text={ready} /> : <Back ready={ready} />}
    </Panel>
  );
}

function Back({ ready }: { ready: Ready }) {
  const [rows, cols] = ready.axes;
  const f = frame(ready.axes);
  const [a, b] = chosen(ready);
  const taps = tapsOf(ready, a, b);
  const found = parts(ready);
  const w = x.value.shape[1]!;
  const sums = new Map([...found].map(([at, v]) => [at, v.reduce((s, c) => s + c, 0)]));
  const most = Math.max(extent([...sums.values()]), 1e-9);
  const [i, j] = [Math.min(cell.i.value, rows.n - 1), Math.min(cell.j.value, cols.n - 1)];
  const at = i * w + j;
  const total = sums.get(at) ?? 0;
  const h = 1e-4;
  const slope = quotient(ready, at, h);
  const agrees = Math.abs(slope - total) < 1e-4 * Math.max(1, Math.abs(total));
  const side = sized(Math.max(f.h, f.w));
  return (
    <div class="wide stage">
      <div class="row">
        <Choice
          label="gradient of"
          state={which}
          names={[
            ["one", "one output"],
            ["all", "all outputs"],
          ]}
        />
        {which.value === "all" && (
          <Button main onClick={() => play("back")}>
            {playing.value === "back" ? "Stop" : "Send them back one by one"}
          </Button>
        )}
      </div>
      <div class="flow reverse">
        <Figure title="gradient at the input">
          <Field
            id="back-in"
            label="gradient at the input"
            rows={f.h}
            cols={f.w}
            origin={[f.top, f.left]}
            tone="grad"
            at={(r, c) => {
              const [row, col] = [r - f.top, c - f.left];
              const out = outside(ready.axes, row, col);
              return out ? { v: null, kind: out } : { v: sums.get(row * w + col) ?? 0 };
            }}
            most={most}
            cell={side}
            numbers
            pick={[i + f.top, j + f.left]}
            onPick={(r, c) => {
              cell.i.value = Math.max(0, Math.min(rows.n - 1, r - f.top));
              cell.j.value = Math.max(0, Math.min(cols.n - 1, c - f.left));
            }}
            boxes={[...boxesOf(ready, taps, "grad"), { i: i + f.top, j: j + f.left, h: 1, w: 1, tone: "ink" }]}
          />
        </Figure>
        <div class="arrow" aria-hidden="true" />
        <Figure title="gradient at the output">
          <Field
            id="back-out"
            label="gradient at the output"
            rows={rows.out}
            cols={cols.out}
            tone="grad"
            at={(r, c) => ({ v: which.value === "all" || (r === a && c === b) ? 1 : 0 })}
            most={1}
            cell={sized(Math.max(rows.out, cols.out, 5))}
            numbers
            scale={false}
            pick={[a, b]}
            onPick={(r, c) => {
              [pick.p.value, pick.q.value] = [r, c];
            }}
            boxes={[{ i: a, j: b, h: 1, w: 1, tone: "grad" }]}
          />
        </Figure>
      </div>
      <Formula>
        <b>
          input row {i + 1}, column {j + 1}:
        </b>{" "}
        {(found.get(at)?.length ?? 0) > 1 ? `${terms(found.get(at)!)} = ` : ""}
        {fmt(total, 4)}
        <span class={agrees ? "ok" : "off"}>
          {" "}
          difference quotient {fmt(slope, 4)} {agrees ? "✓ agrees" : "differs: at a tie or a corner the slope is not defined, and the library chooses"}
        </span>
      </Formula>
      <p class="note">
        {shareLine(ready, taps)} The quotient is (y(x + h) − y(x − h)) / 2h with h = 10⁻⁴.
      </p>
    </div>
  );
}

function shareLine(ready: Ready, taps: Tap[]): string {
  const n = countedOf(ready, taps);
  switch (setting.value.op) {
    case "max":
    case "gmax":
    case "amax":
      return ties.value === "first" ? "The first maximum in row order gets all of the gradient." : "All maxima get equal parts of the gradient.";
    case "average":
    case "counted":
    case "gavg":
    case "aavg":
      return `Each element gets 1 / ${n} = ${fmt(1 / n)} of the gradient of its window.`;
    case "lp":
      return `Each element gets (|x| / y)^${fmt(p.value - 1)} with its sign.`;
    case "gem":
      return `Each element gets (x / y)^${fmt(p.value - 1)} / ${taps.filter((t) => t.row >= 0 && t.col >= 0).length}.`;
    case "lme":
      return `Each element gets its softmax weight, exp(${fmt(r.value)} x) divided by their sum.`;
    case "soft":
      return "Each element gets its softmax weight times 1 + x − y.";
    default:
      return "Each element gets the kernel element at its tap.";
  }
}

