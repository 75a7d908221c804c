// The two dialogs of the table's head: which columns stand in it, and what is downloaded.

import { GROUPS } from "../endpoints.js";
import { h, put } from "../elements.js";

/** Lets a person choose the columns; `onDone(endpoints, own)` gets both in the order of the table. */
export function askColumns(app, { compounds, shown, own, onDone }) {
  const { t } = app;
  const { sheet, tasks } = compounds;
  const ticked = { endpoints: new Set(shown), own: new Set(own) };
  const box = (set, value, text, full = text) => h("label", { class: "tick-label", title: full },
    h("input", { type: "checkbox", checked: set.has(value), onchange: (event) => (event.target.checked ? set.add(value) : set.delete(value)) }), text);
  const groups = GROUPS.map((group) => [group, tasks.filter((task) => app.endpoint(task).group === group)]).filter(([, list]) => list.length);
  const others = sheet.columns.flatMap((name, i) => (i === sheet.structure || i === sheet.id ? [] : [[name, i]]));
  const dialog = modal(app, "columns-title", (close) => {
    const keep = (event) => {
      event.preventDefault();
      close();
      onDone(ordered(app, tasks.filter(({ task }) => ticked.endpoints.has(task))), others.map(([, i]) => i).filter((i) => ticked.own.has(i)));
    };
    return h("form", { onsubmit: keep },
      h("h2", { id: "columns-title" }, t("many.columns")),
      h("div", { class: "column-list" },
        groups.map(([group, list]) => h("fieldset", {}, h("legend", {}, t(`many.group.${group}`)),
          list.map((task) => box(ticked.endpoints, task.task, app.endpoint(task).short, app.endpoint(task).full)))),
        others.length > 0 && h("fieldset", {}, h("legend", {}, t("many.own_columns")), others.map(([name, i]) => box(ticked.own, i, name)))),
      h("div", { class: "buttons" },
        h("button", { type: "button", class: "plain-button", onclick: close }, t("many.cancel")),
        h("button", { type: "submit", class: "main-button" }, t("many.show"))));
  });
  dialog.classList.add("wide-dialog");
}

/** Puts endpoints in the order of their groups. */
export function ordered(app, tasks) {
  const place = (task) => GROUPS.indexOf(app.endpoint(task).group);
  return [...tasks].sort((a, b) => place(a) - place(b)).map(({ task }) => task);
}

/** Asks what to download; `onDone(which, whole)`: `all`, `shown` or `selected` rows, every endpoint or not. */
export function askDownload(app, { counts, hidden, onDone }) {
  const { t } = app;
  const number = (count) => count.toLocaleString("en");
  let which = counts.selected ? "selected" : counts.shown < counts.all ? "shown" : "all";
  let whole = false;
  modal(app, "download-title", (close) => {
    const keep = (event) => {
      event.preventDefault();
      close();
      onDone(which, whole);
    };
    return h("form", { onsubmit: keep },
      h("h2", { id: "download-title" }, t("many.download")),
      h("fieldset", { class: "choices" }, h("legend", { class: "unseen" }, t("many.download.rows")),
        ["all", "shown", "selected"].map((name) => h("label", { class: "tick-label" },
          h("input", { type: "radio", name: "which", value: name, checked: name === which, disabled: counts[name] === 0, onchange: () => { which = name; } }),
          t(`many.download.${name}`, { n: number(counts[name]) })))),
      hidden > 0 && h("label", { class: "tick-label" },
        h("input", { type: "checkbox", onchange: (event) => { whole = event.target.checked; } }), t("many.download.whole", { n: number(hidden) })),
      h("p", { class: "soft" }, t("many.download.text")),
      h("div", { class: "buttons" },
        h("button", { type: "button", class: "plain-button", onclick: close }, t("many.cancel")),
        h("button", { type: "submit", class: "main-button" }, t("many.download.csv"))));
  });
}

function modal(app, title, content) {
  const dialog = h("dialog", { "aria-labelledby": title });
  put(dialog, content(() => dialog.close()));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
