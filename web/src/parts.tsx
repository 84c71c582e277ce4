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

type Content = ComponentChildren;

/** A table whose first column names its rows. */
export const Table = ({ head, rows }: { head: Content[]; rows: Content[][] }) => (
  <table>
    <thead>
      <tr>{head.map((t) => (t ? <th scope="col">{t}</th> : <td />))}</tr>
    </thead>
    <tbody>
      {rows.map(([first, ...more]) => (
        <tr>
          <th scope="row">{first}</th>
          {more.map((t) => (
            <td>{t}</td>
          ))}
        </tr>
      ))}
    </tbody>
  </table>
);

export const Scroll = ({ label, children }: { label: string; children: Content }) => (
  <div class="scroll" tabIndex={0} role="region" aria-label={label}>
    {children}
  </div>
);
