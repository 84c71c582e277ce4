/** Replaces Preact's `component` and `options`. */

/** Return the first element at or after a child, or after a node. */
export function getDomSibling(vnode, index) {
  if (index == null) return vnode._parent && getDomSibling(vnode._parent, vnode._index + 1);
  const found = vnode._children.slice(index).find((child) => child && child._dom);
  return found ? found._dom : typeof vnode.type == "function" ? getDomSibling(vnode) : null;
}

/** No hooks into what Preact does. */
export default {};
