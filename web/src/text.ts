/** Numbers as text. */

const minus = (text: string): string => text.replace("-", "−");

/** A number with as many digits as it needs, at most `digits` significant ones. */
export function fmt(v: number, digits = 3): string {
  if (Number.isNaN(v)) return "NaN";
  if (!Number.isFinite(v)) return v > 0 ? "∞" : "−∞";
  if (v === 0) return "0";
  if (Number.isInteger(v) && Math.abs(v) < 1e5) return minus(String(v));
  const size = Math.abs(v);
  if (size < 1e-4 || size >= 1e6) {
    const [m, e] = v.toExponential(Math.max(0, digits - 2)).split("e");
    return `${minus(m!)}·10${[...e!.replace("+", "")].map((d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(d)] ?? "⁻").join("")}`;
  }
  const places = Math.max(0, Math.min(6, digits - 1 - Math.floor(Math.log10(size))));
  const text = v.toFixed(places);
  return minus(text.includes(".") ? text.replace(/\.?0+$/, "") : text);
}

/** A number that fits into a cell of a map. */
export const short = (v: number): string => {
  const size = Math.abs(v);
  if (v !== 0 && size < 0.005) return v < 0 ? "−0" : "+0";
  return fmt(v, size < 1 ? 2 : 3).replace(/^(−?)0\./, "$1.");
};

/** A sum with its signs: "0.1 − 0.2 + 0.3". */
export function terms(v: number[], most = 9): string {
  const list = v.slice(0, most).map((a, i) => (i ? (a < 0 ? ` − ${fmt(-a)}` : ` + ${fmt(a)}`) : fmt(a)));
  return list.join("") + (v.length > most ? ` + … (${v.length - most} more)` : "");
}

export const percent = (p: number): string => (p > 0 && p < 0.001 ? "<0.1 %" : `${fmt(p * 100)} %`);
export const thousands = (n: number): string => n.toLocaleString("en").replace(/,/g, " ");
export const size = (shape: number[]): string => shape.join(" × ") || "one number";
export const plural = (n: number, one: string): string => `${thousands(n)} ${one}${n === 1 ? "" : "s"}`;
