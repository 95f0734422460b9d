// Boots over time: how many began when, and what became of them.

import { h, s, say } from "/page/dom.js";
import { ask } from "/page/live.js";
import { count, time } from "/page/words.js";

const SPANS = [
  [1, "1 hour"],
  [24, "1 day"],
  [168, "1 week"],
];
const OUTCOMES = ["ready", "other", "failed"];
const NAMES = { ready: "ready", other: "under way or unknown", failed: "failed" };
const HEIGHT = 56;

export class History {
  constructor() {
    this.hours = 24;
    this.drawing = s("svg", { class: "history", preserveAspectRatio: "none", role: "img" });
    this.sum = h("span", { class: "faint" });
    this.buttons = SPANS.map(([hours, name]) =>
      h("button", { "aria-pressed": hours === this.hours, onclick: () => this.choose(hours) }, name),
    );
    this.element = h(
      "section",
      { class: "card", "aria-label": "Boots over time" },
      h("div", { class: "line" }, h("h2", null, "Boots"), this.sum, h("span", { class: "choices" }, this.buttons)),
      this.drawing,
      (this.scale = h("div", { class: "scale faint" }, h("span"), h("span", null, "now"))),
    );
    this.timer = setInterval(() => document.hidden || this.load(), 10000);
    this.load();
  }

  close() {
    clearInterval(this.timer);
  }

  choose(hours) {
    this.hours = hours;
    this.buttons.forEach((button, place) => button.setAttribute("aria-pressed", SPANS[place][0] === hours));
    this.load();
  }

  async load() {
    const told = await ask(`/api/1/page/boots?hours=${this.hours}`).catch(() => null);
    if (told) this.draw(told);
  }

  draw({ first, stretch, count: places, boots }) {
    const columns = Array.from({ length: places }, () => ({ ready: 0, other: 0, failed: 0 }));
    const sums = { ready: 0, other: 0, failed: 0 };
    for (const [start, outcome, number] of boots) {
      const column = columns[(start - first) / stretch];
      if (!column) continue;
      column[outcome] += number;
      sums[outcome] += number;
    }
    const most = Math.max(1, ...columns.map((column) => column.ready + column.other + column.failed));
    this.drawing.setAttribute("viewBox", `0 0 ${places * 10} ${HEIGHT}`);
    const bars = columns.flatMap((column, place) => {
      let floor = HEIGHT;
      const said = OUTCOMES.filter((outcome) => column[outcome]).map((outcome) => `${column[outcome]} ${NAMES[outcome]}`);
      const label = s("title", null, `${time(first + place * stretch)}: ${said.join(", ") || "none"}`);
      const parts = OUTCOMES.filter((outcome) => column[outcome]).map((outcome) => {
        const height = Math.max(1.5, (column[outcome] / most) * (HEIGHT - 2));
        floor -= height;
        return s("rect", { class: outcome, x: place * 10 + 1, y: floor, width: 8, height });
      });
      return s("g", null, s("rect", { class: "ground", x: place * 10 + 1, y: 0, width: 8, height: HEIGHT }), parts, label);
    });
    this.drawing.replaceChildren(...bars);
    const all = sums.ready + sums.other + sums.failed;
    const failed = sums.failed ? `, ${sums.failed.toLocaleString("en")} failed` : "";
    say(this.sum, `${count(all, "boot")}${failed}`);
    this.drawing.setAttribute("aria-label", `${count(all, "boot")}${failed} in ${SPANS.find(([hours]) => hours === this.hours)[1]}`);
    say(this.scale.firstChild, time(first));
  }
}
