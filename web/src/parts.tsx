/** Small parts of panels. */
import type { ComponentChildren } from "preact";

/** A line with the formula and its numbers; a screen reader hears when it changes. */
export const Formula = ({ of, children }: { of: string; children: ComponentChildren }) => (
  <p class="formula" aria-live="polite">
    <b>{of}:</b> {children}
  </p>
);

export const Figure = ({ title, children }: { title: string; children: ComponentChildren }) => (
  <figure>
    <figcaption>{title}</figcaption>
    {children}
  </figure>
);
