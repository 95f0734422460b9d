// A boot: its phases, one bar each, and the log of a node that could not go on.

import { h } from "/page/dom.js";
import { ask } from "/page/live.js";
import { seconds, size, time } from "/page/words.js";

const AT_ONCE = new Set(["fetch", "digest"]);

export class BootDetails {
  constructor() {
    this.element = h("section", { class: "phases", "aria-label": "Phases" });
    this.drawn = "";
  }

  /** Show a boot as the node's list has it; undefined for none. */
  async show(boot) {
    if (!boot) return this.element.replaceChildren();
    const key = `${boot.id} ${boot.phase} ${boot.changed} ${boot.has_log}`;
    if (key === this.drawn) return;
    const told = await ask(`/api/1/page/boots/${boot.id}`).catch(() => null);
    if (!told) return;
    this.drawn = key;
    this.element.replaceChildren(h("h3", null, `Boot ${told.number}`), ...phases(told), ...log(told));
  }
}

function phases(boot) {
  if (!boot.events.length) return [h("p", { class: "faint" }, `It got its script at ${time(boot.started)} and has not reported yet.`)];
  const bars = spans(boot.events);
  const whole = Math.max(1, ...bars.map((bar) => bar.end));
  return [
    h(
      "ol",
      { class: "timeline" },
      bars.map(({ event, start, end }) =>
        h(
          "li",
          { class: event.code ? "failed" : null, title: event.detail },
          h("span", null, event.phase),
          h("span", { class: "span" }, bar(start / whole, (end - start) / whole)),
          h("span", { class: "number" }, seconds(end - start)),
          h("span", { class: "detail" }, told(event)),
        ),
      ),
    ),
    boot.phase === "agent" && h("p", { class: "faint" }, `Its agent asked for tasks at ${time(boot.changed)}.`),
  ].filter(Boolean);
}

function bar(from, width) {
  const element = h("i");
  element.style.left = `${100 * from}%`;
  element.style.width = `${Math.max(0.6, 100 * width)}%`;
  return element;
}

/** When each phase began: where the one before it ended; files are fetched all at the same time. */
function spans(events) {
  let last = 0;
  let before = 0;
  return events.map((event) => {
    if (!AT_ONCE.has(event.phase)) before = last;
    const start = Math.min(event.phase === "digest" ? last : before, event.ms);
    last = Math.max(last, event.ms);
    if (!AT_ONCE.has(event.phase)) before = last;
    return { event, start, end: event.ms };
  });
}

function told(event) {
  const bytes = event.bytes ? size(event.bytes) : "";
  const retries = event.retries ? `${event.retries} retries` : "";
  return [event.code, bytes, retries, event.detail].filter(Boolean).join(" · ");
}

function log(boot) {
  if (!boot.log) return [];
  return [h("details", { open: true }, h("summary", null, "The end of its log"), h("pre", { tabindex: "0", "aria-label": "Log" }, boot.log))];
}
