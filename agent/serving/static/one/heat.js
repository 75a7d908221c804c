// Which atoms raise and lower a prediction: orange and blue, which every eye can tell apart.

import { GROUPS } from "../endpoints.js";
import { h, put, svg } from "../elements.js";
import { fixed } from "../numbers.js";
import { depict } from "../structure.js";

const WIDTH = 420;
const HEIGHT = 270;
const FAINT = 0.04; // of the greatest contribution: below it an atom stays uncoloured

let made = 0; // figures so far: a gradient's name must be its own

/** Returns {element, draw}. `picked(task)` is called when a person picks another endpoint. */
export function heat(app, picked) {
  const { t, model } = app;
  const select = h("select", { id: "heat-endpoint", "aria-label": t("heat.endpoint"), onchange: () => picked(select.value) },
    GROUPS.map((group) => options(app, group)));
  const figures = h("div", { class: "figures" });
  const readout = h("p", { class: "readout no-print", "aria-live": "polite" });
  const legend = h("div", { class: "legend" });
  const element = h("section", { class: "panel heat", "aria-labelledby": "heat-title" },
    h("header", {}, h("h2", { id: "heat-title" }, t("heat.title")), select), figures, legend, readout);

  return {
    element,
    /** Colours the structure's atoms, and the reference's beside it by the same scale. */
    draw({ name, now, reference }) {
      const task = model.tasks.find((one) => one.task === name) ?? model.tasks[0];
      select.value = task.task;
      const shown = [reference && [t("heat.reference"), reference], now && [t("heat.now"), now]].filter(Boolean);
      const most = Math.max(0, ...shown.flatMap(([, said]) => signed(task, said).map(Math.abs)));
      put(readout, shown.length > 0 && t("heat.hint"));
      put(legend, shown.length > 0 && scaleBar(app, task, most));
      put(figures, shown.length === 0 && h("p", { class: "soft none" }, t("heat.none")),
        shown.map(([caption, said]) => figure(app, { task, said, most, caption: shown.length > 1 ? caption : null, readout })));
    },
  };
}

function options(app, group) {
  const tasks = app.model.tasks.filter((task) => app.endpoint(task).group === group);
  return tasks.length > 0 && h("optgroup", { label: app.t(`group.${group}`) },
    tasks.map((task) => h("option", { value: task.task }, app.endpoint(task).short)));
}

// Contributions are on the model's scale. Where that is a negative logarithm, as of a solubility,
// what raises it lowers the value that people see, so the sign is turned.
function signed(task, said) {
  const turn = task.transform === "neg_log10_molar" ? -1 : 1;
  return (said.contributions[task.task] ?? []).map((value) => turn * value);
}

function figure(app, { task, said, most, caption, readout }) {
  const values = signed(task, said);
  const drawing = depict(said.smiles, WIDTH, HEIGHT);
  if (drawing === null || drawing.atoms.length !== values.length) return plain(app, said);
  const { element, atoms, molecule } = drawing;
  made += 1;
  const halo = svg("g", { class: "halo" }, svg("defs", {}, ["up", "down"].map((way) => glow(way, `${way}-${made}`))));
  const touch = svg("g", { class: "touch" });
  const size = bondLength(atoms) * 0.62;
  values.forEach((value, i) => {
    const share = most > 0 ? value / most : 0;
    const [cx, cy] = atoms[i];
    if (Math.abs(share) > FAINT) halo.append(svg("circle", { cx, cy, r: 1.35 * size, fill: `url(#${share > 0 ? "up" : "down"}-${made})`, "fill-opacity": (0.15 + 0.85 * Math.abs(share)).toFixed(2) }));
    touch.append(atom(app, { cx, cy, r: size, i, text: atomText(app, task, molecule.getAtomLabel(i), i, value), readout }));
  });
  element.prepend(halo);
  element.append(touch);
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", app.t("heat.of", { endpoint: app.endpoint(task).short, smiles: said.smiles }));
  touch.firstChild?.setAttribute("tabindex", "0");
  touch.addEventListener("keydown", walk);
  return h("figure", {}, element, caption && h("figcaption", {}, caption));
}

// Fading to nothing at its edge: overlapping discs would look like more than they say.
function glow(way, id) {
  const stops = [[0, 1], [0.45, 0.75], [1, 0]];
  return svg("radialGradient", { id }, stops.map(([offset, opacity]) => svg("stop", { class: way, offset, "stop-opacity": opacity })));
}

function plain(app, said) {
  return h("p", { class: "soft none" }, app.t("heat.undrawn"), " ", h("span", { class: "mono" }, said.smiles));
}

function atom(app, { cx, cy, r, i, text, readout }) {
  const tell = () => { readout.textContent = text; };
  return svg("circle", { cx, cy, r, tabindex: "-1", role: "img", "aria-label": text, "data-atom": i, onmouseenter: tell, onfocus: tell });
}

function atomText(app, task, label, i, value) {
  const scale = task.kind === "classification" ? 100 : 1;
  const key = task.kind === "classification" ? "heat.atom.class" : task.transform === "identity" ? "heat.atom.plain" : "heat.atom.log";
  const sign = value > 0 ? "+" : "";
  return app.t(key, { atom: label, number: i + 1, value: sign + fixed(scale * value, scale === 100 ? 1 : 2), unit: task.unit });
}

// One stop of the tab key for the whole structure; the arrows go from atom to atom.
function walk(event) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  const all = [...event.currentTarget.children];
  const here = all.indexOf(event.target);
  const next = all[(here + step + all.length) % all.length];
  event.target.setAttribute("tabindex", "-1");
  next.setAttribute("tabindex", "0");
  next.focus();
}

function bondLength(atoms) {
  let least = 50;
  for (let i = 0; i < atoms.length; i += 1) {
    for (let j = i + 1; j < atoms.length; j += 1) {
      least = Math.min(least, Math.hypot(atoms[i][0] - atoms[j][0], atoms[i][1] - atoms[j][1]));
    }
  }
  return least;
}

function scaleBar(app, task, most) {
  const scale = task.kind === "classification" ? 100 : 1;
  const end = fixed(scale * most, scale === 100 ? 0 : 2);
  return [h("span", {}, app.t("heat.lowers"), " ", h("b", {}, `−${end}`)), h("i", { class: "ramp", "aria-hidden": "true" }),
    h("span", {}, h("b", {}, `+${end}`), " ", app.t("heat.raises"))];
}
