/**
 * The part of Preact's interface that the page uses: elements, text, Fragments, functions without state, and refs that
 * are functions. The sources are a program for Preact and are checked with its types; with the package itself, whose
 * place this takes in `build.mjs`, they make the same page of 10 KB more.
 */

interface Made {
  type: string;
  props: Record<string, unknown>;
}

type Child = Made | Child[] | string | number | false | null | undefined;
type Drawn = HTMLElement & { _props?: Made["props"] };

export const Fragment = ({ children }: { children: Child }): Child => children;

export const h = (type: string | ((props: object) => Child), props: object, ...children: Child[]): Child =>
  typeof type == "string" ? { type, props: { ...props, children } } : type({ ...props, children });

/**
 * Draw into an element that nothing else draws into. Nodes keep their places, also those that a condition leaves out;
 * what follows a list or a Fragment moves with its length, and is made again where another kind of element was.
 */
export function render(made: Child, parent: Element): void {
  const list = ([made] as unknown[]).flat(Infinity) as Exclude<Child, Child[]>[];
  list.forEach((node, n) => {
    const old = parent.childNodes[n] as Drawn | Text | undefined;
    const dom = node && typeof node == "object" ? element(node, old as Drawn) : text(`${node || node === 0 ? node : ""}`, old);
    if (!old) parent.append(dom);
    else if (old !== dom) old.replaceWith(dom);
  });
  while (parent.childNodes[list.length]) parent.lastChild!.remove();
}

function text(shown: string, old?: Drawn | Text): Text {
  if (!(old instanceof Text)) return new Text(shown);
  if (old.data !== shown) old.data = shown;
  return old;
}

function element({ type, props }: Made, old?: Drawn): Drawn {
  const dom: Drawn = old?.localName === type ? old : document.createElement(type);
  const before = dom._props ?? {};
  dom._props = props;
  for (const name in { ...before, ...props }) if (before[name] !== props[name]) set(dom, name, props[name]);
  return dom;
}

function set(dom: HTMLElement, name: string, value: any): void {
  if (name == "children") render(value, dom);
  else if (name == "ref") value(dom);
  else if (name == "style") Object.assign(dom.style, value);
  else if (name.startsWith("on")) dom[name.toLowerCase() as "onclick"] = value;
  else if (value == null || value === false) dom.removeAttribute(name);
  else dom.setAttribute(name, value);
}
