/** The state of the controls: one signal each, mirrored in the address as `#key=value`, defaults left out. */
import { effect, signal, type Signal } from "@preact/signals";

type Plain = number | string | boolean;

const controls = new Map<string, { state: Signal<Plain>; initial: Plain }>();
const given = new URLSearchParams(location.hash.slice(1));

const parse = (text: string, like: Plain): Plain => {
  if (typeof like === "boolean") return text === "1";
  if (typeof like === "string") return text;
  return Number.isFinite(Number(text)) && text !== "" ? Number(text) : like;
};

/** Return the signal of a control; an address that has its key decides the initial value if `fits` accepts it. */
export function control<T extends Plain>(key: string, initial: T, fits: (value: T) => boolean = () => true): Signal<T> {
  const text = given.get(key);
  const found = text === null ? initial : (parse(text, initial) as T);
  const state = signal(fits(found) ? found : initial);
  controls.set(key, { state: state as unknown as Signal<Plain>, initial });
  return state;
}

/** A control that is an integer in a range. */
export const count = (key: string, initial: number, least: number, most: number): Signal<number> =>
  control(key, initial, (n) => Number.isInteger(n) && n >= least && n <= most);

/** A control that is one of several names. */
export const choice = <T extends string>(key: string, names: readonly T[]): Signal<T> =>
  control<T>(key, names[0]!, (name) => names.includes(name));

/** Keep the address up to date from now on. */
export function mirror(): void {
  effect(() => {
    const hash = new URLSearchParams();
    for (const [key, { state, initial }] of controls)
      if (state.value !== initial) hash.set(key, typeof state.value === "boolean" ? String(Number(state.value)) : String(state.value));
    const text = hash.toString();
    try {
      history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
    } catch {
      // A page inside a notebook has an address that cannot change; its state is not kept.
    }
  });
}

/** Changes when colours do: canvases are drawn again. */
export const theme = signal(0);
for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)", "print"])
  matchMedia(query).addEventListener("change", () => theme.value++);

/** Whether the reader accepts motion. */
export const moves = (): boolean => matchMedia("(prefers-reduced-motion: no-preference)").matches;

/** What a screen reader is told next. */
export const spoken = signal("");
