// A list of which only what can be seen is in the document: two thousand nodes cost as much as thirty.
//
// It is one stop for Tab. Arrows, Page Up, Page Down, Home and End move the mark, Enter opens what is marked.

import { h } from "/page/dom.js";

const SPARE = 8;

export class Rows {
  /** `make(id)` gives a row's element, `update(element, id)` fills it; `open(id)` is what Enter and a click do. */
  constructor({ label, make, update, open }) {
    Object.assign(this, { make, update, open });
    this.ids = [];
    this.places = new Map();
    this.shown = new Map();
    this.marked = "";
    this.element = h("div", {
      class: "rows",
      role: "listbox",
      tabindex: "0",
      "aria-label": label,
      onkeydown: (event) => this.key(event),
      onclick: (event) => this.click(event),
      onfocus: () => this.mark(this.marked || this.ids[0] || "", false),
    });
    this.redraw = () => this.draw();
    addEventListener("scroll", this.redraw, { passive: true });
    addEventListener("resize", this.redraw, { passive: true });
  }

  close() {
    removeEventListener("scroll", this.redraw);
    removeEventListener("resize", this.redraw);
  }

  /** Show these, in this order. */
  set(ids) {
    this.ids = ids;
    this.places = new Map(ids.map((id, place) => [id, place]));
    this.draw();
  }

  /** Fill those again that can be seen. */
  refresh(ids) {
    for (const id of ids ?? this.shown.keys()) {
      const element = this.shown.get(id);
      if (element) this.update(element, id);
    }
  }

  get height() {
    return parseFloat(getComputedStyle(this.element).getPropertyValue("--row"));
  }

  draw() {
    const height = this.height;
    const top = -this.element.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / height) - SPARE);
    const last = Math.min(this.ids.length, Math.ceil((top + innerHeight) / height) + SPARE);
    this.element.style.height = `${this.ids.length * height}px`;
    const wanted = new Set(this.ids.slice(first, last));
    for (const [id, element] of this.shown) {
      if (wanted.has(id)) continue;
      element.remove();
      this.shown.delete(id);
    }
    const made = [];
    for (let place = first; place < last; place += 1) {
      const id = this.ids[place];
      let element = this.shown.get(id);
      if (!element) {
        element = this.make(id);
        element.id = `row-${id}`;
        element.dataset.id = id;
        element.setAttribute("role", "option");
        element.setAttribute("aria-setsize", this.ids.length);
        element.setAttribute("aria-selected", id === this.marked);
        this.update(element, id);
        this.shown.set(id, element);
        made.push(element);
      }
      element.setAttribute("aria-posinset", place + 1);
      element.style.transform = `translateY(${place * height}px)`;
    }
    this.element.append(...made);
  }

  mark(id, scroll = true) {
    this.shown.get(this.marked)?.setAttribute("aria-selected", "false");
    this.marked = id;
    const place = this.places.get(id);
    if (place === undefined) return this.element.removeAttribute("aria-activedescendant");
    if (scroll) this.reveal(place);
    this.shown.get(id)?.setAttribute("aria-selected", "true");
    this.element.setAttribute("aria-activedescendant", `row-${id}`);
  }

  reveal(place) {
    const head = document.querySelector("header").offsetHeight;
    const top = this.element.getBoundingClientRect().top + place * this.height;
    if (top < head + 8) scrollBy(0, top - head - 8);
    else if (top + this.height > innerHeight - 8) scrollBy(0, top + this.height - innerHeight + 8);
    this.draw();
  }

  key(event) {
    const here = this.places.get(this.marked) ?? -1;
    const page = Math.max(1, Math.floor(innerHeight / this.height) - 4);
    const last = this.ids.length - 1;
    const places = { ArrowDown: here + 1, ArrowUp: here - 1, PageDown: here + page, PageUp: here - page, Home: 0, End: last };
    if (event.key === "Enter" && here >= 0) this.open(this.marked);
    else if (event.key in places) this.mark(this.ids[Math.max(0, Math.min(last, places[event.key]))]);
    else return;
    event.preventDefault();
  }

  click(event) {
    const row = event.target.closest("[data-id]");
    if (!row) return;
    this.mark(row.dataset.id, false);
    this.open(row.dataset.id);
  }
}
