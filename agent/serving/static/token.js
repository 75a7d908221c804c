// The dialog that asks for an access token. It is kept for this tab alone and sent nowhere but here.

import { h, put } from "./elements.js";

/** Returns `ask(problem)`, which resolves to the token typed in, or to null. */
export function tokenDialog(app) {
  const dialog = h("dialog", { class: "token", "aria-labelledby": "token-title" });
  document.body.append(dialog);

  return (problem) => new Promise((resolve) => {
    const { t } = app;
    const field = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "token-why" });
    const give = (event) => {
      event.preventDefault();
      const text = field.value.trim();
      if (text) finish(text);
    };
    const finish = (value) => {
      field.value = "";
      dialog.close();
      resolve(value);
    };
    put(dialog, h("form", { onsubmit: give },
      h("h2", { id: "token-title" }, t("token.title")),
      h("p", { id: "token-why" }, app.sentence(problem)),
      h("label", { for: "token" }, t("token.label")), field,
      h("p", { class: "soft" }, t("token.kept")),
      h("div", { class: "buttons" },
        h("button", { type: "button", class: "plain-button", onclick: () => finish(null) }, t("token.cancel")),
        h("button", { type: "submit", class: "main-button" }, t("token.give")))));
    dialog.oncancel = (event) => { event.preventDefault(); finish(null); };
    dialog.showModal();
    field.focus();
  });
}
