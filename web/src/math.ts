/** Short names, of which the built script has many. */
export const { abs, ceil, exp, expm1, floor, log, log1p, max, min, round, sign, sqrt } = Math;

/** 0, 1, .. n - 1. */
export const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

export const clamp = (v: number, least: number, most: number): number => max(least, min(most, v));

export const sum = (v: number[]): number => v.reduce((a, b) => a + b, 0);

/** The largest finite absolute value of an array, which is the end of its scale. */
export const extent = (data: ArrayLike<number>): number => {
  let most = 0;
  for (let i = 0; i < data.length; i++) {
    const v = abs(data[i]!);
    if (v > most && v < Infinity) most = v;
  }
  return most;
};

/** The place of the largest number. */
export const best = (v: ArrayLike<number>): number => {
  let k = 0;
  for (let i = 1; i < v.length; i++) if (v[i]! > v[k]!) k = i;
  return k;
};
