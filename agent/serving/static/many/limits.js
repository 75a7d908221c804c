// The dialog in which a person says what is good of an endpoint.

import { h, put } from "../elements.js";
import { unitOf } from "../numbers.js";
import { defaultLimits } from "./lights.js";

const KINDS = ["high", "low", "between", "none"];

/** Which way an endpoint's limits point. */
export function kindOf(limits) {
  if (!limits) return "none";
  const [from, to] = limits.good;
  return from === null ? "low" : to === null ? "high" : "between";
}

/** Asks for an endpoint's limits; `onDone()` comes once they have been changed. */
export function askLimits(app, lights, task, onDone) {
  const { t } = app;
  const name = app.endpoint(task);
  const scale = task.kind === "classification" ? 100 : 1; // a probability is shown in percent
  const limits = lights.limits(task.task);
  const dialog = h("dialog", { class: "limits-dialog", "aria-labelledby": "limits-title" });
  const finish = () => { dialog.close(); dialog.remove(); };
  const fields = fieldsOf(limits, scale);
  const place = h("div", { class: "limits-fields" });
  const kind = h("select", { id: "limits-kind", onchange: () => drawFields() },
    KINDS.map((name) => h("option", { value: name, selected: name === kindOf(limits) }, t(`many.limits.${name}`))));
  const drawFields = () => put(place, inputs(app, kind.value, fields, unitOf(task)));
  const keep = (event) => {
    event.preventDefault();
    const made = limitsOf(kind.value, fields, scale);
    if (made === undefined) return app.notify(t("many.limits.order"), "error");
    lights.set(task.task, made);
    finish();
    onDone();
  };
  const reset = () => { lights.reset(task.task); finish(); onDone(); };
  put(dialog, h("form", { onsubmit: keep, novalidate: true },
    h("h2", { id: "limits-title" }, name.short),
    name.full !== name.short && h("p", { class: "soft" }, name.full),
    h("label", { for: "limits-kind" }, t("many.limits.kind")), kind, place,
    h("p", { class: "soft" }, t("many.limits.kept")),
    h("div", { class: "buttons" },
      defaultLimits(task.task) && lights.isOwn(task.task) && h("button", { type: "button", class: "plain-button", onclick: reset }, t("many.limits.reset")),
      h("button", { type: "button", class: "plain-button", onclick: finish }, t("many.cancel")),
      h("button", { type: "submit", class: "main-button" }, t("many.limits.keep")))));
  dialog.addEventListener("close", () => dialog.remove());
  drawFields();
  document.body.append(dialog);
  dialog.showModal();
}

function fieldsOf(limits, scale) {
  const field = (value) => ({ value: value === null || value === undefined ? "" : `${Number((scale * value).toPrecision(6))}` });
  const [good, fair] = [limits?.good ?? [], limits?.fair ?? []];
  return { goodFrom: field(good[0]), goodTo: field(good[1]), fairFrom: field(fair[0]), fairTo: field(fair[1]) };
}

function inputs(app, kind, fields, unit) {
  const asked = {
    high: [["green", "goodFrom", "least"], ["red", "fairFrom", "below"]],
    low: [["green", "goodTo", "most"], ["red", "fairTo", "above"]],
    between: [["green", "goodFrom", "from"], ["green", "goodTo", "to"], ["red", "fairFrom", "below"], ["red", "fairTo", "above"]],
    none: [],
  }[kind];
  return asked.map(([light, key, word]) => h("label", {},
    h("i", { class: `light ${light}`, "aria-hidden": "true" }),
    h("span", {}, `${app.t(`many.light.${light}`)}, ${app.t(`many.limits.${word}`)}`),
    h("input", { type: "text", inputmode: "decimal", value: fields[key].value, oninput: (event) => { fields[key].value = event.target.value; } }),
    h("span", { class: "soft" }, unit)));
}

/** Makes limits of what was typed; undefined where it is no number or in no order. */
export function limitsOf(kind, fields, scale = 1) {
  if (kind === "none") return null;
  const read = ({ value }) => (value.trim() === "" ? NaN : Number(value.trim().replace(",", ".")) / scale);
  const [goodFrom, goodTo, fairFrom, fairTo] = [fields.goodFrom, fields.goodTo, fields.fairFrom, fields.fairTo].map(read);
  const made = {
    high: { good: [goodFrom, null], fair: [fairFrom, null] },
    low: { good: [null, goodTo], fair: [null, fairTo] },
    between: { good: [goodFrom, goodTo], fair: [fairFrom, fairTo] },
  }[kind];
  const ends = [made.fair[0], made.good[0], made.good[1], made.fair[1]].filter((end) => end !== null);
  const ordered = ends.every((end, i) => Number.isFinite(end) && (!i || end >= ends[i - 1]));
  return ordered ? made : undefined;
}
