/**
 * Preact with what this page uses: elements, text, Fragments, function components without state, keys, and refs that are
 * functions. Creating nodes and matching children are the package's own modules; `diff.js`, `props.js` and `parts.js`
 * replace those that carry classes, hooks, contexts, hydration, portals, suspense and SVG. `build.mjs` puts them together.
 *
 * All of this follows the internals of exactly one version of Preact, the one in package.json, and `build.mjs` refuses
 * another: fields as `_children` and the order of arguments are not part of its interface and change without notice.
 */
import { createVNode, Fragment } from "preact/src/create-element";
import { EMPTY_OBJ } from "preact/src/constants";
import { attach, diff } from "./diff.js";

export { createElement as h, Fragment } from "preact/src/create-element";

/** Draw a node into an element that nothing else draws into. */
export function render(vnode, parentDom) {
  const old = parentDom._children;
  const refs = [];
  parentDom._children = createVNode(Fragment, { children: [vnode] });
  const before = old || EMPTY_OBJ;
  diff(parentDom, parentDom._children, before, /* context */ 0, /* namespace */ 0, /* excess */ 0, /* queue */ 0, old && old._dom, /* hydrating */ 0, refs);
  attach(refs);
}
