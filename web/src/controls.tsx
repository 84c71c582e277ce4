/** The controls of the page, drawn by its style sheet over the browser's own elements. */
import type { ComponentChildren } from "preact";
import type { Signal } from "@preact/signals";
import { useId } from "preact/hooks";

interface SliderProps {
  label: string;
  state: Signal<number>;
  least: number;
  most: number;
  by?: number;
  show?: (v: number) => string;
  onInput?: () => void;
}

export function Slider({ label, state, least, most, by = 1, show = String, onInput }: SliderProps) {
  const part = (100 * (state.value - least)) / (most - least || 1);
  return (
    <label class="slider">
      <span class="name">{label}</span>
      <input
        type="range"
        min={least}
        max={most}
        step={by}
        value={state.value}
        style={{ "--part": `${part}%` }}
        aria-valuetext={show(state.value)}
        onInput={(e) => {
          state.value = Number(e.currentTarget.value);
          onInput?.();
        }}
      />
      <output>{show(state.value)}</output>
    </label>
  );
}

export function Choice<T extends string>({ label, state, names, hidden }: {
  label: string;
  state: Signal<T>;
  names: readonly (readonly [T, string])[];
  hidden?: boolean;
}) {
  const id = useId();
  return (
    <fieldset class="choice">
      <legend class={hidden ? "aside" : ""}>{label}</legend>
      {names.map(([value, text]) => (
        <label key={value}>
          <input type="radio" name={id} value={value} checked={state.value === value} onChange={() => (state.value = value)} />
          <span>{text}</span>
        </label>
      ))}
    </fieldset>
  );
}

export function Switch({ label, state }: { label: string; state: Signal<boolean> }) {
  return (
    <label class="switch">
      <input type="checkbox" role="switch" checked={state.value} onChange={(e) => (state.value = e.currentTarget.checked)} />
      <i aria-hidden="true" />
      <span>{label}</span>
    </label>
  );
}

export function Select({ label, state, names }: { label: string; state: Signal<string>; names: readonly (readonly [string, string])[] }) {
  return (
    <label class="select">
      <span class="name">{label}</span>
      <select value={state.value} onChange={(e) => (state.value = e.currentTarget.value)}>
        {names.map(([value, text]) => (
          <option key={value} value={value} selected={state.value === value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

export function Button({ onClick, children, label, off, main }: {
  onClick: () => void;
  children: ComponentChildren;
  label?: string;
  off?: boolean;
  main?: boolean;
}) {
  // A disabled button would lose the focus of who steps to the end with the keyboard.
  return (
    <button type="button" class={main ? "main" : ""} aria-label={label} aria-disabled={off || undefined} onClick={() => !off && onClick()}>
      {children}
    </button>
  );
}

/** A section with its heading and plain-language line. */
export function Panel({ id, number, title, lede, children }: {
  id: string;
  number: number;
  title: string;
  lede: ComponentChildren;
  children: ComponentChildren;
}) {
  return (
    <section id={id} class="panel" aria-labelledby={`${id}-title`} tabIndex={-1}>
      <header>
        <span class="number" aria-hidden="true">
          {number}
        </span>
        <h2 id={`${id}-title`}>{title}</h2>
        <p>{lede}</p>
      </header>
      {children}
    </section>
  );
}

/** A line with the formula and its numbers; a screen reader hears when it changes. */
export const Formula = ({ children }: { children: ComponentChildren }) => (
  <p class="formula" aria-live="polite">
    {children}
  </p>
);

export const Figure = ({ title, children, note }: { title: ComponentChildren; children: ComponentChildren; note?: ComponentChildren }) => (
  <figure>
    <figcaption>{title}</figcaption>
    {children}
    {note && <p class="note">{note}</p>}
  </figure>
);
