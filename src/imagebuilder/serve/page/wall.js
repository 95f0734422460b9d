// Every node as a small square, in the order of the list: one look says how a room full of machines is doing.

import { h } from "/page/dom.js";
import { STATES, count, done, title } from "/page/words.js";

const LARGEST = 13; // of a square and the gap beside it
const SMALLEST = 4;
const HIGHEST = 150; // of the wall, as long as squares are not too small
const FEW = 30;

export class Wall {
  constructor(live, open) {
    this.live = live;
    this.ids = [];
    this.canvas = h("canvas", {
      class: "wall",
      role: "img",
      onclick: (event) => this.at(event) && open(this.at(event)),
      onmousemove: (event) => this.hint(event),
    });
    this.watcher = new ResizeObserver(() => this.draw());
    this.watcher.observe(this.canvas);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", (this.redraw = () => this.draw()));
  }

  close() {
    this.watcher.disconnect();
    this.dark.removeEventListener("change", this.redraw);
  }

  set(ids) {
    this.ids = ids;
    this.canvas.hidden = ids.length < FEW;
    this.canvas.setAttribute("aria-label", `${count(ids.length, "node")} as squares, coloured by state`);
    this.draw();
  }

  /** Draw all of it, or the squares of some nodes alone. */
  draw(some) {
    const width = this.canvas.clientWidth;
    if (!width || this.canvas.hidden) return;
    const scale = devicePixelRatio || 1;
    const fitting = Math.floor(Math.sqrt((HIGHEST * width) / this.ids.length));
    this.step = Math.max(SMALLEST, Math.min(LARGEST, fitting));
    this.cell = this.step - (this.step > 7 ? 2 : 1);
    this.columns = Math.max(1, Math.floor(width / this.step));
    const height = Math.ceil(this.ids.length / this.columns) * this.step;
    const pen = this.canvas.getContext("2d");
    if (!some || this.height !== height || this.width !== width) {
      Object.assign(this, { width, height });
      this.canvas.style.height = `${height}px`;
      Object.assign(this.canvas, { width: width * scale, height: height * scale });
      some = null;
      this.colours = Object.fromEntries([...Object.keys(STATES), "line"].map((name) => [name, this.colour(name)]));
    }
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    this.ids.forEach((id, place) => {
      if (!some || some.has(id)) this.square(pen, this.live.nodes.get(id), place);
    });
  }

  /** What a colour of the style sheet is, now that it is light or dark. */
  colour(name) {
    this.canvas.style.color = `var(--${name})`;
    return getComputedStyle(this.canvas).color;
  }

  square(pen, node, place) {
    const x = (place % this.columns) * this.step;
    const y = Math.floor(place / this.columns) * this.step;
    pen.clearRect(x, y, this.cell, this.cell);
    pen.fillStyle = this.colours[node.state === "booting" ? "line" : node.state];
    pen.fillRect(x, y, this.cell, this.cell);
    if (node.state !== "booting") return;
    // It fills from below as the image comes in.
    const filled = Math.max(1, Math.round(this.cell * done(node)));
    pen.fillStyle = this.colours.booting;
    pen.fillRect(x, y + this.cell - filled, this.cell, filled);
  }

  at(event) {
    const column = Math.floor(event.offsetX / this.step);
    return column < this.columns ? this.ids[Math.floor(event.offsetY / this.step) * this.columns + column] : undefined;
  }

  hint(event) {
    const node = this.live.nodes.get(this.at(event));
    this.canvas.title = node ? `${title(node)}: ${STATES[node.state]}` : "";
    this.canvas.style.cursor = node ? "pointer" : "";
  }
}
