// All nodes: how many are in which state, a wall of them, a list that can be searched, and one of them beside it.

import { h, later, say } from "/page/dom.js";
import { History } from "/page/history.js";
import { Node } from "/page/node.js";
import { Rows } from "/page/rows.js";
import { Wall } from "/page/wall.js";
import { STATES, ago, doing, done, has, moves, title, wanted } from "/page/words.js";

const byName = new Intl.Collator("en", { numeric: true }).compare;

export class Nodes {
  constructor(live) {
    this.live = live;
    this.state = "";
    this.rows = new Rows({ label: "Nodes", make, update: (element, id) => this.fill(element, id), open });
    this.wall = new Wall(live, open);
    this.history = new History();
    this.chips = h("div", { class: "chips", role: "group", "aria-label": "States" });
    this.search = h("input", {
      type: "search",
      placeholder: "Search nodes  /",
      "aria-label": "Search nodes by name, address, image, state or error",
      oninput: later(80, () => this.arrange()),
      onkeydown: (event) => event.key === "ArrowDown" && (event.preventDefault(), this.rows.element.focus()),
    });
    this.none = h("p", { class: "none" });
    this.list = h(
      "div",
      { class: "list" },
      h("div", { class: "top" }, h("div", { class: "card" }, this.chips, this.wall.canvas), this.history.element),
      h("div", { class: "line tools" }, this.search),
      h("div", { class: "row head", "aria-hidden": "true" }, ["State", "Node", "Image", "What it does", "Since"].map((name) => h("span", null, name))),
      this.rows.element,
      this.none,
    );
    this.panel = h("aside", { class: "panel", hidden: true, "aria-label": "One node" });
    this.element = h("div", { class: "nodes" }, this.list, this.panel);
    this.stop = live.listen((changes) => this.change(changes));
    this.clock = setInterval(() => document.hidden || this.rows.refresh(), 5000);
    this.settle = later(300, () => this.arrange());
    this.arrange();
  }

  close() {
    this.stop();
    clearInterval(this.clock);
    this.rows.close();
    this.wall.close();
    this.history.close();
    this.node?.close();
  }

  /** Show one node beside the list, or with "" none. */
  show(id) {
    if (this.node?.id === id) return;
    const before = this.node;
    before?.close();
    this.node = id ? new Node(this.live, id) : null;
    this.panel.hidden = !id;
    this.element.classList.toggle("beside", Boolean(id));
    this.panel.replaceChildren(...(this.node ? [this.node.element] : []));
    requestAnimationFrame(() => this.rows.draw());
    if (this.node) this.node.element.querySelector("a.close").focus({ preventScroll: true });
    else if (before) this.rows.element.focus({ preventScroll: true });
  }

  escape() {
    if (this.node) location.hash = "#/nodes";
  }

  change(changes) {
    if (changes.all) return this.arrange();
    if (!changes.nodes.size) return;
    const isNew = [...changes.nodes].some((id) => !this.known.has(id));
    this.rows.refresh(changes.nodes);
    this.wall.draw(changes.nodes);
    this.count();
    // A row that no longer fits what is asked for stays for a moment: nobody likes a list that jumps.
    if (isNew || this.state || this.search.value) this.settle();
  }

  arrange() {
    const words = wanted(this.search.value);
    const all = [...this.live.nodes.values()].sort(inOrder);
    this.known = new Set(this.live.nodes.keys());
    const fitting = all.filter((node) => (!this.state || node.state === this.state) && fits(node, words));
    this.rows.set(fitting.map((node) => node.id));
    this.rows.refresh();
    this.wall.set(all.map((node) => node.id));
    this.count();
    const nobody = "No node has asked yet. Send one here with DHCP, or `imagebuilder serve --pxe`.".replaceAll("`", "");
    say(this.none, fitting.length ? "" : all.length ? "No node fits." : nobody);
  }

  count() {
    const counts = { "": this.live.nodes.size };
    for (const node of this.live.nodes.values()) counts[node.state] = (counts[node.state] ?? 0) + 1;
    this.buttons ??= Object.entries({ "": "all", ...STATES }).map(([state, name]) => {
      const number = h("b");
      const button = h("button", { class: `chip ${state || "all"}`, onclick: () => this.filter(state) }, number, ` ${name}`);
      this.chips.append(button);
      return { state, number, button };
    });
    for (const { state, number, button } of this.buttons) {
      say(number, (counts[state] ?? 0).toLocaleString("en"));
      button.hidden = state !== "" && !counts[state] && this.state !== state;
      button.setAttribute("aria-pressed", this.state === state);
    }
  }

  filter(state) {
    this.state = this.state === state ? "" : state;
    this.arrange();
  }

  fill(element, id) {
    const node = this.live.nodes.get(id);
    const [state, name, image, what, since] = element.children;
    const now = this.live.now();
    element.dataset.state = node.state;
    say(state, STATES[node.state]);
    say(name.firstChild, title(node));
    say(name.lastChild, [node.name && node.node, node.address].filter(Boolean).join(" · "));
    say(image, node.image ?? "");
    say(what.firstChild, doing(node, this.live.explanations, now));
    what.lastChild.hidden = !moves(node) || !node.boot;
    what.lastChild.firstChild.style.transform = `scaleX(${done(node)})`;
    say(since, ago(node.changed ?? node.seen, now));
  }
}

function make() {
  return h(
    "div",
    { class: "row" },
    h("span", { class: "state" }),
    h("span", { class: "name" }, h("b"), h("small")),
    h("span", { class: "image" }),
    h("span", { class: "what" }, h("span"), h("span", { class: "bar" }, h("i"))),
    h("span", { class: "since" }),
  );
}

function open(id) {
  location.hash = `#/nodes/${id}`;
}

/** Those that have names first: r2 before r10. Addresses are no numbers in that sense. */
function inOrder(a, b) {
  if (a.name && b.name) return byName(a.name, b.name);
  if (a.name || b.name) return a.name ? -1 : 1;
  return a.node < b.node ? -1 : 1;
}

function fits(node, words) {
  if (!words.length) return true;
  const said = [node.name, node.node, node.address, node.vendor, node.model, node.serial, node.profile, node.image, node.code, node.phase, STATES[node.state]];
  return has(said.join("\n"), words);
}
