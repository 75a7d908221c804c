// The table: only the rows in sight exist; real rows and cells, so that a screen reader can count them.

import { h, put } from "../elements.js";

const ROW_PX = 68;
const AHEAD = 4; // rows beyond what is in sight, drawn before they come
let grids = 0;

/**
 * A grid of many rows (WAI-ARIA `grid`): one tab stop, arrow keys move within, and `aria-rowindex`
 * says where each of the few rows that exist stands among all of them.
 *
 * `columns` have `head()` (an element's children), `width` in pixels, `fixed` (stays at the left),
 * `make(cell)` and `fill(cell, row)`, `className`, and where they sort, `sort`.
 * `act` has `open(row)`, `toggle(row, how)`, `sort(column)`, `all()`, `none()` and `isSelected(row)`.
 */
export class Grid {
  constructor(label, columns, act) {
    this._columns = columns;
    this._act = act;
    this._rows = new Uint32Array(0);
    this._slots = [];
    this._at = { row: -1, column: 0 }; // -1 is the head
    this._anchor = 0;
    this._id = `grid${(grids += 1)}`;
    this._build(label);
  }

  _build(label) {
    this._head = h("tr", { role: "row", class: "grid-row", "aria-rowindex": 1 }, this._columns.map((column, i) =>
      h("th", { role: "columnheader", scope: "col", id: `${this._id}-h${i}`, "aria-colindex": i + 1,
        class: column.className, dataset: { column: i } }, column.head())));
    this._body = h("tbody", { role: "rowgroup" });
    this._table = h("table", { role: "grid", class: "grid", tabindex: 0, "aria-label": label,
      "aria-multiselectable": "true", "aria-colcount": this._columns.length,
      onkeydown: (event) => this._key(event), onmousedown: (event) => event.shiftKey && event.preventDefault(), onclick: (event) => this._click(event),
      onfocus: () => this._focused(true), onblur: () => this._focused(false) },
    h("thead", { role: "rowgroup" }, this._head), this._body);
    this.element = h("div", { class: "grid-scroll", onscroll: () => this._later() }, this._table);
    this._table.style.setProperty("--columns", this._columns.map(({ width }) => `${width}px`).join(" "));
    this._table.style.width = `${this._columns.reduce((sum, { width }) => sum + width, 0)}px`;
    this._stick(this._head);
    this._watch = new ResizeObserver(() => this.paint());
    this._watch.observe(this.element);
  }

  /** Ends what listens. */
  close() {
    this._watch.disconnect();
  }

  /** Shows other rows, or the same in another order. */
  show(rows) {
    this._rows = rows;
    this._table.setAttribute("aria-rowcount", rows.length + 1);
    this._body.style.height = `${rows.length * ROW_PX}px`;
    this._at.row = Math.min(this._at.row, rows.length - 1);
    this._anchor = Math.min(this._anchor, Math.max(0, rows.length - 1));
    this.paint(true);
  }

  /** The column that sorts by this, if it stands in the table. */
  columnOf({ kind, key }) {
    return this._columns.find(({ sort }) => sort && sort.kind === kind && sort.key === key);
  }

  /** Says how a column is sorted now. */
  sorted(column, down) {
    [...this._head.children].forEach((cell, i) => {
      const order = this._columns[i] === column ? (down ? "descending" : "ascending") : null;
      if (order) cell.setAttribute("aria-sort", order);
      else cell.removeAttribute("aria-sort");
    });
  }

  /** Writes the heads anew. */
  paintHeads() {
    [...this._head.children].forEach((cell, i) => {
      const focused = cell.contains(document.activeElement);
      put(cell, ...[this._columns[i].head()].flat());
      if (focused) cell.querySelector("button")?.focus();
    });
  }

  /** Scrolls to a row of the file, and makes it the active one. */
  goTo(row) {
    const index = this._rows.indexOf(row);
    if (index < 0) return;
    this._at.row = index;
    this._reveal();
  }

  _later() {
    if (this._frame) return;
    this._frame = requestAnimationFrame(() => {
      this._frame = 0;
      this.paint();
    });
  }

  _range(more) {
    const head = this._head.offsetHeight;
    const top = this.element.scrollTop;
    const first = Math.max(0, Math.floor(top / ROW_PX) - more);
    const end = Math.ceil((top + this.element.clientHeight - head) / ROW_PX) + more;
    return [first, Math.max(first, Math.min(this._rows.length, end))];
  }

  /** Draws the rows in sight; all of them anew with `anew`, else those that came into sight. */
  paint(anew = false) {
    if (!this.element.clientHeight) return;
    const [first, end] = this._range(AHEAD);
    this._keepSlots(end - first);
    const size = this._slots.length;
    for (let index = first; index < Math.max(end, first + size); index++) {
      const slot = this._slots[index % size];
      if (index >= end) this._empty(slot);
      else if (anew || slot.index !== index) this._fill(slot, index);
    }
    this._mark();
  }

  _keepSlots(count) {
    if (this._slots.length >= count) return;
    while (this._slots.length < count) {
      const element = h("tr", { role: "row", class: "grid-row" }, this._columns.map((column, i) => {
        const cell = h("td", { role: "gridcell", "aria-colindex": i + 1, class: column.className,
          dataset: { column: i } });
        column.make?.(cell);
        return cell;
      }));
      this._stick(element);
      this._body.append(element);
      this._slots.push({ element, index: -1 });
    }
    // With more of them each row has another place.
    for (const slot of this._slots) slot.index = -1;
  }

  _empty(slot) {
    slot.index = -1;
    slot.element.hidden = true;
  }

  _fill(slot, index) {
    const row = this._rows[index];
    const { element } = slot;
    slot.index = index;
    element.hidden = false;
    element.style.transform = `translateY(${index * ROW_PX}px)`;
    element.setAttribute("aria-rowindex", index + 2);
    element.id = `${this._id}-r${index}`;
    element.classList.toggle("odd", index % 2 === 1);
    const selected = this._act.isSelected(row);
    element.setAttribute("aria-selected", selected);
    element.classList.toggle("selected", selected);
    this._columns.forEach((column, i) => {
      const cell = element.children[i];
      cell.id = `${this._id}-r${index}-c${i}`;
      column.fill(cell, row);
    });
  }

  _stick(element) {
    let left = 0;
    this._columns.forEach((column, i) => {
      if (!column.fixed) return;
      element.children[i].style.left = `${left}px`;
      left += column.width;
    });
  }

  _mark() {
    this._table.querySelector(".active")?.classList.remove("active");
    const { row, column } = this._at;
    const id = row < 0 ? `${this._id}-h${column}` : `${this._id}-r${row}-c${column}`;
    const cell = document.getElementById(id);
    cell?.classList.add("active");
    if (cell) this._table.setAttribute("aria-activedescendant", id);
    else this._table.removeAttribute("aria-activedescendant");
  }

  _focused(has) {
    this._table.classList.toggle("focused", has);
  }

  _click(event) {
    const cell = event.target.closest("th, td");
    // A name that was just marked to be copied is no click.
    if (!cell || event.target.closest("button") || !getSelection().isCollapsed) return;
    const column = Number(cell.dataset.column);
    const slot = this._slots.find(({ element }) => element === cell.parentElement);
    this._at = { row: slot ? slot.index : -1, column };
    this._mark();
    if (!slot) {
      if (this._columns[column].sort) this._act.sort(this._columns[column]);
      else if (column === 0) this._act.all();
    } else if (event.shiftKey) {
      this._extend(slot.index);
    } else if (column === 0 || event.ctrlKey || event.metaKey) {
      this._anchor = slot.index;
      this._act.toggle([this._rows[slot.index]], "toggle");
    } else {
      this._act.open(this._rows[slot.index]);
    }
  }

  _extend(index) {
    const [from, to] = index < this._anchor ? [index, this._anchor] : [this._anchor, index];
    this._act.toggle([...this._rows.subarray(from, to + 1)], "only");
  }

  _key(event) {
    if (event.target !== this._table) return; // a button within a head
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW_PX) - 2);
    const all = event.ctrlKey || event.metaKey;
    const last = { row: this._rows.length - 1, column: this._columns.length - 1 };
    const { row, column } = this._at;
    const moves = {
      ArrowDown: [row + 1, column], ArrowUp: [row - 1, column],
      ArrowRight: [row, column + 1], ArrowLeft: [row, column - 1],
      PageDown: [row + page, column], PageUp: [Math.max(0, row - page), column],
      Home: all ? [0, 0] : [row, 0], End: all ? [last.row, last.column] : [row, last.column],
    };
    const move = moves[event.key];
    if (move) {
      this._at = { row: clamp(move[0], -1, last.row), column: clamp(move[1], 0, last.column) };
      if (event.shiftKey && this._at.row >= 0) this._extend(this._at.row);
      this._reveal();
    } else if (!this._do(event.key, all)) {
      return;
    }
    event.preventDefault();
  }

  _do(key, all) {
    const { row, column } = this._at;
    if (key === "a" && all) this._act.all();
    else if (key === "Escape") this._act.none();
    else if (row < 0 && (key === "Enter" || key === " ") && this._columns[column].sort) {
      this._act.sort(this._columns[column]);
    } else if (row >= 0 && key === " ") {
      this._anchor = row;
      this._act.toggle([this._rows[row]], "toggle");
    } else if (row >= 0 && key === "Enter") this._act.open(this._rows[row]);
    else return false;
    return true;
  }

  _reveal() {
    const { row, column } = this._at;
    const view = this.element;
    if (row >= 0) {
      const room = view.clientHeight - this._head.offsetHeight;
      if (row * ROW_PX < view.scrollTop) view.scrollTop = row * ROW_PX;
      else if ((row + 1) * ROW_PX > view.scrollTop + room) view.scrollTop = (row + 1) * ROW_PX - room;
    }
    if (!this._columns[column].fixed) this._revealColumn(column);
    this.paint();
  }

  _revealColumn(column) {
    const widths = this._columns.map(({ width }) => width);
    const sum = (list) => list.reduce((total, width) => total + width, 0);
    const kept = sum(widths.filter((_, i) => this._columns[i].fixed));
    const left = sum(widths.slice(0, column));
    const view = this.element;
    if (left - kept < view.scrollLeft) view.scrollLeft = left - kept;
    else if (left + widths[column] > view.scrollLeft + view.clientWidth) {
      view.scrollLeft = left + widths[column] - view.clientWidth;
    }
  }
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
