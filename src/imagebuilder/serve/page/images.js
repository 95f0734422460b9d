// What the store has: names, the layers that they stand for, their packages, where bytes are, what differs.

import { Difference } from "/page/difference.js";
import { h, later, say, table } from "/page/dom.js";
import { ask } from "/page/live.js";
import { count, short, size } from "/page/words.js";

export class Images {
  constructor(live) {
    this.live = live;
    this.digest = "";
    this.problems = h("div");
    this.names = h("div", { class: "images" });
    this.one = h("div");
    this.difference = new Difference();
    this.element = h("div", { class: "page" }, h("div", { class: "line tools" }, h("h1", null, "Images")), this.problems, this.names, this.one, this.difference.element);
    this.stop = live.listen((changes) => (changes.images || changes.all) && this.load());
    this.load();
  }

  close() {
    this.stop();
  }

  /** Show one image below the list: its digest, or "" for none. */
  show(digest) {
    this.digest = digest;
    if (this.told) this.open();
    if (this.told && digest) this.one.scrollIntoView({ block: "nearest" });
  }

  escape() {
    if (this.digest) location.hash = "#/images";
  }

  async load() {
    const told = await ask("/api/1/page/images").catch(() => null);
    if (!told) return;
    this.told = told;
    this.problems.replaceChildren(...told.problems.map((problem) => h("p", { class: "problem" }, problem)));
    const most = Math.max(1, ...Object.values(told.images).map((image) => image.size));
    const none = h("p", { class: "none" }, "The store is empty: imagebuilder build fills it.");
    this.names.replaceChildren(...(told.names.length ? told.names.map((name) => this.row(name, most)) : [none]));
    this.difference.offer(told);
    this.open();
  }

  row({ name, digest, signed }, most) {
    const image = this.told.images[digest];
    return h(
      "a",
      { class: "image-row", href: `#/images/${digest}`, "data-digest": digest },
      h("b", null, name),
      h("code", null, short(digest)),
      h("span", { class: signed ? "signed" : "faint" }, signed ? "signed" : "not signed"),
      h("span", { class: "faint" }, image.created.slice(0, 10)),
      stack(image, most),
      h("span", { class: "number" }, size(image.size)),
    );
  }

  open() {
    for (const row of this.names.children) row.toggleAttribute("aria-current", row.dataset.digest === this.digest);
    const image = this.told.images[this.digest];
    if (!image) return this.one.replaceChildren();
    if (this.one.dataset.digest === this.digest && this.one.children.length) return;
    this.one.dataset.digest = this.digest;
    const rows = image.layers.map((layer) =>
      h("tr", null, h("td", null, h("span", { class: `swatch ${layer.kind}` }), layer.kind), h("td", null, layer.title), h("td", null, h("code", null, short(layer.digest))), h("td", { class: "number" }, size(layer.size))),
    );
    this.one.replaceChildren(
      h(
        "section",
        { class: "card" },
        h("div", { class: "line" }, h("h2", null, `Image ${short(this.digest)}`), h("a", { class: "close", href: "#/images", "aria-label": "Close (Esc)" }, "×")),
        h("div", { class: "layers" }, table(["Layer", "File", "Digest", "#Size"], rows)),
        packages(this.digest),
        sizes(this.digest),
      ),
    );
  }
}

/** The sizes of an image's layers side by side, to the scale of the largest image. */
function stack(image, most) {
  const parts = image.layers.map((layer) => {
    const part = h("i", { class: layer.kind, title: `${layer.title}: ${size(layer.size)}` });
    part.style.width = `${(100 * layer.size) / most}%`;
    return part;
  });
  return h("span", { class: "stack", "aria-hidden": "true" }, parts);
}

function packages(digest) {
  const list = h("div");
  const sum = h("p", { class: "faint" });
  let layers = [];
  const search = h("input", { type: "search", placeholder: "Search packages", "aria-label": "Search packages", oninput: later(80, () => fill()) });
  const fill = () => {
    const wanted = search.value.toLowerCase();
    const found = layers.flatMap(({ title, packages: all }) => all.filter(([name]) => name.includes(wanted)).map((entry) => [...entry, title]));
    const shown = found.slice(0, 300);
    say(sum, layers.length ? count(found.length, "package") : "The store does not know the packages of this image.");
    const rows = shown.map(([name, version, architecture, title]) => h("tr", null, [name, version, architecture, title].map((text) => h("td", null, text))));
    list.replaceChildren(table(["Package", "Version", "For", "Layer"], rows), shown.length < found.length ? h("p", { class: "faint" }, `and ${found.length - shown.length} more`) : "");
  };
  const load = async () => {
    const told = await ask(`/api/1/page/packages?image=${digest}`).catch((error) => ({ layers: [], error: error.message }));
    layers = told.layers;
    fill();
    if (told.error) say(sum, told.error);
  };
  return h("details", { ontoggle: (event) => event.target.open && load() }, h("summary", null, "Packages"), search, sum, list);
}

/** The page of `imagebuilder size`, in a frame as high as it is. */
function sizes(digest) {
  const place = h("div");
  const load = () => {
    if (place.children.length) return;
    const wait = h("p", { class: "faint" }, "Layers are unpacked and weighed: that takes some seconds.");
    const frame = h("iframe", { title: "Where the bytes are", src: `/api/1/page/size?image=${digest}`, class: "size" });
    frame.addEventListener("load", () => {
      wait.remove();
      const page = frame.contentDocument;
      page?.querySelector("h1")?.remove(); // it is said above
      if (page) frame.style.height = `${page.documentElement.scrollHeight + 4}px`;
    });
    place.replaceChildren(wait, frame);
  };
  return h("details", { ontoggle: (event) => event.target.open && load() }, h("summary", null, "Where the bytes are"), place);
}
