// A worker that draws structures: the table scrolls on while OpenChemLib thinks (5 ms a molecule).
//
// It gives bitmaps. As SVG images the same drawings cost the page's own thread twice the time of
// everything else in a frame, for each is a document to parse.

import { Molecule } from "../vendor/openchemlib.js";

const OPTIONS = {
  autoCrop: true,
  autoCropMargin: 3,
  suppressChiralText: true,
  suppressESR: true,
  suppressCIPParity: true,
  noStereoProblem: true,
};
const FINER = 3; // OpenChemLib rounds corners to whole pixels: draw large, then shrink
const LARGEST = 0.62; // of its own size: a small molecule is not blown up
const THINNEST_PX = 0.8;
const DARK_ENOUGH = 120; // of 255: paler atoms cannot be read on white
const SHAPE = /<(line|polygon|circle|text) ([^>]*?)\/?>(?:([^<]*)<\/text>)?/g;
const ATTRIBUTE = /([\w-]+)[=:]"?([^"\s][^"]*)"/g;

addEventListener("message", ({ data }) => {
  const { key, what, structure } = data;
  let answer = null;
  try {
    const molecule = read(structure);
    answer = what === "smiles" ? molecule.toIsomericSmiles() : picture(molecule, data);
  } catch {
    // what OpenChemLib cannot read has no picture; predict says what is wrong with it
  }
  postMessage({ key, answer }, answer instanceof ImageBitmap ? [answer] : []);
});

function read({ smiles, molblock }) {
  if (molblock !== undefined) return Molecule.fromMolfile(molblock);
  // Behind a blank stands a name or an extension, which OpenChemLib does not know.
  return Molecule.fromSmiles(smiles.split(/\s/, 1)[0]);
}

function picture(molecule, { width, height, sharp }) {
  if (molecule.getAllAtoms() === 0) return null;
  const markup = molecule.toSVG(FINER * width, FINER * height, "m", OPTIONS);
  const [left, top, wide, high] = /viewBox="([^"]*)"/.exec(markup)[1].split(" ").map(Number);
  const canvas = new OffscreenCanvas(Math.round(width * sharp), Math.round(height * sharp));
  const pen = canvas.getContext("2d");
  const scale = Math.min(width / wide, height / high, LARGEST);
  pen.scale(sharp, sharp);
  pen.translate((width - scale * wide) / 2, (height - scale * high) / 2);
  pen.scale(scale, scale);
  pen.translate(-left, -top);
  pen.lineCap = pen.lineJoin = "round";
  for (const [, name, attributes, text] of markup.matchAll(SHAPE)) {
    const of = Object.fromEntries([...attributes.matchAll(ATTRIBUTE)].map(([, key, value]) => [key, value]));
    if (of.class !== "event") shape(pen, { name, of, text, scale });
  }
  return canvas.transferToImageBitmap();
}

function shape(pen, { name, of, text, scale }) {
  pen.strokeStyle = readable(of.stroke);
  pen.fillStyle = readable(of.fill);
  pen.lineWidth = Math.max(Number(of["stroke-width"] ?? 1), THINNEST_PX / scale);
  pen.setLineDash((of["stroke-dasharray"] ?? "").split(",").filter(Boolean).map(Number));
  pen.beginPath();
  if (name === "line") {
    pen.moveTo(of.x1, of.y1);
    pen.lineTo(of.x2, of.y2);
    pen.stroke();
  } else if (name === "circle") {
    pen.arc(of.cx, of.cy, of.r, 0, 2 * Math.PI);
    pen.fill();
  } else if (name === "polygon") {
    for (const corner of of.points.trim().split(" ")) pen.lineTo(...corner.split(","));
    pen.closePath();
    pen.fill();
    pen.stroke();
  } else {
    pen.font = `${of["font-size"]}px sans-serif`;
    pen.fillText(text, of.x, of.y);
  }
}

function readable(colour) {
  const parts = /rgb\((\d+),(\d+),(\d+)\)/.exec(colour ?? "")?.slice(1).map(Number);
  if (!parts) return "rgb(0,0,0)";
  const [r, g, b] = parts;
  const less = Math.min(1, DARK_ENOUGH / (0.299 * r + 0.587 * g + 0.114 * b));
  return `rgb(${parts.map((part) => Math.round(part * less)).join(",")})`;
}
