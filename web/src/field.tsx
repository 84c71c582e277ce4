/** Maps of numbers that can be read with the mouse, the keyboard and a screen reader. */
import type { JSX } from "preact";
import { tensor, type Tensor } from "./contract.ts";
import { abs, ceil, clamp, extent, floor, max, min, round, upTo } from "./math.ts";
import { colour, css, FAMILY, ink, readable, shades, toneColour, type Tone } from "./paint.ts";
import type { Signal } from "./signals.ts";
import { all, own, play } from "./state.ts";
import { fmt, short } from "./text.ts";
import { words } from "./words.ts";

export interface Cell {
  v: number | null; // null: not computed yet
  kind?: "pad" | "over" | "unread" | "faint" | undefined;
  text?: string;
  weight?: string | undefined; // in a corner
  ring?: boolean;
}

type BoxTone = Tone | "ink";

export interface Box {
  i: number;
  j: number;
  h: number;
  w: number;
  tone: BoxTone;
  soft?: boolean;
}

/** The smallest box around some rows and columns. */
export const boxAround = (rows: number[], cols: number[], tone: BoxTone): Box => {
  const [i, j] = [min(...rows), min(...cols)];
  return { i, j, h: max(...rows) - i + 1, w: max(...cols) - j + 1, tone };
};

export const boxAt = (i: number, j: number, tone: BoxTone): Box => ({ i, j, h: 1, w: 1, tone });

interface Props {
  label: string;
  name?: string; // of its own state, where the label changes
  rows: number;
  cols: number;
  at(i: number, j: number): Cell;
  most: number;
  tone?: Tone;
  cell: number;
  origin?: [number, number]; // of the element that is called row 1, column 1
  pick?: [number, number] | undefined;
  onPick?(i: number, j: number): void;
  hover?: boolean; // picks, too
  pointed?: Signal<number>; // the element under the mouse, in row order; -1 if there is none
  boxes?: Box[];
  scale?: boolean;
  signed?: boolean; // of its scale, where not every value is known yet
}

const READABLE = 24; // smallest element, in pixels, in which its number is shown

type Context = CanvasRenderingContext2D;

/** A canvas of the size of its content, sharp on any screen. */
export const Canvas = ({ width, height, paint, ...more }: { width: number; height: number; paint(context: Context): void } & Omit<JSX.IntrinsicElements["canvas"], "width" | "height">) => (
  <canvas
    {...more}
    aria-hidden="true"
    ref={(canvas) => {
      if (!canvas) return;
      const ratio = max(2, devicePixelRatio);
      canvas.width = round(width * ratio);
      canvas.height = round(height * ratio);
      const context = canvas.getContext("2d")!;
      context.scale(ratio, ratio);
      paint(context);
    }}
  />
);

/** Paint one channel of a map. */
export function paintMap(context: Context, { shape, data }: Tensor, k: number, x: number, y: number, size: number, most: number, tone: Tone = "value"): void {
  const [h, w, c] = shape as [number, number, number];
  const [pixels, of] = [new ImageData(w, h), shades(most, tone)];
  for (let n = 0; n < h * w; n++) pixels.data.set([...of(data[n * c + k]!), 255], 4 * n);
  const small = new OffscreenCanvas(w, h);
  small.getContext("2d")!.putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, x, y, w * size, h * size);
  // A small square, since nothing would look like zero.
  context.fillStyle = ink("--ink");
  for (let n = 0; n < h * w; n++) if (isNaN(data[n * c + k]!)) context.fillRect(x + ((n % w) + 0.35) * size, y + (floor(n / w) + 0.35) * size, 0.3 * size, 0.3 * size);
}

function paintCell(context: Context, { v, kind, text, weight, ring }: Cell, x: number, y: number, size: number, p: Props, of: (v: number) => number[]): void {
  const s = size - +(size > 12);
  const out = kind === "pad" || kind === "over";
  if (out || v === null) {
    context.setLineDash(kind === "over" ? [1, 4] : [4, 3]);
    context.lineWidth = 1;
    context.strokeStyle = ink(out ? "--quiet" : "--line");
    context.strokeRect(x + 1.5, y + 1.5, s - 3, s - 3);
    context.setLineDash([]);
    if (v === null) return;
  }
  const back = out ? colour("--cell") : of(v);
  if (!out) {
    context.globalAlpha = kind === "faint" ? 0.35 : 1;
    context.fillStyle = css(back);
    context.fillRect(x, y, s, s);
    context.globalAlpha = 1;
  }
  if (kind === "unread") {
    context.beginPath();
    for (let k = -s; k < s; k += 5) {
      context.moveTo(x + max(0, k), y + max(0, -k));
      context.lineTo(x + min(s, k + s), y + min(s, s - k));
    }
    context.strokeStyle = ink("--quiet");
    context.lineWidth = 1;
    context.stroke();
  }
  const write = (text: string, points: number, style: string, up = 0): void => {
    context.font = `${v === 0 ? 400 : 500} ${points}px ${FAMILY}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = style;
    context.fillText(text, x + s / 2, y + s / 2 + 0.5 - up);
  };
  if (size >= READABLE) {
    const shown = text ?? short(v * 10 ** -unit(p));
    write(shown, min(16, size * 0.36, (size * 1.5) / max(2, shown.length)), v === 0 || out || kind === "faint" ? ink("--quiet") : readable(back));
    if (weight && size > 40) write(weight, 11, readable(back), s * 0.35);
  } else if (isNaN(v) && size >= 6) write("?", size * 0.8, ink("--ink"));
  else if (v < 0 && size >= 9 && abs(v) > 0.08 * p.most) {
    context.fillStyle = ink("--cell");
    context.fillRect(x + s * 0.3, y + s / 2 - 0.75, s * 0.4, 1.5);
  }
  if (ring) {
    context.strokeStyle = ink("--ink");
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x + s / 2, y + s / 2, s / 2 - 2.5, 0, 7);
    context.stroke();
  }
}

/** The power of ten in which a map of small numbers shows them, 0 for others and for a single number. */
const unit = ({ most, rows, cols }: { most: number; rows: number; cols: number }): number => (most > 0 && most < 0.01 && rows * cols > 1 ? floor(Math.log10(most)) : 0);

export const share = (n: number, of: number): string => `${(100 * n) / of}%`;

/** How long a number takes from one map to another, in milliseconds. */
const FLIGHT = 650;

let sweeps = 0;

/**
 * Compute windows one after another: `begin` moves the boxes to window n and returns how numbers fly when they have arrived.
 * `done` counts windows, with a half for one whose numbers have arrived.
 */
export function sweep(total: number, done: Signal<number>, begin: (n: number) => () => void, over: () => void): void {
  const run = ++sweeps;
  play(total, FLIGHT + 450, (n) => {
    done.value = n;
    const flights = begin(n);
    const after = (pause: number, next: () => void): unknown => setTimeout(() => run === sweeps && done.value === n && next(), pause);
    after(300, flights);
    after(300 + FLIGHT * 0.9, () => (done.value = n + 0.5));
  }, over);
}

/** Where an event lies in its element, of so many rows and columns. */
export const placeOf = (event: MouseEvent, rows: number, cols: number): [number, number] => {
  const box = (event.currentTarget as Element).getBoundingClientRect();
  return [((event.clientY - box.y) / box.height) * rows, ((event.clientX - box.x) / box.width) * cols];
};

export function Field(p: Props) {
  const { cell: size, rows, cols, tone = "value", boxes = [] } = p;
  const [top, left] = p.origin ?? [0, 0];
  const cursor = own<[number, number]>(p.name ?? p.label, [0, 0]);
  const within = ([a, b]: number[]): [number, number] => [clamp(floor(a!), 0, rows - 1), clamp(floor(b!), 0, cols - 1)];
  const [i, j] = within(p.pick ?? cursor.value);
  const cells = upTo(rows * cols).map((n) => p.at(floor(n / cols), n % cols));
  const chosen = cells[i * cols + j]!;
  const { kind } = chosen;
  const go = (to: number[]): void => {
    cursor.value = within(to);
    p.onPick?.(...cursor.value);
  };
  const hit = (event: MouseEvent): void => go(placeOf(event, rows, cols));
  const style = (b: Box) => ({ top: share(b.i, rows), left: share(b.j, cols), height: share(b.h, rows), width: share(b.w, cols) });
  return (
    <div class="field" style={{ width: `${cols * size}px` }}>
      <div class="map" style={{ aspectRatio: `${cols} / ${rows}` }}>
        <Canvas
          width={cols * size}
          height={rows * size}
          paint={(context) => {
            const of = shades(p.most, tone);
            cells.forEach((cell, n) => paintCell(context, cell, (n % cols) * size, floor(n / cols) * size, size, p, of));
          }}
          onClick={hit}
          onMouseMove={(event) => {
            const [a, b] = within(placeOf(event, rows, cols));
            if (p.pointed) p.pointed.value = a * cols + b;
            else if (p.hover) go([a, b]);
          }}
          onMouseLeave={() => p.pointed && (p.pointed.value = -1)}
        />
        <div>
          {boxes.map((b) => (
            <div class={`box ${b.tone} ${b.soft ? "soft" : ""}`} style={style(b)} />
          ))}
        </div>
        <div role="grid" aria-label={p.label} aria-rowcount={rows} aria-colcount={cols} aria-readonly="true">
          <div role="row" aria-rowindex={i + 1}>
            <div
              role="gridcell"
              tabIndex={0}
              class="at"
              aria-colindex={j + 1}
              aria-label={`${words("place", i + 1 - top, j + 1 - left)}: ${told(chosen)}${kind && kind !== "faint" ? words(kind) : ""}`}
              onKeyDown={(event) => {
                const to = step(event.key, i, j, rows, cols);
                if (!to) return;
                event.preventDefault();
                go(to);
              }}
              onFocus={() => go([i, j])}
              style={style(boxAt(i, j, "ink"))}
            />
          </div>
        </div>
      </div>
      {p.scale !== false && <Scale most={p.most} tone={tone} signed={p.signed ?? cells.some((c) => c.v! < 0)} unit={size >= READABLE ? unit(p) : 0} />}
      <Numbers cells={cells} cols={cols} label={p.label} top={top} left={left} open={own(`${p.name ?? p.label} numbers`, false)} />
    </div>
  );
}

const told = ({ v }: Cell): string => (v === null ? "not yet" : fmt(v));

/** Rows and columns by which an arrow key moves. */
export const ARROWS: Record<string, [number, number]> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

const step = (key: string, i: number, j: number, rows: number, cols: number): number[] | undefined => {
  const by = ARROWS[key];
  return by ? [i + by[0], j + by[1]] : { Home: [i, 0], End: [i, cols], PageUp: [0, j], PageDown: [rows, j] }[key];
};

/** What the colours of a map mean. */
export const Scale = ({ most, tone, signed, unit }: { most: number; tone: Tone; signed?: boolean; unit?: number }) => (
  <div class="scale flex soft" aria-hidden="true">
    <span>{signed ? fmt(-most, 2) : 0}</span>
    <i class={`${tone} ${signed ? "signed" : ""}`} />
    <span>{fmt(most, 2)}</span>
    {!!unit && <span>numbers in {fmt(10 ** unit, 2)}</span>}
  </div>
);

/** The same map as a table, made when it is opened. */
function Numbers({ cells, cols, label, top, left, open }: { cells: Cell[]; cols: number; label: string; top: number; left: number; open: Signal<boolean> }) {
  const all = cells.map((c) => c.v ?? 0);
  const rows = upTo(cells.length / cols);
  return (
    <details class="numbers" open={open.value} onToggle={(e) => (open.value = (e.currentTarget as HTMLDetailsElement).open)}>
      <summary aria-label={`Numbers of ${label}`}>numbers</summary>
      {open.value && (
        <div class="scroll" tabIndex={0} role="region" aria-label={`Table of ${label}`}>
          <p>{words("numbers", rows.length, cols, fmt(min(...all)), fmt(max(...all)))}</p>
          <table>
            <thead>
              <tr>
                <td />
                {upTo(cols).map((b) => (
                  <th scope="col">{b + 1 - left}</th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map((a) => (
                <tr>
                  <th scope="row">{a + 1 - top}</th>
                  {cells.slice(a * cols, (a + 1) * cols).map((cell) => (
                    <td class={cell.v === 0 || cell.kind ? "zero" : ""}>{told(cell)}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}

/** One channel of a tensor as elements of a map. */
export const channel = (t: Tensor, k = 0) => {
  const [, w, c] = t.shape as [number, number, number];
  return (i: number, j: number): Cell => ({ v: t.data[(i * w + j) * c + k] ?? null });
};

/** One channel of a tensor as what a field shows. */
export const mapOf = (t: Tensor, k = 0) => ({ rows: t.shape[0]!, cols: t.shape[1]!, at: channel(t, k), most: extent(t.data) });

/** One row of elements, broken into several, of a tensor that has no rows and columns. */
export const inRows = (t: Tensor, across: number): Tensor => tensor([ceil(t.data.length / across), across, 1], t.data);

interface SheetProps {
  label: string;
  tensor: Tensor;
  tone?: Tone;
  pick: number;
  onPick(k: number, i?: number, j?: number): void;
  hover?: boolean;
  cell?: number;
  room?: number; // pixels across
}

/** All channels of a feature map side by side. Left and right choose one. */
export function Sheet({ label, tensor: t, tone = "value", pick, onPick, hover, cell, room = 620 }: SheetProps) {
  const [h, w, c] = t.shape as [number, number, number];
  const gap = 6;
  room = min(room, innerWidth - 54);
  // As large as two rows of channels allow.
  const size = cell ?? clamp(floor((room / ceil(c / 2) - gap) / w), max(2, min(6, floor(40 / w))), 14);
  const [width, height] = [w * size + gap, h * size + gap];
  // Full rows look better than one that is almost empty.
  const across = ceil(c / ceil(c / clamp(floor(room / width), 1, c)));
  const down = ceil(c / across);
  const most = extent(t.data);
  const hit = (event: MouseEvent): void => {
    const [y, x] = placeOf(event, down * height, across * width);
    const k = floor(y / height) * across + floor(x / width);
    const [i, j] = [floor(((y % height) - gap / 2) / size), floor(((x % width) - gap / 2) / size)];
    if (k < c && i >= 0 && j >= 0 && i < h && j < w) onPick(k, i, j);
  };
  return (
    <div
      class="sheet"
      role="slider"
      tabIndex={0}
      aria-label={`${label}: channel`}
      aria-valuemin={1}
      aria-valuemax={c}
      aria-valuenow={pick + 1}
      aria-valuetext={`channel ${pick + 1} of ${c}`}
      onKeyDown={(event) => {
        const arrow = ARROWS[event.key];
        const by = arrow ? arrow[0] * across + arrow[1] : { Home: -c, End: c }[event.key];
        if (!by) return;
        event.preventDefault();
        onPick(clamp(pick + by, 0, c - 1));
      }}
    >
      <Canvas
        width={across * width}
        height={down * height}
        paint={(context) =>
          upTo(c).forEach((k) => {
            const [x, y] = [(k % across) * width + gap / 2, floor(k / across) * height + gap / 2];
            paintMap(context, t, k, x, y, size, most, tone);
            context.strokeStyle = k === pick ? css(toneColour(tone)) : ink("--line");
            context.lineWidth = 1 + +(k === pick);
            context.strokeRect(x - 1, y - 1, w * size + 2, h * size + 2);
          })
        }
        style={{ width: `${across * width}px` }}
        onClick={hit}
        onMouseMove={hover ? hit : undefined}
      />
    </div>
  );
}

/** Where an element of the map in a place of the file lies on the screen. */
export function spot(id: string, i: number, j: number, rows: number, cols: number): DOMRect {
  const { x, y, width, height } = all(`#${id} .map`)[0]!.getBoundingClientRect();
  return new DOMRect(x + (j * width) / cols, y + (i * height) / rows, width / cols, height / rows);
}

/** Show a number on its way from one place to another. */
export function fly(from: DOMRect, to: DOMRect, text: string, tone: Tone): void {
  const chip = Object.assign(document.createElement("div"), { className: `chip small ${tone}`, textContent: text, ariaHidden: "true" });
  document.body.append(chip);
  const [a, b] = [from, to].map((r) => `calc(${r.x + r.width / 2}px - 50%) calc(${r.y + r.height / 2}px - 50%)`) as [string, string];
  const steps = { translate: [a, a, b, b], scale: [0.7, 1, 1, 0.7], opacity: [0, 1, 1, 0], offset: [0, 0.2, 0.85, 1] };
  chip.animate(steps, { duration: FLIGHT, easing: "ease-in-out" }).onfinish = () => chip.remove();
}
