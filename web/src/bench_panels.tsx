/** Panels 2 and 3: a window slides over an input and its output appears; its gradient flows back the same way. */
import { data, arrays, values } from "./app.ts";
import { call, has, operations, quotient, reader, ready, texts, windowsOf, type Setting, type Window } from "./bench.ts";
import { tensor, type Axis, type Tensor } from "./contract.ts";
import { boxAround, boxAt, Field, fly, spot, sweep, type Box, type Cell } from "./field.tsx";
import { abs, ceil, clamp, extent, floor, max, min, sum, upTo } from "./math.ts";
import type { Tone } from "./paint.ts";
import { Figure, Formula } from "./parts.tsx";
import { computed, effect, signal, type Signal } from "./signals.ts";
import { choice, control, count, element, mount, moves, put, stop } from "./state.ts";
import { fmt, terms } from "./text.ts";
import { overhang } from "./windows.ts";
import { words } from "./words.ts";

const LARGEST = 12; // rows and columns of an own map that the bench shows

const two = (key: string, initial: number, most: number) => [count(key, initial, 1, most), count(`${key}c`, initial, 1, most)] as const;
const op = choice("op", ...operations.keys());
const input = control<string>("in", "");
const typed = control<string>("x", "");
const pairs = { window: two("k", 2, 6), strides: two("s", 2, 6), dilation: two("d", 1, 3), out: two("o", 3, 6) };
const alike = control<boolean>("lock", true);
const padding = choice("pad", "valid", "same", "sides");
const sides = ["pt", "pb", "pl", "pr"].map((key) => count(key, 1, 0, 3));
const up = control<boolean>("ceil", false);
const p = control<number>("p", 3, (v) => v >= 1 && v <= 16);
const r = control<number>("r", 1, (v) => v > 0 && v <= 16);
const ties = choice("ties", "first", "split");
const weights = [1, 0, -1, 2, 0, -2, 1, 0, -1].map((v, n) => control<number>(`w${n}`, v));
const pick = [count("op_r", 0, 0, 99), count("op_c", 0, 0, 99)] as const;
const cell = [count("x_r", -1, -1, 99), count("x_c", -1, -1, 99)] as const; // negative: the first that gets a gradient
const which = choice("back", "one", "all");

const set = ([i, j]: readonly [Signal<number>, Signal<number>], a: number, b: number): void => void ([i.value, j.value] = [a, b]);

const inputs = new Map<string, Tensor>();

/** Fill the list of inputs: those of the file, the maps of the net that are small enough, and what is typed. */
function list(): void {
  const add = (name: string, t?: Tensor): void => {
    const [h, w, c] = t?.shape ?? [];
    if (!c || max(h!, w!) > LARGEST || max(h!, w!) < 2) return;
    const of = (k: number): number[] => upTo(h! * w!).map((n) => t!.data[n * c + k]!);
    // The channel with the largest element.
    const [most] = upTo(c).sort((a, b) => extent(of(b)) - extent(of(a)));
    inputs.set(name, tensor([h!, w!, 1], of(most!)));
  };
  for (const [name, id] of Object.entries(data.bench.inputs)) add(name, arrays.get(id));
  data.net.forEach((layer, n) => add(layer.name, values[n]));
  const select = element("input") as HTMLSelectElement;
  [...inputs.keys()].forEach((name, n) => select.add(new Option(name, n ? name : ""), n));
}

/** Digits that were typed, a row on each line, as a map; nothing if rows differ or there are none. */
function parse(text: string): Tensor | undefined {
  const rows = text.split(/[\n/]/).map((line) => line.replace(/\D/g, "")).filter(Boolean);
  const w = rows[0]?.length ?? 0;
  return w && max(w, rows.length) <= LARGEST && rows.every((line) => line.length === w) ? tensor([rows.length, w, 1], [...rows.join("")].map(Number)) : undefined;
}

const x = computed(() => (input.value === "typed" ? (parse(typed.value) ?? tensor([1, 1, 1])) : (inputs.get(input.value) ?? [...inputs.values()][0]!)));

const setting = computed((): Setting => {
  const both = ([a, b]: readonly [Signal<number>, Signal<number>]): [number, number] => [a.value, alike.value ? a.value : b.value];
  const [t, b, l, e] = sides.map((s) => (padding.value === "sides" ? s.value : 0)) as [number, number, number, number];
  return {
    op: op.value,
    window: both(pairs.window),
    strides: both(pairs.strides),
    dilation: both(pairs.dilation),
    pads: padding.value === "same" ? "same" : [[t, b], [l, e]],
    ceil: up.value,
    ties: ties.value,
    p: p.value,
    r: r.value,
    weights: weights.map((w) => +w.value || 0),
    out: both(pairs.out),
  };
});

/** All that the two panels draw from, or the library's message. */
const state = computed(() => {
  const [h, w] = x.value.shape as [number, number];
  const found = ready(setting.value, [h, w]);
  if (typeof found === "string") return found;
  const { axes: [rows, cols] } = found;
  const [top, left] = [max(0, rows.before), max(0, cols.before)];
  const length = (a: Axis): number => a.before + a.n + a.after + overhang(a);
  const [a, b] = [min(pick[0].value, rows.out - 1), min(pick[1].value, cols.out - 1)];
  const windows = windowsOf(found);
  const here = windows[a * cols.out + b]!;
  const boxes = (tone: Tone): Box[] => {
    const shifted = here.taps.map((t) => [t.i + top, t.j + left] as const);
    const box = boxAround(shifted.map((t) => t[0]), shifted.map((t) => t[1]), tone);
    return [box, ...(shifted.length < box.h * box.w ? shifted.map(([i, j]) => ({ ...boxAt(i, j, tone), soft: true })) : [])];
  };
  /** Whether an element of the padded input is padding, or past it. */
  const kind = (i: number, j: number): Cell["kind"] => {
    const kinds = [[rows, i] as const, [cols, j] as const].map(([axis, n]) => (n >= axis.n + axis.after ? "over" : n < 0 || n >= axis.n ? "pad" : ""));
    return kinds.includes("over") ? "over" : kinds.includes("pad") ? "pad" : undefined;
  };
  const read = new Set(windows.flatMap((one) => one.real.map((t) => t.row * w + t.col)));
  const grid = { rows: length(rows), cols: length(cols) };
  const side = (n: number): number => clamp(floor(430 / n), 20, 56);
  return { ...found, rows, cols, a, b, top, left, windows, here, boxes, kind, read, grid, w, side, cell: side(max(grid.rows, grid.cols)), end: side(max(rows.out, cols.out, 5)) };
});
type State = Exclude<typeof state.value, string>;

const done = signal(Infinity); // windows that have been computed, while the window slides
const playing = signal("");

const over = (): void => {
  playing.value = "";
  done.value = Infinity;
};

/** Move through the windows one by one; without motion all appear at once. */
function slide(s: State, direction: "bench" | "back"): void {
  stop();
  const was = playing.value;
  over();
  if (was === direction || !moves()) return;
  playing.value = direction;
  const read = reader(x.value);
  sweep(s.windows.length, done, (n) => {
    const [i, j] = [floor(n / s.cols.out), n % s.cols.out];
    set(pick, i, j);
    // Every element that counts flies to the output, or its part of the gradient comes back.
    const { real, shares } = s.windows[n]!;
    return () => {
      const out = spot(`${direction}-out`, i, j, s.rows.out, s.cols.out);
      shares(read).forEach((share, k) => {
        const at = spot(`${direction}-in`, real[k]!.row + s.top, real[k]!.col + s.left, s.grid.rows, s.grid.cols);
        if (share === 0) return;
        if (direction === "bench") fly(at, out, fmt(read(real[k]!.row, real[k]!.col)), "value");
        else fly(out, at, fmt(share), "grad");
      });
    };
  }, over);
}

const Flow = ({ tone, children: [from, to] }: { tone?: string; children: preact.ComponentChild[] }) => (
  <div class={`flow flex ${tone}`}>
    {from}
    <div class="arrow" aria-hidden="true" />
    {to}
  </div>
);

/** The map of the output, with the window that is chosen. */
const Output = ({ s, id, title, label = title, tone, at, most }: { s: State; id: string; label?: string; title: string; tone: Tone; at(n: number): number | null; most: number }) => (
  <Figure title={title}>
    <Field
      id={id}
      label={label}
      rows={s.rows.out}
      cols={s.cols.out}
      tone={tone}
      at={(i, j) => ({ v: at(i * s.cols.out + j) })}
      most={most}
      cell={s.end}
      scale={tone === "value"}
      pick={[s.a, s.b]}
      onPick={(i, j) => set(pick, i, j)}
      boxes={[boxAt(s.a, s.b, tone)]}
    />
  </Figure>
);

function Forward({ s }: { s: State }) {
  const { rows, cols, top, left, here } = s;
  const read = reader(x.value);
  const y = s.windows.map((one) => one.value(read));
  const at = (i: number, j: number): Cell => {
    const [row, col] = [i - top, j - left];
    const kind = s.kind(row, col);
    const copied = s.layer.mode === "reflect" ? here.taps.find((t) => t.i === row && t.j === col) : undefined;
    if (kind) return { v: copied ? read(copied.row, copied.col) : null, kind };
    return { v: read(row, col), kind: s.read.has(row * s.w + col) ? undefined : "unread" };
  };
  return (
    <>
      <Flow>
        <Figure title={`input, ${rows.n} × ${cols.n}`}>
          <Field
            id="bench-in"
            label="input with its padding"
            {...s.grid}
            origin={[top, left]}
            at={at}
            most={extent(x.value.data)}
            cell={s.cell}
            boxes={s.boxes("value")}
            onPick={(i, j) => {
              // The first window that reads the element.
              const n = s.windows.findIndex((one) => one.taps.some((t) => t.row === i - top && t.col === j - left));
              if (n >= 0) set(pick, floor(n / cols.out), n % cols.out);
            }}
          />
        </Figure>
        <Output s={s} id="bench-out" label="output" title={`output, ${rows.out} × ${cols.out}`} tone="value" at={(n) => (n < done.value ? y[n]! : null)} most={extent(y)} />
      </Flow>
      <Formula of={words("place", s.a + 1, s.b + 1)}>{texts(setting.value, here, read)[0]}</Formula>
    </>
  );
}

function Back({ s }: { s: State }) {
  const { rows, cols, top, left, here } = s;
  const read = reader(x.value);
  const all = which.value === "all";
  const chosen: Window[] = all ? s.windows : [here];
  // What each element of the input gets, part by part.
  const parts = new Map<number, number[]>();
  for (const one of all && playing.value === "back" ? s.windows.slice(0, ceil(done.value)) : chosen)
    one.shares(read).forEach((share, n) => {
      const at = one.real[n]!.row * s.w + one.real[n]!.col;
      if (share !== 0) parts.set(at, [...(parts.get(at) ?? []), share]);
    });
  const total = (i: number, j: number): number => sum(parts.get(i * s.w + j) ?? []);
  const { row = 0, col = 0 } = chosen[0]!.real[chosen[0]!.shares(read).findIndex(Boolean)] ?? {};
  const [i, j] = [cell[0].value < 0 ? row : min(cell[0].value, rows.n - 1), cell[1].value < 0 ? col : min(cell[1].value, cols.n - 1)];
  const own = parts.get(i * s.w + j) ?? [];
  const slope = quotient(chosen, read, i, j);
  const agrees = abs(slope - total(i, j)) < 1e-4 * max(1, abs(total(i, j)));
  return (
    <>
      <Flow tone="reverse">
        <Figure title="gradient at the input">
          <Field
            id="back-in"
            label="gradient at the input"
            {...s.grid}
            origin={[top, left]}
            tone="grad"
            at={(a, b) => {
              const kind = s.kind(a - top, b - left);
              return kind ? { v: null, kind } : { v: total(a - top, b - left) };
            }}
            most={extent([...parts.values()].map(sum)) || 1}
            cell={s.cell}
            pick={[i + top, j + left]}
            onPick={(a, b) => set(cell, clamp(a - top, 0, rows.n - 1), clamp(b - left, 0, cols.n - 1))}
            boxes={[...s.boxes("grad"), boxAt(i + top, j + left, "ink")]}
          />
        </Figure>
        <Output s={s} id="back-out" title="gradient at the output" tone="grad" at={(n) => +(all || s.windows[n] === here)} most={1} />
      </Flow>
      <Formula of={`input ${words("place", i + 1, j + 1)}`}>
        {own.length > 1 && `${terms(own)} = `}
        {fmt(total(i, j), 4)}
        <span class={agrees ? "ok" : "off"}>
          {words("slope", fmt(slope, 4), words(agrees ? "agrees" : "differs"))}
        </span>
      </Formula>
      <p class="note dim">
        {texts(setting.value, here, read)[1]} {words("quotient")}
      </p>
    </>
  );
}

const fitting = (holds: (s: State) => unknown): boolean => typeof state.value !== "string" && !!holds(state.value);

/** What the file shows under a condition. */
export const benchConditions = {
  wrong: () => !parse(typed.value),
  fits: () => fitting(() => true),
  over: () => fitting((s) => overhang(s.rows) + overhang(s.cols) > 0),
  unread: () => fitting((s) => s.read.size < x.value.data.length),
};

/** Whether the operation has a control. */
export const operates = (control: string): boolean => has(op.value, control);

export function showBench(): void {
  list();
  for (const [id, Panel] of [["bench-stage", Forward], ["back-stage", Back]] as const)
    mount(id, () => (typeof state.value === "string" ? <p class="refused" role="alert">{state.value}</p> : <Panel s={state.value} />));
  effect(() => {
    void [setting.value, x.value];
    stop();
    over();
  });
  const sizes = [element("rows"), element("cols")];
  effect(() => void fitting((s) => sizes.forEach((code, n) => put(code, s.sizes[n]!))));
  for (const [id, direction] of [["slide", "bench"], ["send", "back"]] as const) {
    const button = element(id);
    const label = button.textContent;
    button.onclick = () => fitting((s) => slide(s, direction));
    effect(() => put(button, playing.value === direction ? "Stop" : label!));
  }
  const text = element("call");
  effect(() => put(text, call(setting.value)));
  element("copy").onclick = () => {
    getSelection()?.selectAllChildren(text);
    const say = (key: "copied" | "selected") => () => void (element("spoken").textContent = words(key));
    navigator.clipboard?.writeText(text.textContent!).then(say("copied"), say("selected"));
  };
}
