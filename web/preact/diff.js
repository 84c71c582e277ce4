/** Replaces Preact's `diff/index`; the functions take the same arguments because `diff/children` calls them. */
import { EMPTY_OBJ } from "preact/src/constants";
import { Fragment } from "preact/src/create-element";
import { diffChildren } from "preact/src/diff/children";
import { removeNode } from "preact/src/util";
import { getDomSibling } from "./parts.js";
import { setProperty } from "./props.js";

function children(parentDom, found, vnode, old, oldDom, refs) {
  const list = Array.isArray(found) ? found : [found];
  return diffChildren(parentDom, list, vnode, old, /* context */ 0, /* namespace */ 0, /* excess */ 0, /* queue */ 0, oldDom, /* hydrating */ 0, refs);
}

/** Make the document agree with a node, and return where the next one belongs. */
export function diff(parentDom, vnode, old, _context, _namespace, _excess, _queue, oldDom, _hydrating, refs) {
  const { type, props } = vnode;
  if (typeof type != "function") return (vnode._dom = diffElement(old._dom, vnode, old, refs));
  const made = type(props);
  // A fragment without a key is only its children.
  return children(parentDom, made && made.type === Fragment && made.key == null ? made.props.children : made, vnode, old, oldDom, refs);
}

function diffElement(dom, { type, props }, old, refs) {
  const before = old.props || EMPTY_OBJ;
  if (!type) {
    if (!dom) return document.createTextNode(props);
    if (before !== props) dom.data = props;
    return dom;
  }
  dom ||= document.createElement(type);
  for (const name in before) if (name != "children" && !(name in props)) setProperty(dom, name);
  for (const name in props) if (name != "children" && before[name] !== props[name]) setProperty(dom, name, props[name]);
  children(dom, props.children, arguments[1], old, old._children && getDomSibling(old, 0), refs);
  return dom;
}

/** Call the refs of what has been drawn: each entry is a function, its element, and the node. */
export function attach(refs) {
  for (let i = 0; i < refs.length; i += 3) applyRef(refs[i], refs[i + 1]);
}

/** Call a ref with its element; refs of this page do not ask for its end. */
export const applyRef = (ref, dom) => dom && ref(dom);

export function unmount(vnode, parent, skip) {
  vnode._children?.forEach((child) => child && unmount(child, parent, typeof vnode.type != "function" || skip));
  if (!skip) removeNode(vnode._dom);
  vnode._dom = vnode._parent = null;
}
