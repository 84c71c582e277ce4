/** Maps of numbers that can be read with the mouse, the keyboard and a screen reader. */
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Tensor } from "./contract.ts";
import { colour, css, extent, readable, shade, type Tone } from "./paint.ts";
import { moves, theme } from "./state.ts";
import { fmt, short } from "./text.ts";

export interface Cell {
  v: number | null; // null: not computed yet
  kind?: "pad" | "over" | "unread" | "faint";
  text?: string;
  ring?: boolean;
}

export interface Box {
  i: number;
  j: number;
  h: number;
  w: number;
  tone?: Tone | "ink";
  soft?: boolean;
}

interface Props {
  id?: string;
  label: string;
  rows: number;
  cols: number;
  at(i: number, j: number): Cell;
  most: number;
  tone?: Tone;
  cell?: number;
  numbers?: boolean;
  origin?: [number, number]; // of the element that is called row 1, column 1
  pick?: [number, number] | null;
  onPick?(i: number, j: number): void;
  onHover?(i: number, j: number): void;
  boxes?: Box[];
  scale?: boolean;
}

/** A canvas of the size of its content, sharp on any screen. */
export function usePaint(width: number, height: number, paint: (context: CanvasRenderingContext2D) => void) {
  const ref = useRef<HTMLCanvasElement>(null);
  const version = theme.value;
  useEffect(() => {
    const canvas = ref.current!;
    const ratio = Math.max(2, devicePixelRatio);
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d")!;
    context.scale(ratio, ratio);
    paint(context);
  });
  void version;
  return ref;
}

function hatch(context: CanvasRenderingContext2D, x: number, y: number, size: number): void {
  context.beginPath();
  for (let k = -size; k < size; k += 5) {
    context.moveTo(x + Math.max(0, k), y + Math.max(0, -k));
    context.lineTo(x + Math.min(size, k + size), y + Math.min(size, size - k));
  }
  context.strokeStyle = css(colour("quiet"));
  context.lineWidth = 1;
  context.stroke();
}

function paintCell(context: CanvasRenderingContext2D, cell: Cell, x: number, y: number, size: number, p: Props): void {
  const gap = size > 12 ? 1 : 0;
  const s = size - gap;
  const outside = cell.kind === "pad" || cell.kind === "over";
  if (outside || cell.v === null) {
    context.setLineDash(cell.kind === "over" ? [1, 4] : [4, 3]);
    context.lineWidth = 1;
    context.strokeStyle = css(colour(cell.v === null && !outside ? "line" : "quiet"));
    context.strokeRect(x + 1.5, y + 1.5, s - 3, s - 3);
    context.setLineDash([]);
    if (!outside || cell.v === null) return;
  }
  const back = outside ? colour("cell") : shade(cell.v!, p.most, p.tone ?? "value");
  if (!outside) {
    context.globalAlpha = cell.kind === "faint" ? 0.35 : 1;
    context.fillStyle = css(back);
    context.fillRect(x, y, s, s);
    context.globalAlpha = 1;
  }
  if (cell.kind === "unread") hatch(context, x, y, s);
  const v = cell.v!;
  if (p.numbers && size >= 22) {
    const text = cell.text ?? short(v * 10 ** -unit(p.most));
    const most = Math.min(16, size * 0.36);
    context.font = `${v === 0 ? 400 : 500} ${Math.min(most, (size * 1.5) / Math.max(2, text.length))}px -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = css(v === 0 || outside || cell.kind === "faint" ? colour("quiet") : readable(back));
    context.fillText(text, x + s / 2, y + s / 2 + 0.5);
  } else if (Number.isNaN(v) && size >= 6) {
    context.fillStyle = css(colour("ink"));
    context.font = `${size * 0.8}px sans-serif`;
    context.fillText("?", x + size * 0.3, y + size * 0.8);
  } else if (v < 0 && size >= 9 && Math.abs(v) > 0.08 * p.most) {
    context.fillStyle = css(colour("cell"));
    context.fillRect(x + s * 0.3, y + s / 2 - 0.75, s * 0.4, 1.5);
  }
  if (cell.ring) {
    context.strokeStyle = css(colour("ink"));
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x + s / 2, y + s / 2, s / 2 - 2.5, 0, 7);
    context.stroke();
  }
}

/** The power of ten in which a map of small numbers shows them, 0 for others. */
const unit = (most: number): number => (most > 0 && most < 0.01 ? Math.floor(Math.log10(most)) : 0);

export function Field(p: Props) {
  const size = p.cell ?? 40;
  const [top, left] = p.origin ?? [0, 0];
  const [cursor, setCursor] = useState<[number, number]>([0, 0]);
  const [i, j] = clamp(p.pick ?? cursor, p.rows, p.cols);
  const canvas = usePaint(p.cols * size, p.rows * size, (context) => {
    for (let a = 0; a < p.rows; a++) for (let b = 0; b < p.cols; b++) paintCell(context, p.at(a, b), b * size, a * size, size, p);
  });
  const go = (a: number, b: number): void => {
    setCursor([a, b]);
    p.onPick?.(a, b);
    p.onHover?.(a, b);
  };
  const place = (event: MouseEvent): [number, number] => {
    const box = canvas.current!.getBoundingClientRect();
    return clamp([((event.clientY - box.top) / box.height) * p.rows, ((event.clientX - box.left) / box.width) * p.cols], p.rows, p.cols);
  };
  const onKey = (event: KeyboardEvent): void => {
    const to = step(event.key, i, j, p.rows, p.cols);
    if (!to) return;
    event.preventDefault();
    go(...to);
  };
  const percent = (n: number, of: number): string => `${(100 * n) / of}%`;
  return (
    <div class="field" style={{ width: `${p.cols * size}px` }}>
      <div class="map" id={p.id} style={{ aspectRatio: `${p.cols} / ${p.rows}` }}>
        <canvas
          ref={canvas}
          aria-hidden="true"
          onClick={(e) => go(...place(e))}
          onMouseMove={p.onHover && ((e) => p.onHover!(...place(e)))}
        />
        {p.boxes?.map((b, n) => (
          <div
            key={n}
            class={`box ${b.tone ?? "value"} ${b.soft ? "soft" : ""}`}
            style={{
              top: percent(b.i, p.rows),
              left: percent(b.j, p.cols),
              height: percent(b.h, p.rows),
              width: percent(b.w, p.cols),
            }}
          />
        ))}
        <div role="grid" aria-label={p.label} aria-rowcount={p.rows} aria-colcount={p.cols} aria-readonly="true">
          <div role="row" aria-rowindex={i + 1}>
            <div
              role="gridcell"
              tabIndex={0}
              class={`at ${p.pick === null || (!p.onPick && !p.onHover) ? "hidden" : ""}`}
              aria-colindex={j + 1}
              aria-label={`row ${i + 1 - top}, column ${j + 1 - left}: ${spoken(p.at(i, j))}`}
              onKeyDown={onKey}
              onFocus={() => go(i, j)}
              style={{ top: percent(i, p.rows), left: percent(j, p.cols), height: percent(1, p.rows), width: percent(1, p.cols) }}
            />
          </div>
        </div>
      </div>
      {p.scale !== false && <Scale most={p.most} tone={p.tone ?? "value"} signed={hasNegative(p)} {...(p.numbers && size >= 22 ? { numbers: true } : {})} />}
      <Numbers {...p} />
    </div>
  );
}

const clamp = ([a, b]: readonly number[], rows: number, cols: number): [number, number] => [
  Math.max(0, Math.min(rows - 1, Math.floor(a!))),
  Math.max(0, Math.min(cols - 1, Math.floor(b!))),
];

const spoken = ({ v, kind }: Cell): string =>
  (v === null ? "not computed yet" : fmt(v)) + (kind === "pad" ? ", padding" : kind === "over" ? ", past the padding" : kind === "unread" ? ", read by no window" : "");

function hasNegative(p: Props): boolean {
  for (let a = 0; a < p.rows; a++) for (let b = 0; b < p.cols; b++) if ((p.at(a, b).v ?? 0) < 0) return true;
  return false;
}

export function step(key: string, i: number, j: number, rows: number, cols: number): [number, number] | null {
  switch (key) {
    case "ArrowUp":
      return [Math.max(0, i - 1), j];
    case "ArrowDown":
      return [Math.min(rows - 1, i + 1), j];
    case "ArrowLeft":
      return [i, Math.max(0, j - 1)];
    case "ArrowRight":
      return [i, Math.min(cols - 1, j + 1)];
    case "Home":
      return [i, 0];
    case "End":
      return [i, cols - 1];
    case "PageUp":
      return [0, j];
    case "PageDown":
      return [rows - 1, j];
    default:
      return null;
  }
}

/** What the colours of a map mean. */
export function Scale({ most, tone, signed, numbers }: { most: number; tone: Tone; signed?: boolean; numbers?: boolean }) {
  return (
    <div class="scale" aria-hidden="true">
      {signed && <span>{fmt(-most, 2)}</span>}
      <i class={`${tone} ${signed ? "signed" : ""}`} />
      {!signed && <span class="zero">0</span>}
      <span>{fmt(most, 2)}</span>
      {numbers && unit(most) !== 0 && <span>numbers in {fmt(10 ** unit(most), 2)}</span>}
    </div>
  );
}

/** The same map as a table, made when it is opened. */
function Numbers(p: Props) {
  const [open, setOpen] = useState(false);
  const [top, left] = p.origin ?? [0, 0];
  const lines = (n: number): number[] => Array.from({ length: n }, (_, k) => k);
  const all = open ? lines(p.rows).flatMap((a) => lines(p.cols).map((b) => p.at(a, b).v ?? 0)) : [];
  return (
    <details class="numbers" onToggle={(e) => setOpen((e.currentTarget as HTMLDetailsElement).open)}>
      <summary aria-label={`Numbers of ${p.label}`}>numbers</summary>
      {open && (
        <div class="scroll" tabIndex={0} role="region" aria-label={`Table of ${p.label}`}>
          <p>
            {p.rows} × {p.cols} values from {fmt(Math.min(...all))} to {fmt(Math.max(...all))}.
          </p>
          <table>
            <thead>
              <tr>
                <td />
                {lines(p.cols).map((b) => (
                  <th key={b} scope="col">
                    {b + 1 - left}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {lines(p.rows).map((a) => (
                <tr key={a}>
                  <th scope="row">{a + 1 - top}</th>
                  {lines(p.cols).map((b) => {
                    const { v, kind } = p.at(a, b);
                    return (
                      <td key={b} class={v === 0 || kind === "pad" || kind === "over" ? "zero" : ""}>
                        {v === null ? "not yet" : fmt(v)}
                      </td>
                    );
                  })}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}

/** One channel of a tensor as cells. */
export const channel = (t: Tensor, k: number) => {
  const [, w, c] = t.shape as [number, number, number];
  return (i: number, j: number): Cell => ({ v: t.data[(i * w + j) * c + k]! });
};

interface SheetProps {
  label: string;
  tensor: Tensor;
  tone?: Tone;
  pick: number;
  onPick(k: number): void;
  onHover?(k: number, i: number, j: number): void;
  cell?: number;
  room?: number; // pixels across
}

/** All channels of a feature map side by side. Left and right choose one. */
export function Sheet({ label, tensor: t, tone = "value", pick, onPick, onHover, cell, room = 600 }: SheetProps) {
  const [h, w, c] = t.shape as [number, number, number];
  const size = cell ?? Math.max(2, Math.min(6, Math.floor(56 / w)));
  const gap = 6;
  const [width, height] = [w * size + gap, h * size + gap];
  // Full rows look better than one that is almost empty.
  const fit = Math.max(1, Math.min(c, Math.floor(room / width)));
  const across = Math.ceil(c / Math.ceil(c / fit));
  const most = extent(t.data);
  const canvas = usePaint(across * width, Math.ceil(c / across) * height, (context) => {
    for (let k = 0; k < c; k++) {
      const [x, y] = [(k % across) * width + gap / 2, Math.floor(k / across) * height + gap / 2];
      for (let i = 0; i < h; i++)
        for (let j = 0; j < w; j++) {
          context.fillStyle = css(shade(t.data[(i * w + j) * c + k]!, most, tone));
          context.fillRect(x + j * size, y + i * size, size, size);
        }
      context.strokeStyle = css(colour(k === pick ? tone : "line"));
      context.lineWidth = k === pick ? 2 : 1;
      context.strokeRect(x - 1, y - 1, w * size + 2, h * size + 2);
    }
  });
  const hit = (event: MouseEvent): [number, number, number] | null => {
    const box = canvas.current!.getBoundingClientRect();
    const ratio = (across * width) / box.width;
    const [x, y] = [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
    const k = Math.floor(y / height) * across + Math.floor(x / width);
    const i = Math.floor(((y % height) - gap / 2) / size);
    const j = Math.floor(((x % width) - gap / 2) / size);
    return k < c && i >= 0 && j >= 0 && i < h && j < w ? [k, i, j] : null;
  };
  const onKey = (event: KeyboardEvent): void => {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -c, End: c }[event.key];
    if (!by) return;
    event.preventDefault();
    onPick(Math.max(0, Math.min(c - 1, pick + by)));
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
      onKeyDown={onKey}
    >
      <canvas
        ref={canvas}
        style={{ width: `${across * width}px` }}
        onClick={(e) => {
          const found = hit(e);
          if (found) onPick(found[0]);
        }}
        onMouseMove={
          onHover &&
          ((e) => {
            const found = hit(e);
            if (found) onHover(...found);
          })
        }
      />
    </div>
  );
}

/** Numbers with names as bars from a common zero. */
export function Bars({ label, names, values, tone = "value", mark, show = fmt, most }: {
  label: string;
  names: string[];
  values: number[];
  tone?: Tone;
  mark?: number;
  show?: (v: number) => string;
  most?: number;
}) {
  const end = most ?? (extent(values) || 1);
  const signed = values.some((v) => v < 0);
  return (
    <table class={`bars ${signed ? "signed" : ""}`} aria-label={label}>
      <tbody>
        {names.map((name, k) => {
          const v = values[k]!;
          const part = Math.min(1, Math.abs(v) / end) * (signed ? 50 : 100);
          return (
            <tr key={k} class={k === mark ? "mark" : ""}>
              <th scope="row">{name}</th>
              <td class="bar" aria-hidden="true">
                <i class={v < 0 ? "minus" : tone} style={{ width: `${part}%`, left: signed ? `${v < 0 ? 50 - part : 50}%` : "0" }} />
              </td>
              <td class="num">{show(v)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

/** Show a number on its way from one element to another; returns at once without motion. */
export function fly(from: Element | null | undefined, to: Element | null | undefined, text: string, tone: Tone): void {
  if (!moves() || !from || !to) return;
  const [a, b] = [from.getBoundingClientRect(), to.getBoundingClientRect()];
  const chip = Object.assign(document.createElement("div"), { className: `chip ${tone}`, textContent: text });
  chip.setAttribute("aria-hidden", "true");
  document.body.append(chip);
  const at = (r: DOMRect): string => `translate(${r.x + r.width / 2}px, ${r.y + r.height / 2}px) translate(-50%, -50%)`;
  chip.animate(
    [
      { transform: `${at(a)} scale(.7)`, opacity: 0 },
      { transform: at(a), opacity: 1, offset: 0.2 },
      { transform: at(b), opacity: 1, offset: 0.85 },
      { transform: `${at(b)} scale(.7)`, opacity: 0 },
    ],
    { duration: 600, easing: "cubic-bezier(.4, 0, .2, 1)" },
  ).onfinish = () => chip.remove();
}

export { useId };
