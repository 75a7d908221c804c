// What the two plots share: a canvas as sharp as the screen, the theme's colours, and a brush.

const FONT_PX = 11;

/** A canvas of a fixed height that is as wide as its place. */
export class Canvas {
  constructor(height, label, onPaint) {
    this.height = height;
    this._onPaint = onPaint;
    this.element = document.createElement("canvas");
    this.element.className = "plot";
    this.element.setAttribute("role", "img");
    this.element.setAttribute("aria-label", label);
    this._watch = new ResizeObserver(() => this.paint());
    this._watch.observe(this.element);
    this._dye = () => this.paint();
    window.addEventListener("themechange", this._dye);
  }

  close() {
    this._watch.disconnect();
    window.removeEventListener("themechange", this._dye);
  }

  /** Paints at the next frame, once however often it is asked for. */
  paint() {
    if (this._frame) return;
    this._frame = requestAnimationFrame(() => {
      this._frame = 0;
      this._paintNow();
    });
  }

  _paintNow() {
    const width = this.element.clientWidth;
    if (!width) return;
    const sharp = window.devicePixelRatio || 1;
    this.width = width;
    this.element.width = Math.round(width * sharp);
    this.element.height = Math.round(this.height * sharp);
    const pen = this.element.getContext("2d");
    pen.setTransform(sharp, 0, 0, sharp, 0, 0);
    pen.clearRect(0, 0, width, this.height);
    pen.font = `${FONT_PX}px ${getComputedStyle(this.element).fontFamily}`;
    this._onPaint(pen, colours(this.element));
  }
}

function colours(element) {
  const style = getComputedStyle(element);
  const read = (name) => style.getPropertyValue(`--plot-${name}`).trim();
  return Object.fromEntries(["ink", "soft", "line", "point", "picked", "faint", "good"].map((name) => [name, read(name)]));
}

/**
 * Lets a person drag over a canvas.
 *
 * `onMove(from, to)` comes while it goes on, `onEnd(from, to, event)` at its end; both points are in
 * the canvas' own pixels. `onHover(point)` comes where nothing is dragged, and null when it is left.
 */
export function brush(canvas, { onMove, onEnd, onHover }) {
  let from = null;
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    from = point(event);
    onHover?.(null);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (from) onMove(from, point(event));
    else onHover?.(point(event));
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!from) return;
    const start = from;
    from = null;
    onEnd(start, point(event), event);
  });
  canvas.addEventListener("pointercancel", () => {
    from = null;
    onMove(null, null);
  });
  canvas.addEventListener("pointerleave", () => onHover?.(null));
}
