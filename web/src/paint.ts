/** Colours of maps: one hue for values, one for gradients, a neutral one for what is negative. */
import { theme } from "./state.ts";

export type Tone = "value" | "grad";
type Rgb = [number, number, number];

const known = new Map<string, Rgb>();
let drawn = -1;

/** Return a colour of the style sheet, whatever notation it has there. */
export function colour(name: string): Rgb {
  if (drawn !== theme.value) {
    known.clear();
    drawn = theme.value;
  }
  const found = known.get(name);
  if (found) return found;
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d")!;
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  context.fillRect(0, 0, 1, 1);
  const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
  const rgb: Rgb = [r!, g!, b!];
  known.set(name, rgb);
  return rgb;
}

/** Return the share of the scale that a number fills, from 0 to 1. */
export const share = (v: number, most: number): number => (Number.isFinite(v) ? Math.min(1, Math.abs(v) / (most || 1)) : 1);

export function shade(v: number, most: number, tone: Tone): Rgb {
  const [from, to] = [colour("cell"), colour(v < 0 ? "minus" : tone)];
  const t = v === 0 || Number.isNaN(v) ? 0 : 0.06 + 0.94 * share(v, most);
  return from.map((a, i) => Math.round(a + (to[i]! - a) * t)) as Rgb;
}

export const css = ([r, g, b]: Rgb): string => `rgb(${r} ${g} ${b})`;

const light = ([r, g, b]: Rgb): number => {
  const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x! + 0.7152 * y! + 0.0722 * z!;
};

/** The one of paper and ink that can be read on a colour. */
export function readable(on: Rgb): Rgb {
  const contrast = (c: Rgb): number => {
    const [a, b] = [light(c), light(on)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const [ink, paper] = [colour("ink"), colour("cell")];
  return contrast(ink) >= contrast(paper) ? ink : paper;
}

/** The largest finite absolute value of an array, which is the end of its scale. */
export const extent = (data: ArrayLike<number>): number => {
  let most = 0;
  for (let i = 0; i < data.length; i++) {
    const v = Math.abs(data[i]!);
    if (v > most && v < Infinity) most = v;
  }
  return most;
};
