// What nodes are made of, to be searched.

import { h, later, say } from "/page/dom.js";
import { ask } from "/page/live.js";
import { count, title, wanted } from "/page/words.js";

export class Hardware {
  constructor(live) {
    this.live = live;
    this.sum = h("p", { class: "faint", role: "status" });
    this.list = h("div", { class: "catalog" });
    this.search = h("input", {
      type: "search",
      placeholder: "Maker, model, serial, disk, card, neighbour …  /",
      "aria-label": "Search hardware: all words have to be there",
      oninput: later(200, () => this.load()),
    });
    this.element = h("div", { class: "page" }, h("div", { class: "line tools" }, h("h1", null, "Hardware"), this.search), this.sum, this.list);
    this.stop = live.listen((changes) => changes.all && this.load());
    this.load();
  }

  close() {
    this.stop();
  }

  show() {}

  async load() {
    const asked = this.search.value;
    const told = await ask(`/api/1/page/hardware?q=${encodeURIComponent(asked)}`).catch((error) => ({ error: error.message }));
    if (asked !== this.search.value) return;
    if (told.error) return say(this.sum, told.error);
    const more = told.count > told.nodes.length ? `; the first ${told.nodes.length} are shown` : "";
    const none = "No node has said yet what it is made of: each does when it is ready for the first time.";
    say(this.sum, told.of ? `${told.count.toLocaleString("en")} of ${count(told.of, "node")}${more}` : none);
    const words = wanted(asked);
    this.list.replaceChildren(...told.nodes.map((found) => this.entry(found, words)));
  }

  entry({ node, lines }, words) {
    const known = this.live.nodes.get(node);
    return h(
      "article",
      { class: "card" },
      h("h2", null, h("a", { href: `#/nodes/${node}` }, known ? title(known) : node)),
      h("dl", { class: "facts" }, lines.flatMap(([kind, text]) => [h("dt", null, kind), h("dd", null, marked(text, words))])),
    );
  }
}

/** A text with the first place of each word marked. */
function marked(text, words) {
  const places = words
    .map((word) => [text.toLowerCase().indexOf(word), word.length])
    .filter(([place]) => place >= 0)
    .sort(([a], [b]) => a - b);
  const parts = [];
  let end = 0;
  for (const [place, length] of places) {
    if (place < end) continue;
    parts.push(text.slice(end, place), h("mark", null, text.slice(place, place + length)));
    end = place + length;
  }
  return [...parts, text.slice(end)];
}
