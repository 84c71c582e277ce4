/** Numbers as text. */
import { abs, clamp, floor, round } from "./math.ts";

const minus = (text: string): string => text.replace("-", "−");

/** A number with as many digits as it needs, at most `digits` significant ones. */
export function fmt(v: number, digits = 3): string {
  const size = abs(v);
  if (!isFinite(v)) return minus(`${v}`.replace("Infinity", "∞"));
  if (Number.isInteger(v) && size < 1e5) return minus(`${v || 0}`);
  if (size < 1e-4 || size >= 1e6) {
    const [m, e] = v.toExponential(digits - 2).split("e");
    return `${m === "1" ? "" : `${minus(m!)}·`}10${e!.replace("+", "").replace(/./g, (d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[+d] ?? "⁻")}`;
  }
  const text = v.toFixed(clamp(digits - 1 - floor(Math.log10(size)), 0, 6));
  return minus(text.includes(".") ? text.replace(/\.?0+$/, "") : text);
}

/** A number that fits into an element of a map. */
export const short = (v: number): string =>
  v !== 0 && abs(v) < 0.005 ? (v < 0 ? "−0" : "+0") : fmt(v, abs(v) < 1 ? 2 : 3).replace(/^(−?)0\./, "$1.");

/** A number after another one, with its sign between: " + 0.1". */
export const plus = (v: number): string => (v < 0 ? ` − ${fmt(-v)}` : ` + ${fmt(v)}`);

/** The first nine of some numbers, and how many more there are. */
export const some = (v: number[], between: string, end: string, text: (a: number, i: number) => string): string =>
  v.slice(0, 9).map(text).join(between) + (v.length > 9 ? `${end} … (${v.length - 9} more)` : "");

/** A sum with its signs: "0.1 − 0.2 + 0.3". */
export const terms = (v: number[]): string => some(v, "", " +", (a, i) => (i ? plus(a) : fmt(a)));

export const list = (v: number[]): string => some(v, ", ", ",", (a) => fmt(a));

export const percent = (p: number): string => (p > 0 && p < 0.0005 ? "<0.1 %" : p > 0.9995 && p < 1 ? ">99.9 %" : `${fmt(round(1000 * p) / 10)} %`);
export const plural = (n: number, one: string): string => `${n} ${one}${abs(n) === 1 ? "" : "s"}`;
/** The part of a layer's path that is its own. */
export const last = (path = ""): string => path.split("/").at(-1)!;
