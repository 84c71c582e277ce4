/** Panels 2 and 3: a window slides over an input and its output appears; its gradient flows back the same way. */
import { data, arrays, values } from "./app.ts";
import { call, has, operations, quotient, ready, texts, windowsOf, type Ready, type Setting, type Window } from "./bench.ts";
import { tensor, type Axis, type Tensor } from "./contract.ts";
import { boxAround, boxAt, Field, fly, spot, sweep, type Box, type Cell } from "./field.tsx";
import { abs, ceil, clamp, extent, floor, max, min, sum } from "./math.ts";
import type { Tone } from "./paint.ts";
import { computed, effect, signal, type Signal } from "./signals.ts";
import { all, choice, control, count, element, mount, moves, put, stop } from "./state.ts";
import { fmt, short, terms } from "./text.ts";
import { covered, padded } from "./windows.ts";
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

/** Digits that were typed, a row on each line, as a map; nothing if rows differ or there are none. */
function parse(text: string): Tensor | undefined {
  const rows = text.split(/[\n/]/).map((line) => line.replace(/\D/g, "")).filter(Boolean);
  const w = rows[0]?.length ?? 0;
  return w && max(w, rows.length) <= LARGEST && rows.every((line) => line.length === w) ? tensor([rows.length, w, 1], [...rows.join("")].map(Number)) : undefined;
}

/** The map that is chosen: typed, of the file, or one channel of a layer. */
const x = computed((): Tensor => {
  if (input.value === "typed") return parse(typed.value) ?? tensor([1, 1, 1]);
  const { inputs, maps } = data.bench;
  const [n, k] = maps[input.value] ?? [];
  const t = values[n!];
  if (!t) return arrays.get(inputs[input.value] ?? Object.values(inputs)[0]!)!;
  const [h, w, c] = t.shape as [number, number, number];
  return tensor([h, w, 1], t.data.filter((_, i) => i % c === k));
});

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

/** What the setting does with the input, or the library's message. */
const found = computed(() => ready(setting.value, x.value.shape as [number, number]));
const fits = (): boolean => typeof found.value !== "string";

const done = signal(Infinity); // windows that have been computed, while the window slides
const playing = signal("");
const pointed = signal(-1); // the window at whose result the mouse points, instead of the one that is chosen

/** All that the panels draw from where the setting fits. Places are those of the padded input. */
const state = computed(() => {
  const fitting = found.value as Ready;
  const { rows, cols } = fitting;
  const { data } = x.value;
  const windows = windowsOf(fitting);
  const n = playing.value ? -1 : min(pointed.value, windows.length - 1);
  const [a, b] = n < 0 ? [min(pick[0].value, rows.out - 1), min(pick[1].value, cols.out - 1)] : [floor(n / cols.out), n % cols.out];
  const here = windows[a * cols.out + b]!;
  const grid = { rows: covered(rows), cols: covered(cols), origin: [rows.before, cols.before] as [number, number] };
  const boxes = (tone: Tone): Box[] => {
    const { taps } = here;
    const box = boxAround(taps.map((t) => t.i), taps.map((t) => t.j), tone);
    return [box, ...(taps.length < box.h * box.w ? taps.map(({ i, j }) => ({ ...boxAt(i, j, tone), soft: true })) : [])];
  };
  /** Whether a place is padding, or past it. */
  const kind = (i: number, j: number): Cell["kind"] => {
    const kinds = [kindOf(rows, i), kindOf(cols, j)];
    return (["over", "pad"] as const).find((kind) => kinds.includes(kind));
  };
  const element = (i: number, j: number): number => (i - rows.before) * cols.n + j - cols.before;
  const read = new Set(windows.flatMap((one) => one.real.map((t) => t.n)));
  return { rows, cols, data, windows, a, b, here, grid, boxes, kind, element, read };
});
type State = typeof state.value;

const kindOf = (a: Axis, n: number): string => (n >= padded(a) ? "over" : n < a.before || n >= a.before + a.n ? "pad" : "");

/** Pixels of an element in a map of so many rows and columns. */
const side = (...size: number[]): number => clamp(floor(430 / max(...size)), 20, 56);

const over = (): void => {
  playing.value = "";
  done.value = Infinity;
};

/** Move through the windows one by one; without motion all appear at once. */
function slide(direction: "bench" | "back"): void {
  stop();
  const was = playing.value;
  over();
  if (was === direction || !moves()) return;
  playing.value = direction;
  const { windows, rows, cols, grid, data } = state.value;
  sweep(windows.length, done, (n) => {
    const [i, j] = [floor(n / cols.out), n % cols.out];
    set(pick, i, j);
    // Every element that counts flies to the output, its part where parts add up, or its part of the gradient comes back.
    const { real, shares } = windows[n]!;
    return () => {
      const out = spot(`${direction}-out`, i, j, rows.out, cols.out);
      shares(data).forEach((share, k) => {
        const { i, j, n } = real[k]!;
        const at = spot(`${direction}-in`, i, j, grid.rows, grid.cols);
        if (share === 0) return;
        if (direction === "bench") fly(at, out, fmt(data[n]! * (operates("parts") ? share : 1)), "value");
        else fly(out, at, fmt(share), "grad");
      });
    };
  }, over);
}

/** A map of the output, with the window that is chosen. */
const output = ({ rows, cols, a, b }: State, tone: Tone, label: string, most: number, signed: boolean, at: (n: number) => number | null) => (
  <Field
    label={label}
    rows={rows.out}
    cols={cols.out}
    tone={tone}
    at={(i, j) => ({ v: at(i * cols.out + j) })}
    most={most}
    cell={side(rows.out, cols.out, 5)}
    signed={signed}
    pick={[a, b]}
    pointed={pointed}
    onPick={(i, j) => {
      set(pick, i, j);
      pointed.value = -1;
    }}
    boxes={[boxAt(a, b, tone)]}
  />
);

/** The gradient at the input: of which windows, its parts by element, and the element that is chosen. */
function gradient({ windows, here, data, rows, cols }: State) {
  const all = which.value === "all";
  const chosen: Window[] = all ? windows : [here];
  const partsOf = (some: Window[]): number[][] => {
    const parts: number[][] = [...data].map(() => []);
    for (const { shares, real } of some) shares(data).forEach((share, n) => share !== 0 && parts[real[n]!.n]!.push(share));
    return parts;
  };
  const whole = partsOf(chosen);
  const sums = whole.map(sum);
  const parts = all && playing.value === "back" ? partsOf(windows.slice(0, ceil(done.value))) : whole;
  const first = chosen[0]!.real[chosen[0]!.shares(data).findIndex(Boolean)]?.n ?? 0;
  const [i, j] = [floor(first / cols.n), first % cols.n];
  const [row, col] = cell.map(({ value }) => value) as [number, number];
  // One scale for both maps: the gradient at the output is 1.
  const scale = { most: max(1, extent(sums)), signed: sums.some((v) => v < 0) };
  return { chosen, parts, scale, i: row < 0 ? i : min(row, rows.n - 1), j: col < 0 ? j : min(col, cols.n - 1) };
}

const PARTS: Record<string, (s: State) => preact.ComponentChild> = {
  "bench-in": ({ windows, cols, here, grid, boxes, kind, element, read, data }) => {
    const weights = operates("parts") ? here.shares(data) : [];
    return (
      <Field
        label="input with its padding"
        {...grid}
        at={(i, j) => {
          const [out, n] = [kind(i, j), element(i, j)];
          const k = here.real.findIndex((t) => t.i === i && t.j === j);
          const weight = k in weights ? `×${short(weights[k]!)}` : undefined;
          return out ? { v: k < 0 ? null : data[here.real[k]!.n]!, kind: out, weight } : { v: data[n]!, kind: read.has(n) ? undefined : "unread", weight };
        }}
        most={extent(data)}
        cell={side(grid.rows, grid.cols)}
        boxes={boxes("value")}
        onPick={(i, j) => {
          // The first window that reads the element.
          const n = windows.findIndex((one) => one.real.some((t) => t.i === i && t.j === j));
          if (n >= 0) set(pick, floor(n / cols.out), n % cols.out);
        }}
      />
    );
  },
  "bench-out": (s) => {
    const y = s.windows.map((one) => one.value(s.data));
    return output(s, "value", "output", extent(y), y.some((v) => v < 0), (n) => (n < done.value ? y[n]! : null));
  },
  "back-in": (s) => {
    const { parts, scale, i, j } = gradient(s);
    const { rows, cols, grid, boxes, kind, element } = s;
    const [top, left] = grid.origin;
    return (
      <Field
        label="gradient at the input"
        {...grid}
        tone="grad"
        at={(i, j) => {
          const out = kind(i, j);
          return out ? { v: null, kind: out } : { v: sum(parts[element(i, j)]!) };
        }}
        {...scale}
        cell={side(grid.rows, grid.cols)}
        pick={[i + top, j + left]}
        onPick={(i, j) => set(cell, clamp(i - top, 0, rows.n - 1), clamp(j - left, 0, cols.n - 1))}
        boxes={[...boxes("grad"), boxAt(i + top, j + left, "ink")]}
      />
    );
  },
  "back-out": (s) => {
    const { most, signed } = gradient(s).scale;
    return output(s, "grad", "gradient at the output", most, signed, (n) => +(which.value === "all" || s.windows[n] === s.here));
  },
};

const slope = element("slope"); // it leaves the page with a setting that does not fit

/** What the file says of a setting that fits, by the `data-text` of its elements. */
function said(s: State): Record<string, string> {
  const { rows, cols, data, a, b } = s;
  const [formula, note] = texts(setting.value, s.here, data);
  const { chosen, parts, i, j } = gradient(s);
  const n = i * cols.n + j;
  const [own, found] = [parts[n]!, quotient(chosen, data, n)];
  const total = sum(own);
  const agrees = abs(found - total) < 1e-4 * max(1, abs(total));
  slope.className = agrees ? "ok" : "grad";
  return {
    "in-size": `${rows.n} × ${cols.n}`,
    "out-size": `${rows.out} × ${cols.out}`,
    place: words("place", a + 1, b + 1),
    formula,
    element: words("place", i + 1, j + 1),
    sum: `${own.length > 1 ? `${terms(own)} = ` : ""}${fmt(total, 4)}`,
    slope: words("slope", fmt(found, 4), words(agrees ? "agrees" : "differs")),
    note,
  };
}

/** What the file shows under a condition. */
export const benchConditions = {
  wrong: () => !parse(typed.value),
  fits,
  refused: () => !fits(),
  over: () => fits() && [state.value.rows, state.value.cols].some((a) => covered(a) > padded(a)),
  unread: () => fits() && state.value.read.size < x.value.data.length,
};

/** Whether the operation has a control. */
export const operates = (control: string): boolean => has(op.value, control);

export function showBench(): void {
  for (const [id, part] of Object.entries(PARTS)) mount(id, () => fits() && part(state.value));
  const places = all("[data-text]");
  effect(() => {
    const result = found.value;
    const shown = typeof result === "string" ? { refused: result } : { rows: result.sizes[0], cols: result.sizes[1], ...said(state.value) };
    for (const into of places) put(into, { ...shown, call: call(setting.value) }[into.dataset.text as "call"] ?? "");
  });
  effect(() => {
    void [setting.value, x.value];
    stop();
    over();
  });
  for (const [id, direction] of [["slide", "bench"], ["send", "back"]] as const) {
    const button = element(id);
    const label = button.textContent;
    button.onclick = () => fits() && slide(direction);
    effect(() => put(button, playing.value === direction ? "Stop" : label!));
  }
  const text = element("call");
  element("copy").onclick = () => {
    getSelection()?.selectAllChildren(text);
    const say = (key: "copied" | "selected") => () => void (element("spoken").textContent = words(key));
    navigator.clipboard?.writeText(text.textContent!).then(say("copied"), say("selected"));
  };
}
