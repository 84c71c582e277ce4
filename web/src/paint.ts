/** Colours of maps: one hue for values, one for gradients, a neutral one for what is negative. */
import { abs, min, round } from "./math.ts";
import { computed } from "./signals.ts";
import { theme } from "./state.ts";

export type Tone = "value" | "grad";
type Rgb = number[];

export const FAMILY = getComputedStyle(document.documentElement).fontFamily;

/** The colour of a tone in the style sheet. */
export const toneColour = (tone: Tone): Rgb => colour(tone === "grad" ? "--grad" : "--value");

// Its computed colour is red, green and blue in any scheme, also where a custom property names a colour of the system. In
// the head it is not shown. With forced colours its own would be replaced.
const probe = document["head"].appendChild(document.createElement("i"));
probe.style.forcedColorAdjust = "none";

const colours = computed(() => {
  void theme.value; // with which all of them change
  return new Map<string, Rgb>();
});

/** Return a colour by its custom property. */
export function colour(name: string): Rgb {
  const known = colours.value;
  if (!known.has(name)) {
    probe.style.color = `var(${name})`;
    known.set(name, getComputedStyle(probe).color.match(/[\d.]+/g)!.slice(0, 3).map(Number));
  }
  return known.get(name)!;
}

/** Return the colours of a scale, by number. */
export function shades(most: number, tone: Tone): (v: number) => Rgb {
  const [from, positive, negative] = [colour("--cell"), toneColour(tone), colour("--soft")];
  return (v) => {
    const share = isFinite(v) ? min(1, abs(v) / (most || 1)) : 1;
    const t = v === 0 || isNaN(v) ? 0 : 0.06 + 0.94 * share;
    return from.map((a, i) => round(a + ((v < 0 ? negative : positive)[i]! - a) * t));
  };
}

export const css = (rgb: Rgb): string => `rgb(${rgb.join(" ")})`;

export const ink = (name: string): string => css(colour(name));

/** Black or white, whichever can be read on a colour: by this curve the contrast is 4.52 or more on all 2^24 colours. */
export const readable = (on: Rgb): string => {
  const [r, g, b] = on.map((c) => (c / 255) ** 2.2) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? "#000" : "#fff";
};
