// Elements by hand: no markup is ever made from text, so nothing that a server or a file says can
// become an element, and no style attribute is written that the policy would refuse.

const SVG = "http://www.w3.org/2000/svg";

/** Makes an HTML element: attributes by name, `on*` listeners, `class`, `dataset`; then children. */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** Makes an SVG element in the same way. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** Replaces what an element holds. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat().filter(present));
  return element;
}

/** Places an element between two shares (0..1) of its parent's width. */
export function across(element, from, to = from) {
  element.style.left = `${(100 * from).toFixed(2)}%`;
  if (to !== from) element.style.width = `${(100 * (to - from)).toFixed(2)}%`;
  return element;
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "dataset") Object.assign(element.dataset, value);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter(present));
  return element;
}

function present(child) {
  return child !== null && child !== undefined && child !== false;
}
