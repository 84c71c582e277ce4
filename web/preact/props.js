/** Replaces Preact's `diff/props`: no SVG, no capture, no styles as text, and a style keeps its properties. */

/** Set a property of an element, or remove it. */
export function setProperty(dom, name, value) {
  if (name == "style") Object.assign(dom.style, value);
  else if (name.startsWith("on")) dom[name.toLowerCase()] = value;
  else if (value == null || value === false) dom.removeAttribute(name);
  else dom.setAttribute(name, value);
}
