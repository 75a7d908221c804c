// A worker that draws structures: the table scrolls on while OpenChemLib thinks (5 ms a molecule).

import { Molecule } from "../vendor/openchemlib.js";

const OPTIONS = {
  autoCrop: true,
  autoCropMargin: 3,
  suppressChiralText: true,
  suppressESR: true,
  suppressCIPParity: true,
  noStereoProblem: true,
};
const DARK_ENOUGH = 120; // of 255: paler atoms cannot be read on white

addEventListener("message", ({ data }) => {
  const { key, what, structure, width, height } = data;
  let answer = null;
  try {
    const molecule = read(structure);
    answer = what === "smiles" ? molecule.toIsomericSmiles() : picture(molecule, width, height);
  } catch {
    // what OpenChemLib cannot read has no picture; predict says what is wrong with it
  }
  postMessage({ key, answer });
});

function read({ smiles, molblock }) {
  if (molblock !== undefined) return Molecule.fromMolfile(molblock);
  // Behind a blank stands a name or an extension, which OpenChemLib does not know.
  return Molecule.fromSmiles(smiles.split(/\s/, 1)[0]);
}

function picture(molecule, width, height) {
  if (molecule.getAllAtoms() === 0) return null;
  return molecule
    .toSVG(width, height, "m", OPTIONS)
    .replace(/<style>.*?<\/style>/s, "")
    .replace(/<(line|circle)[^>]*class="event"[^>]*\/>\s*/g, "")
    .replace("<svg ", '<svg stroke-linecap="round" stroke-linejoin="round" font-family="sans-serif" ')
    .replace(/rgb\((\d+),(\d+),(\d+)\)/g, (_, r, g, b) => readable(Number(r), Number(g), Number(b)));
}

function readable(r, g, b) {
  const shade = 0.299 * r + 0.587 * g + 0.114 * b;
  const less = Math.min(1, DARK_ENOUGH / shade);
  return `rgb(${[r, g, b].map((part) => Math.round(part * less)).join(",")})`;
}
