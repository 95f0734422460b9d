// Commands for nodes: what waits, what runs, how the last ones ended, and what they said.

import { h, later, say } from "/page/dom.js";
import { ask } from "/page/live.js";
import { ago, count, has, seconds, time, title, wanted } from "/page/words.js";

const KEEP = 300;

export class Tasks {
  constructor(live) {
    this.live = live;
    this.shown = new Map();
    this.sum = h("p", { class: "faint" });
    this.search = h("input", { type: "search", placeholder: "Search tasks  /", "aria-label": "Search tasks by node, command or state", oninput: later(80, () => this.fill()) });
    this.inventories = h("input", { type: "checkbox", id: "inventories", onchange: () => this.fill() });
    this.list = h("div", { class: "tasks" });
    this.element = h(
      "div",
      { class: "page" },
      h("div", { class: "line tools" }, h("h1", null, "Tasks"), this.sum, this.search, h("label", { for: "inventories" }, this.inventories, " inventories")),
      this.list,
    );
    this.stop = live.listen((changes) => (changes.tasks || changes.all) && this.fill());
    this.clock = setInterval(() => document.hidden || this.fill(), 5000);
    this.fill();
  }

  close() {
    this.stop();
    clearInterval(this.clock);
  }

  show() {}

  fill() {
    const { queued, given } = this.live.openTasks;
    say(this.sum, `${count(queued, "waits", "wait")}, ${count(given, "runs", "run")}`);
    const words = wanted(this.search.value);
    const tasks = [...this.live.tasks.values()].sort((a, b) => b.created - a.created || (a.id < b.id ? 1 : -1)).slice(0, KEEP);
    const fitting = tasks.filter((task) => this.fits(task, words));
    const entries = fitting.map((task) => this.shown.get(task.id) ?? new Task(task, this.name(task)));
    entries.forEach((entry, place) => entry.fill(fitting[place], this.live.now()));
    this.shown = new Map(fitting.map((task, place) => [task.id, entries[place]]));
    const hidden = tasks.length && !words.length ? "Nobody has asked for anything but inventories." : "No task fits.";
    const none = h("p", { class: "none" }, tasks.length ? hidden : "Nobody has asked for anything: imagebuilder run --node NODE -- COMMAND");
    const elements = entries.length ? entries.map((entry) => entry.element) : [none];
    if (elements.some((element, place) => this.list.children[place] !== element) || elements.length !== this.list.children.length) {
      this.list.replaceChildren(...elements);
    }
  }

  name(task) {
    const node = this.live.nodes.get(task.node);
    return node ? title(node) : "a node";
  }

  fits(task, words) {
    if (task.kind === "inventory" && !this.inventories.checked) return false;
    return has(`${this.name(task)}\n${task.command}\n${task.state}`, words);
  }
}

/** A task in a line, which opens to what it said. */
export class Task {
  constructor(task, node) {
    this.state = h("span", { class: "state" });
    this.when = h("span", { class: "faint" });
    this.output = h("div", { class: "output" });
    this.element = h(
      "details",
      { class: "task", ontoggle: () => this.element.open && this.load() },
      h(
        "summary",
        null,
        this.state,
        node && h("a", { href: `#/nodes/${task.node}` }, node),
        h("code", null, task.kind === "inventory" ? "inventory" : task.command),
        this.when,
      ),
      this.output,
    );
  }

  fill(task, now) {
    const hasChanged = this.task?.state !== task.state;
    this.task = task;
    this.element.dataset.state = task.state;
    say(this.state, task.state === "failed" && task.status > 0 ? `status ${task.status}` : task.state);
    const took = task.finished && task.given ? ` · ${seconds(1000 * (task.finished - task.given))}` : "";
    say(this.when, `${now === undefined || now - task.created > 86400 ? time(task.created) : ago(task.created, now)}${took}`);
    if (hasChanged && this.element.open) this.load();
  }

  async load() {
    clearTimeout(this.timer);
    const told = await ask(`/api/1/page/tasks/${this.task.id}`).catch((error) => ({ error: error.message }));
    if (told.error) return this.output.replaceChildren(h("p", { class: "error" }, told.error));
    const { stdout, stderr } = told.result;
    const output = (name, text) => text && [h("h4", null, name), h("pre", { tabindex: "0", "aria-label": name }, text)];
    this.output.replaceChildren(
      ...[h("pre", { class: "command" }, told.order.command), output("Standard output", stdout), output("Standard error", stderr)].flat().filter(Boolean),
      ...(stdout || stderr ? [] : [h("p", { class: "faint" }, told.state === "done" ? "It said nothing." : "It has not said anything yet.")]),
    );
    if (told.state === "given" && this.element.open && this.element.isConnected) this.timer = setTimeout(() => this.load(), 1000);
  }
}
