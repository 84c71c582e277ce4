/** The controls of the file: an element with a name shows and sets the control that has its name as key. */
import { controls } from "./state.ts";
import { effect } from "./signals.ts";

/** `shows` writes the value of a slider; `conditions` say which parts of the file apply, by their `data-when`. */
export function bind(shows: Record<string, (v: number) => string>, conditions: (name: string) => boolean): void {
  for (const control of document.querySelectorAll<HTMLInputElement>("main [name]")) {
    const [state] = controls.get(control.name)!;
    const { type } = control;
    effect(() => {
      const v = state.value;
      if (type === "checkbox") control.checked = v as boolean;
      else if (type === "radio") control.checked = v === control["value"];
      else if (document.activeElement !== control || type === "range") control["value"] = `${v}`;
      if (type !== "range") return;
      const text = (shows[control.name] ?? String)(v as number);
      control.style.setProperty("--part", `${(100 * (+v - +control.min)) / (+control.max - +control.min || 1)}%`);
      control.setAttribute("aria-valuetext", text);
      control.nextElementSibling!.textContent = text;
    });
    control.oninput = () => (state.value = type === "checkbox" ? control.checked : type === "range" ? +control["value"] : control["value"]);
  }
  // What does not apply leaves the page, so that no key and no reader finds it.
  for (const part of document.querySelectorAll<HTMLElement>("[data-when]")) {
    const empty = document.createComment("");
    effect(() => {
      const [here, gone] = part.dataset.when!.split(" ").every((name) => (name[0] === "!" ? !conditions(name.slice(1)) : conditions(name))) ? [part, empty] : [empty, part];
      gone.replaceWith(here);
    });
  }
}
