// How the values of one endpoint are spread: all that are shown, and those selected of them.

import { h } from "../elements.js";
import { unitOf } from "../numbers.js";
import { Canvas, brush } from "./plot.js";
import { axis } from "./scales.js";
import { fitted, goodSpan, tickText } from "./scatter.js";

const HEIGHT = 170;
const PAD = { left: 52, right: 10, top: 8, bottom: 38 };
const FEWEST_BINS = 8;
const MOST_BINS = 36;

/** The histogram; `act` as for `Scatter`. */
export class Histogram {
  constructor(app, act) {
    this._app = app;
    this._act = act;
    this._rows = new Uint32Array(0);
    this._canvas = new Canvas(HEIGHT, app.t("many.histogram"), (pen, ink) => this._paint(pen, ink));
    this.element = h("div", { class: "plot-place" }, this._canvas.element);
    this._drag = null;
    brush(this._canvas.element, {
      onMove: (from, to) => { this._drag = from && [from.x, to.x]; this._canvas.paint(); },
      onEnd: (from, to, event) => this._ended(from.x, to.x, event),
    });
  }

  close() {
    this._canvas.close();
  }

  /** Shows one endpoint of the rows that pass the filter. */
  show(rows, endpoint) {
    this._rows = rows;
    this._task = this._act.task(endpoint);
    this._values = this._act.compounds.values(endpoint);
    this._axis = axis(this._task.transform, this._values);
    this._bins = Math.min(MOST_BINS, Math.max(FEWEST_BINS, Math.ceil(1.5 * Math.sqrt(this._values.length))));
    const name = this._app.endpoint(this._task).short;
    this._canvas.element.setAttribute("aria-label", this._app.t("many.histogram_of", { name, n: rows.length }));
    this._canvas.paint();
  }

  /** Paints anew: the selection has changed. */
  paint() {
    this._canvas.paint();
  }

  _bin(row) {
    const share = this._axis.at(this._values[row]);
    return Number.isNaN(share) ? -1 : Math.min(this._bins - 1, Math.floor(share * this._bins));
  }

  _count() {
    const all = new Uint32Array(this._bins);
    const picked = new Uint32Array(this._bins);
    for (const row of this._rows) {
      const bin = this._bin(row);
      if (bin < 0) continue;
      all[bin] += 1;
      if (this._act.isSelected(row)) picked[bin] += 1;
    }
    return { all, picked, most: Math.max(1, ...all) };
  }

  _paint(pen, ink) {
    if (!this._axis) return;
    const box = { left: PAD.left, right: this._canvas.width - PAD.right, top: PAD.top, bottom: HEIGHT - PAD.bottom };
    const { all, picked, most } = this._count();
    this._paintGood(pen, ink, box);
    const width = (box.right - box.left) / this._bins;
    const bars = (counts, colour) => {
      pen.fillStyle = colour;
      counts.forEach((count, i) => {
        const high = (count / most) * (box.bottom - box.top);
        pen.fillRect(box.left + i * width + 0.5, box.bottom - high, width - 1, high);
      });
    };
    bars(all, ink.point);
    bars(picked, ink.picked);
    this._paintAxis(pen, ink, box, most);
    if (this._drag) {
      pen.globalAlpha = 0.15;
      pen.fillStyle = ink.picked;
      pen.fillRect(this._drag[0], box.top, this._drag[1] - this._drag[0], box.bottom - box.top);
      pen.globalAlpha = 1;
    }
  }

  _paintGood(pen, ink, { left, right, top, bottom }) {
    const span = goodSpan(this._act.limits(this._task.task), this._axis);
    if (!span) return;
    pen.fillStyle = ink.good;
    pen.fillRect(left + span[0] * (right - left), top, (span[1] - span[0]) * (right - left), bottom - top);
  }

  _paintAxis(pen, ink, { left, right, top, bottom }, most) {
    pen.strokeStyle = ink.soft;
    pen.fillStyle = ink.soft;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(left, bottom + 0.5);
    pen.lineTo(right, bottom + 0.5);
    pen.stroke();
    pen.textBaseline = "top";
    pen.textAlign = "center";
    for (const tick of this._axis.ticks) {
      pen.fillText(tickText(this._task, tick), left + this._axis.at(tick) * (right - left), bottom + 5);
    }
    pen.textAlign = "right";
    pen.fillText(`${most}`, left - 6, top);
    pen.textAlign = "center";
    pen.textBaseline = "alphabetic";
    pen.fillStyle = ink.ink;
    const name = [this._app.endpoint(this._task).short, unitOf(this._task)].filter(Boolean).join(", ");
    pen.fillText(fitted(pen, name, right - left), (left + right) / 2, HEIGHT - 6);
  }

  _ended(from, to, event) {
    this._drag = null;
    const width = this._canvas.width - PAD.left - PAD.right;
    const share = (x) => (x - PAD.left) / width;
    // A click takes the bar that is under it.
    const ends = [share(Math.min(from, to)), share(Math.max(from, to))].map((at) => Math.floor(at * this._bins));
    const inside = [...this._rows].filter((row) => {
      const bin = this._bin(row);
      return bin >= 0 && bin >= ends[0] && bin <= ends[1];
    });
    const how = event.altKey ? "take" : event.shiftKey || event.ctrlKey || event.metaKey ? "add" : "only";
    this._act.pick(inside, how);
  }
}
