import { h } from "./elements.js";
export function mount(element, app) { element.append(h("p", {}, "one")); }
