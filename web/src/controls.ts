/** The controls of the file: an element with a name shows and sets the control that has its name as key. */
import { all, controls, parse, written } from "./state.ts";
import { operates } from "./bench_panels.tsx";
import { effect } from "./signals.ts";

/** `shows` writes the value of a slider; `conditions` say which parts of the file apply, by their `data-when`. */
export function bind(shows: Record<string, (v: number) => string>, conditions: Record<string, (value: string) => boolean>): void {
  for (const control of all<HTMLInputElement>("main [name]")) {
    const { state } = controls.get(control.name)!;
    const { type } = control;
    effect(() => {
      const v = state.value;
      if (type === "checkbox") control.checked = v as boolean;
      else if (type === "radio") control.checked = v === control["value"];
      else if (document.activeElement !== control || type === "range") control["value"] = `${v}`;
      if (type !== "range") return;
      const text = (shows[control.name] ?? String)(v as number);
      control.style.setProperty("--part", `${(100 * (+v - +control.min)) / (+control.max - +control.min || 1)}%`);
      control.ariaValueText = control.nextElementSibling!.textContent = text;
    });
    control.oninput = () => (state.value = type === "checkbox" ? control.checked : type === "range" ? +control["value"] : control["value"]);
  }
  // A button says what it sets, "step=0 walk=2", or by how much it changes an integer, "step+1".
  for (const button of all("[data-set]")) {
    const changes = button.dataset.set!.split(" ").map((change) => {
      const [, key, text] = /^(\w+)=?(.+)$/.exec(change)!;
      const { state, allows } = controls.get(key!)!;
      const next = (): Parameters<typeof allows>[0] => (/[+-]/.test(text!) ? +state.value + +text! : parse(text!, state.value));
      return { state, next, possible: () => allows(next()) };
    });
    // A disabled button would lose the focus of a reader who steps to the end with the keyboard.
    effect(() => (button.ariaDisabled = changes.every(({ possible }) => possible()) ? null : "true"));
    button.onclick = () => changes.forEach(({ state, next, possible }) => possible() && (state.value = next()));
  }
  // What does not apply leaves the page, so that neither the keyboard nor a screen reader reaches it.
  const applies = (name: string): boolean => {
    const [key, value] = name.split("=") as [string, string];
    return conditions[key]?.(value) ?? (value ? written(controls.get(key)!.state.value) === value : operates(key));
  };
  for (const part of all("[data-when]")) {
    const empty = document.createComment("");
    effect(() => {
      const [here, gone] = part.dataset.when!.split(" ").every(applies) ? [part, empty] : [empty, part];
      gone.replaceWith(here);
    });
  }
}
