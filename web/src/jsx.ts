/** What JSX becomes; no other name in the sources is like these. */
export { Fragment as jsxFragment, h as jsxNode } from "preact";
