// One node: what it does now, why it could not, its boots, hardware and tasks.

import { BootDetails } from "/page/boot.js";
import { h, later, say, words } from "/page/dom.js";
import { ask } from "/page/live.js";
import { Task } from "/page/tasks.js";
import { STATES, doing, done, moves, short, time, title } from "/page/words.js";

const OUTCOMES = { script: "got its script", switch: "started", agent: "ready" };

export class Node {
  constructor(live, id) {
    Object.assign(this, { live, id, chosen: "" });
    this.heading = h("h2");
    this.state = h("span", { class: "state" });
    this.facts = h("dl", { class: "facts" });
    this.what = h("p", { class: "what" });
    this.bar = h("span", { class: "bar large" }, h("i"));
    this.failure = h("section", { class: "failure", hidden: true });
    this.boot = new BootDetails();
    this.boots = h("div");
    this.hardware = h("div");
    this.tasks = h("div");
    this.command = h("input", { name: "command", placeholder: "hostname && uptime", "aria-label": "Command for this node", autocomplete: "off", spellcheck: "false", required: true });
    this.refusal = h("p", { class: "error", role: "alert" });
    this.element = h(
      "div",
      { class: "node" },
      h("div", { class: "line" }, this.heading, this.state, h("a", { class: "close", href: "#/nodes", "aria-label": "Close (Esc)" }, "×")),
      h("div", { class: "now" }, this.what, this.bar),
      this.failure,
      this.boot.element,
      section("Boots", this.boots),
      section("About", this.facts),
      section("Hardware", this.hardware),
      section("Tasks", [h("form", { class: "run", onsubmit: (event) => this.run(event) }, this.command, h("button", null, "Run")), this.refusal, this.tasks]),
    );
    this.stop = live.listen((changes) => this.change(changes));
    this.again = later(250, () => this.load());
    this.fill();
    this.load();
  }

  close() {
    this.stop();
    this.id = "";
  }

  change(changes) {
    if (!changes.all && !changes.nodes.has(this.id) && !changes.tasks) return;
    this.fill();
    this.again();
  }

  fill() {
    const node = this.live.nodes.get(this.id);
    if (!node) return say(this.heading, "This node is not known.");
    this.element.dataset.state = node.state;
    say(this.heading, title(node));
    say(this.state, STATES[node.state]);
    say(this.what, node.state === "failed" ? "" : doing(node, this.live.explanations, this.live.now()));
    this.bar.hidden = !moves(node) || !node.boot;
    this.bar.firstChild.style.transform = `scaleX(${done(node)})`;
    this.explain(node);
    const facts = {
      "MAC, UUID or serial": node.name ? node.node : "",
      Address: node.address,
      Machine: [node.vendor, node.model].filter(Boolean).join(" "),
      Serial: node.serial,
      Profile: node.profile,
      Image: node.image,
      Manifest: node.manifest && short(node.manifest),
      "Last seen": time(node.seen),
    };
    const rows = Object.entries(facts).filter(([, value]) => value);
    this.facts.replaceChildren(...rows.flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)]));
  }

  explain(node) {
    this.failure.hidden = node.state !== "failed";
    if (this.failure.hidden || this.failure.dataset.code === node.code) return;
    this.failure.dataset.code = node.code;
    const explanation = this.live.explanations[node.code];
    this.failure.replaceChildren(
      h("h3", null, node.code),
      h("p", null, explanation ? words(`${explanation.happened}.`) : "This is no code that this server knows."),
      explanation && h("p", { class: "faint" }, "Look at: ", words(explanation.look_at)),
    );
  }

  async load() {
    const id = this.id;
    const told = await ask(`/api/1/page/nodes/${id}`).catch(() => null);
    if (!told || this.id !== id) return;
    const chosen = told.boots.find((boot) => boot.id === this.chosen) ?? told.boots[0];
    this.boots.replaceChildren(this.table(told.boots, chosen));
    this.hardware.replaceChildren(hardware(told.hardware, told.inventory));
    this.list(told.tasks);
    await this.boot.show(chosen);
  }

  table(boots, chosen) {
    if (!boots.length) return h("p", { class: "faint" }, "It was never given anything to boot.");
    const rows = boots.map((boot) =>
      h(
        "button",
        { class: `boot ${boot.code ? "failed" : ""}`, "aria-pressed": boot === chosen, onclick: () => this.choose(boot) },
        h("b", null, `${boot.number}`),
        h("span", null, time(boot.started)),
        h("span", null, boot.code || OUTCOMES[boot.phase] || `ended in ${boot.phase}`),
        h("code", null, `${short(boot.choice.manifest)} ${boot.choice.image}`),
      ),
    );
    return h("div", { class: "boots" }, rows);
  }

  choose(boot) {
    this.chosen = boot.id;
    this.load();
  }

  async run(event) {
    event.preventDefault();
    const node = encodeURIComponent(this.live.nodes.get(this.id).node);
    const body = JSON.stringify({ command: this.command.value });
    const told = await ask(`/api/1/nodes/${node}/tasks`, { method: "POST", body, headers: { "Content-Type": "application/json" } }).catch((error) => error);
    say(this.refusal, told instanceof Error ? told.message : "");
    if (told instanceof Error) return;
    this.command.value = "";
    this.load();
  }

  /** Those that are open stay open: only what has changed is made anew. */
  list(tasks) {
    this.shown ??= new Map();
    if (!tasks.length) return this.tasks.replaceChildren(h("p", { class: "faint" }, "None yet."));
    const entries = tasks.map((task) => this.shown.get(task.id) ?? new Task(task, ""));
    entries.forEach((entry, place) => entry.fill(tasks[place]));
    this.shown = new Map(tasks.map((task, place) => [task.id, entries[place]]));
    const elements = entries.map((entry) => entry.element);
    if (elements.some((element, place) => this.tasks.children[place] !== element)) this.tasks.replaceChildren(...elements);
  }
}

function section(name, content) {
  return h("section", null, h("h3", null, name), content);
}

function hardware(lines, inventory) {
  if (!lines.length) {
    const states = { queued: "It will take its inventory when it is ready.", given: "It is taking its inventory.", failed: "Its inventory failed." };
    return h("p", { class: "faint" }, states[inventory] ?? "It has not said what it is made of.");
  }
  return h("dl", { class: "facts" }, lines.flatMap(([kind, text]) => [h("dt", null, kind), h("dd", null, text)]));
}

