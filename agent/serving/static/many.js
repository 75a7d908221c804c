// Mounted by the shell; see app.js.

import { h } from "./elements.js";

/** Shows the view. */
export function mount(element, app) {
  element.append(h("div", { class: "empty" }, h("h1", {}, app.t("nav.many"))));
}
