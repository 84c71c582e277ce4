/** The state of the controls: one signal each, mirrored in the address as `#key=value`, defaults left out. */
import { render, type ComponentChild } from "preact";
import { clamp, round } from "./math.ts";
import { effect, signal, type Signal } from "./signals.ts";

type Plain = number | string | boolean;

interface Control {
  state: Signal<Plain>;
  initial: Plain;
  allows(value: Plain): boolean;
}

export const controls = new Map<string, Control>();
const given = new URLSearchParams(location.hash.slice(1));

export const parse = (text: string, like: Plain): Plain =>
  typeof like === "boolean" ? text === "1" : typeof like === "string" ? text : text && isFinite(+text) ? +text : like;

/** Return the signal of a control; an address that has its key decides the initial value if `allows` accepts it. */
export function control<T extends Plain>(key: string, initial: T, allows: (value: T) => boolean = () => true): Signal<T> {
  const found = parse(given.get(key) ?? "", initial) as T;
  const state = signal(given.has(key) && allows(found) ? found : initial);
  controls.set(key, { state, initial, allows } as unknown as Control);
  return state;
}

/** A control that is an integer in a range. */
export const count = (key: string, initial: number, least: number, most: number): Signal<number> =>
  control(key, initial, (n) => n === clamp(round(n), least, most));

/** A control that is one of several names. */
export const choice = <T extends string>(key: string, ...names: T[]): Signal<T> => control<T>(key, names[0]!, (name) => names.includes(name));

/** The state of a control as it stands in the address. */
export const written = (value: Plain): string => String(value === true ? 1 : value || 0);

/** Keep the address up to date from now on. */
export function mirror(): void {
  effect(() => {
    const hash = new URLSearchParams();
    for (const [key, { state, initial }] of controls) if (state.value !== initial) hash.set(key, written(state.value));
    const text = String(hash);
    try {
      history.replaceState(null, "", location.href.split("#")[0]! + (text && `#${text}`));
    } catch {
      // A page inside a notebook has an address that cannot change; its state is not kept.
    }
  });
}

/** Changes when colours do: canvases are drawn again. */
export const theme = signal(0);
for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)", "print"])
  matchMedia(query).onchange = () => theme.value++;

/** Whether the reader accepts motion. */
export const moves = (): boolean => matchMedia("(prefers-reduced-motion: no-preference)").matches;

/** All elements of the file that a selector names. */
export const all = <T extends Element = HTMLElement>(what: string, root: ParentNode = document): T[] => [...root.querySelectorAll<T>(what)];

export const element = (id: string): HTMLElement => document.getElementById(id)!;

/** Show a text; what is as it was is not touched, so that a screen reader does not read it again. */
export function put(into: Node, text: string): void {
  if (into.textContent !== text) into.textContent = text;
}

let place = "";
const kept = new Map<string, Signal<unknown>>();

/** Draw something into an element of the file, and again whenever a signal that it has read changes. */
export function mount(id: string, view: () => ComponentChild): void {
  const into = element(id);
  effect(() => {
    place = id;
    render(view(), into);
  });
}

/** The signal with which a part of what is being drawn remembers its own state. */
export function own<T>(key: string, initial: T): Signal<T> {
  key = `${place} ${key}`;
  if (!kept.has(key)) kept.set(key, signal<unknown>(initial));
  return kept.get(key) as Signal<T>;
}

let timer = 0;

/** Run through steps in time, 0 to `total` - 1, and then call `over`; whatever ran before stops. */
export function play(total: number, pause: number, each: (n: number) => void, over: () => void): void {
  stop();
  let n = 0;
  const tick = (): void => {
    if (n < total) return each(n++);
    stop();
    over();
  };
  timer = setInterval(tick, pause) as unknown as number;
  tick();
}

export const stop = (): void => clearInterval(timer);
