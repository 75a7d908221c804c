// Two endpoints against each other; what is framed there is selected in the table.

import { h } from "../elements.js";
import { unitOf, valueText } from "../numbers.js";
import { Canvas, brush } from "./plot.js";
import { axis } from "./scales.js";

const HEIGHT = 300;
const PAD = { left: 52, right: 10, top: 10, bottom: 38 };
const NEAR_PX = 8;

/**
 * The plot.
 *
 * `act` has `compounds`, `isSelected(row)`, `pick(rows, how)` (how is `only`, `add` or `take`),
 * `limits(endpoint)`, `task(endpoint)` and `goTo(row)`.
 */
export class Scatter {
  constructor(app, act) {
    this._app = app;
    this._act = act;
    this._rows = new Uint32Array(0);
    this._canvas = new Canvas(HEIGHT, app.t("many.scatter"), (pen, ink) => this._paint(pen, ink));
    this._tip = h("div", { class: "plot-tip", hidden: true });
    this.element = h("div", { class: "plot-place" }, this._canvas.element, this._tip);
    this._frame = null;
    brush(this._canvas.element, {
      onMove: (from, to) => { this._frame = from && { from, to }; this._canvas.paint(); },
      onEnd: (from, to, event) => this._framed(from, to, event),
      onHover: (point) => this._hover(point),
    });
  }

  close() {
    this._canvas.close();
  }

  /** Shows two endpoints of the rows that pass the filter. */
  show(rows, x, y) {
    const { compounds, task } = this._act;
    this._rows = rows;
    this._endpoints = [task(x), task(y)];
    this._values = [compounds.values(x), compounds.values(y)];
    this._axes = this._endpoints.map((one, i) => axis(one.transform, this._values[i]));
    this._places = null;
    const names = this._endpoints.map((one) => this._app.endpoint(one).short);
    this._canvas.element.setAttribute("aria-label", this._app.t("many.scatter_of", { x: names[0], y: names[1], n: rows.length }));
    this._canvas.paint();
  }

  /** Paints anew: the selection has changed. */
  paint() {
    this._canvas.paint();
  }

  _box() {
    const { width, height } = this._canvas;
    return { left: PAD.left, top: PAD.top, right: width - PAD.right, bottom: height - PAD.bottom };
  }

  _place(row) {
    const { left, top, right, bottom } = this._box();
    const [x, y] = [this._axes[0].at(this._values[0][row]), this._axes[1].at(this._values[1][row])];
    return [left + x * (right - left), bottom - y * (bottom - top)];
  }

  _paint(pen, ink) {
    if (!this._axes) return;
    this._paintGood(pen, ink);
    this._paintAxes(pen, ink);
    this._paintPoints(pen, ink);
    if (this._frame) this._paintFrame(pen, ink);
  }

  _paintGood(pen, ink) {
    const { left, top, right, bottom } = this._box();
    const [x, y] = this._endpoints.map(({ task }, i) => goodSpan(this._act.limits(task), this._axes[i]));
    if (!x && !y) return;
    pen.fillStyle = ink.good;
    const [x0, x1] = (x ?? [0, 1]).map((share) => left + share * (right - left));
    const [y0, y1] = (y ?? [0, 1]).map((share) => bottom - share * (bottom - top));
    pen.fillRect(x0, y1, x1 - x0, y0 - y1);
  }

  _paintAxes(pen, ink) {
    const { left, top, right, bottom } = this._box();
    const [x, y] = this._axes;
    pen.strokeStyle = ink.line;
    pen.fillStyle = ink.soft;
    pen.lineWidth = 1;
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const tick of x.ticks) {
      const at = Math.round(left + x.at(tick) * (right - left)) + 0.5;
      stroke(pen, at, top, at, bottom);
      pen.fillText(this._text(0, tick), at, bottom + 5);
    }
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const tick of y.ticks) {
      const at = Math.round(bottom - y.at(tick) * (bottom - top)) + 0.5;
      stroke(pen, left, at, right, at);
      pen.fillText(this._text(1, tick), left - 6, at);
    }
    this._paintNames(pen, ink);
  }

  _paintNames(pen, ink) {
    const { left, top, right, bottom } = this._box();
    const [x, y] = this._endpoints.map((task) => [this._app.endpoint(task).short, unitOf(task)].filter(Boolean).join(", "));
    pen.fillStyle = ink.ink;
    pen.textAlign = "center";
    pen.textBaseline = "alphabetic";
    pen.fillText(fitted(pen, x, right - left), (left + right) / 2, this._canvas.height - 6);
    pen.save();
    pen.translate(11, (top + bottom) / 2);
    pen.rotate(-Math.PI / 2);
    pen.fillText(fitted(pen, y, bottom - top), 0, 0);
    pen.restore();
  }

  _text(i, tick) {
    return tickText(this._endpoints[i], tick);
  }

  _paintPoints(pen, ink) {
    const few = this._rows.length < 2000;
    const size = few ? 5 : 3;
    const picked = [];
    pen.fillStyle = ink.point;
    pen.globalAlpha = few ? 0.75 : 0.45;
    for (const row of this._rows) {
      if (this._act.isSelected(row)) {
        picked.push(row);
        continue;
      }
      const [x, y] = this._place(row);
      if (!Number.isNaN(x + y)) pen.fillRect(x - size / 2, y - size / 2, size, size);
    }
    pen.globalAlpha = 1;
    pen.fillStyle = ink.picked;
    for (const row of picked) {
      const [x, y] = this._place(row);
      if (!Number.isNaN(x + y)) pen.fillRect(x - size / 2 - 0.5, y - size / 2 - 0.5, size + 1, size + 1);
    }
  }

  _paintFrame(pen, ink) {
    const { from, to } = this._frame;
    pen.strokeStyle = ink.picked;
    pen.setLineDash([4, 3]);
    pen.strokeRect(from.x + 0.5, from.y + 0.5, to.x - from.x, to.y - from.y);
    pen.setLineDash([]);
  }

  _framed(from, to, event) {
    this._frame = null;
    const how = event.altKey ? "take" : event.shiftKey || event.ctrlKey || event.metaKey ? "add" : "only";
    if (Math.hypot(from.x - to.x, from.y - to.y) < 4) {
      const row = this._nearest(to);
      if (row !== null) this._act.goTo(row);
      this._act.pick(row === null ? [] : [row], how);
      return;
    }
    const [x0, x1] = [Math.min(from.x, to.x), Math.max(from.x, to.x)];
    const [y0, y1] = [Math.min(from.y, to.y), Math.max(from.y, to.y)];
    const inside = [...this._rows].filter((row) => {
      const [x, y] = this._place(row);
      return x >= x0 && x <= x1 && y >= y0 && y <= y1;
    });
    this._act.pick(inside, how);
  }

  _nearest(point) {
    let best = null;
    let least = NEAR_PX;
    for (const row of this._rows) {
      const [x, y] = this._place(row);
      const far = Math.hypot(x - point.x, y - point.y);
      if (far < least) [best, least] = [row, far];
    }
    return best;
  }

  _hover(point) {
    const row = point && this._axes ? this._nearest(point) : null;
    this._tip.hidden = row === null;
    if (row === null) return;
    const [x, y] = this._endpoints.map((task, i) => `${valueText(task, this._values[i][row])} ${unitOf(task)}`.trim());
    this._tip.textContent = `${this._act.compounds.name(row)} · ${x} · ${y}`;
    this._tip.style.left = `${Math.min(point.x + 10, this._canvas.width - this._tip.offsetWidth - 4)}px`;
    this._tip.style.top = `${point.y + 14}px`;
  }
}

/** Writes a value beside an axis: shorter than in the table. */
export function tickText(task, tick) {
  if (task.kind === "classification") return `${Math.round(100 * tick)}`;
  const size = Math.abs(tick);
  if (size !== 0 && (size >= 1e5 || size < 1e-3)) return tick.toExponential(0).replace("e+", "e");
  return `${Number(tick.toPrecision(3))}`;
}

/** Cuts a text to what fits. */
export function fitted(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let short = text;
  while (short && pen.measureText(`${short}…`).width > width) short = short.slice(0, -1);
  return `${short}…`;
}

/** Which part of an axis is good, as shares, or null. */
export function goodSpan(limits, { at }) {
  if (!limits) return null;
  const [from, to] = limits.good;
  return [from === null ? 0 : at(from), to === null ? 1 : at(to)];
}

function stroke(pen, x0, y0, x1, y1) {
  pen.beginPath();
  pen.moveTo(x0, y0);
  pen.lineTo(x1, y1);
  pen.stroke();
}
