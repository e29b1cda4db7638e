/** Makes elements. Text is only ever set as text, so that nothing that comes from outside is read as HTML. */

export const byId = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element: attributes by name, children that are elements or text. */
export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function draw(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** The class that gives a label its colour and its dashes, by its place among the labels. */
export const tint = (place) => `tint-${place % 6}`;
