/** Signals with the interface of Preact's, in the few lines that this page needs. */

type Source = { readers: Set<() => void> };

let reading: Set<Source> | undefined; // what the computation that runs now has read
let clock = 0; // counts changes
let due = new Set<() => void>();

export interface Signal<T> {
  value: T;
}

export function signal<T>(held: T): Signal<T> {
  const readers = new Set<() => void>();
  const source = { readers };
  return {
    get value() {
      reading?.add(source);
      return held;
    },
    set value(next) {
      if (next === held) return;
      held = next;
      clock++;
      for (const run of readers) {
        if (!due.size) queueMicrotask(flush);
        due.add(run);
      }
    },
  };
}

function flush(): void {
  const now = due;
  due = new Set();
  for (const run of now) run();
}

/** Run a function and return the signals that it read. */
function collect(f: () => void): Set<Source> {
  const outer = reading;
  const found = (reading = new Set());
  f();
  reading = outer;
  return found;
}

/** Run a function, and run it again soon after a signal that it read has changed. */
export function effect(f: () => void): void {
  let sources: Set<Source>;
  const run = (): void => {
    sources?.forEach((s) => s.readers.delete(run));
    (sources = collect(f)).forEach((s) => s.readers.add(run));
  };
  run();
}

/** A value made from signals, computed at most once between two changes. */
export function computed<T>(f: () => T): { readonly value: T } {
  let [at, held, sources] = [-1] as unknown as [number, T, Set<Source>];
  return {
    get value() {
      if (at !== clock) {
        sources = collect(() => (held = f()));
        at = clock;
      }
      sources.forEach((s) => reading?.add(s));
      return held;
    },
  };
}
