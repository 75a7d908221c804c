// Structures as SVG, drawn in the browser; OpenChemLib makes the lines, we make the elements.

import { Molecule } from "./vendor/openchemlib.js";
import { svg } from "./elements.js";

const OPTIONS = {
  suppressChiralText: true, suppressCIPParity: true, suppressESR: true, noStereoProblem: true,
  noImplicitAtomLabelColors: true, noColorOnESRAndCIP: true, strokeWidth: 1.4, maxAVBL: 34,
};
const INK = "rgb(0,0,0)";

/**
 * Draws a SMILES (or a Molecule) as an SVG element in the colour of its text; null if it cannot be
 * read. `atoms` are the centres in the order of the SMILES, in the drawing's own pixels.
 */
export function depict(structure, width, height) {
  try {
    const molecule = typeof structure === "string" ? Molecule.fromSmiles(structure) : structure;
    return molecule.getAllAtoms() === 0 ? null : draw(molecule, width, height);
  } catch {
    return null; // only the server's reading counts; it says what is wrong
  }
}

function draw(molecule, width, height) {
  const markup = molecule.toSVG(width, height, "m", OPTIONS).replace(/<style>[^]*?<\/style>/, "");
  const drawn = new DOMParser().parseFromString(markup, "image/svg+xml").documentElement;
  const element = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "structure", role: "img" });
  const atoms = [];
  for (const part of drawn.children) {
    if (part.getAttribute("class") === "event") {
      if (part.localName === "circle") atoms.push([Number(part.getAttribute("cx")), Number(part.getAttribute("cy"))]);
      continue;
    }
    element.append(copied(part));
  }
  return { element, atoms, molecule };
}

// Made anew, attribute by attribute: the policy refuses a style attribute that a parser wrote.
function copied(part) {
  const made = svg(part.localName, {}, part.textContent.trim());
  for (const { name, value } of part.attributes) {
    if (name === "style" || name === "id") continue;
    made.setAttribute(name, value === INK ? "currentColor" : value);
  }
  return made;
}
