// Short messages in the corner, read aloud by screen readers.

import { h } from "./elements.js";

const STAY_MS = 8_000;
const MOST = 4;

export const notices = {
  /** Shows a sentence; one of kind `error` stays until it is closed. */
  show(text, kind, closing) {
    const place = document.getElementById("notices");
    const same = [...place.children].find((notice) => notice.dataset.text === text);
    same?.remove();
    const close = () => notice.remove();
    const notice = h("div", { class: `notice ${kind}`, role: kind === "error" ? "alert" : null, dataset: { text } },
      h("p", {}, text), h("button", { type: "button", class: "close", "aria-label": closing, onclick: close }, "×"));
    place.append(notice);
    while (place.children.length > MOST) place.firstChild.remove();
    if (kind !== "error") setTimeout(close, STAY_MS);
  },
};
