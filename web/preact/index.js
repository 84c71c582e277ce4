/**
 * Preact with what this page uses: elements, text, Fragments, function components without state, keys, and refs that are
 * functions. Creating nodes and matching children are the package's own modules; `diff.js`, `props.js` and `parts.js`
 * stand in for those that carry classes, hooks, contexts, hydration, portals, suspense and SVG. `build.mjs` puts them
 * together.
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
  diff(parentDom, parentDom._children, old || EMPTY_OBJ, 0, 0, 0, 0, old && old._dom, 0, refs);
  attach(refs);
}
