// What differs between two images: layers, packages, files.

import { h } from "/page/dom.js";
import { ask } from "/page/live.js";
import { short } from "/page/words.js";

export class Difference {
  constructor() {
    this.old = h("select", { id: "old" });
    this.new = h("select", { id: "new" });
    this.answer = h("div", { role: "status" });
    this.element = h(
      "section",
      { class: "card difference" },
      h("h2", null, "What differs"),
      h(
        "form",
        { class: "line", onsubmit: (event) => (event.preventDefault(), this.load()) },
        h("label", { for: "old" }, "between"),
        this.old,
        h("label", { for: "new" }, "and"),
        this.new,
        h("button", { class: "primary" }, "Compare"),
      ),
      this.answer,
    );
  }

  /** Offer the images of the store: those that have names first, then those that had. */
  offer({ names, images }) {
    const named = new Set(names.map((name) => name.digest));
    const former = Object.keys(images).filter((digest) => !named.has(digest));
    const choices = [...names.map(({ name, digest }) => [digest, `${name}  ${short(digest)}`]), ...former.map((digest) => [digest, `${short(digest)} of ${images[digest].created.slice(0, 10)}, before`])];
    for (const [select, place] of [[this.old, 0], [this.new, 1]]) {
      const chosen = select.value;
      select.replaceChildren(...choices.map(([digest, text]) => h("option", { value: digest }, text)));
      select.value = images[chosen] ? chosen : (choices[Math.min(place, choices.length - 1)]?.[0] ?? "");
    }
    this.element.hidden = Object.keys(images).length < 2;
  }

  async load() {
    this.answer.replaceChildren(h("p", { class: "faint" }, "Layers are unpacked and compared: that takes some seconds."));
    const query = new URLSearchParams({ old: this.old.value, new: this.new.value });
    const told = await ask(`/api/1/page/difference?${query}`).catch((error) => ({ error: error.message }));
    if (told.error) return this.answer.replaceChildren(h("p", { class: "error" }, told.error));
    this.answer.replaceChildren(...told.layers.map(layer));
  }
}

function layer({ old, new: now, equal, changes, files, more_files: more }) {
  const title = old === now ? old : [old, now].filter(Boolean).join(" → ");
  if (equal) return h("p", { class: "equal" }, h("b", null, title), " equal");
  const state = old && now ? "differs" : old ? "only in the first" : "only in the second";
  const known = changes === null ? "its packages are not known" : changes.length ? "" : "the same packages";
  const lines = [...(changes ?? []).map((change) => line(change.package, change.old, change.new))];
  const paths = (files ?? []).map((file) => line(file.path, file.old && file.new ? "" : file.old && " ", file.old && file.new ? "" : file.new && " "));
  return h(
    "div",
    { class: "layer" },
    h("p", null, h("b", null, title), ` ${[state, known].filter(Boolean).join(", ")}`),
    lines.length ? h("ul", { class: "changes" }, lines) : null,
    paths.length ? h("details", null, h("summary", null, `${paths.length + more} files`), h("ul", { class: "changes" }, paths), more ? h("p", { class: "faint" }, `and ${more} more`) : null) : null,
  );
}

function line(name, old, now) {
  const sign = Boolean(old) === Boolean(now) ? "~" : old ? "−" : "+";
  const versions = old && now ? `${old} → ${now}` : (old || now || "").trim();
  return h("li", { class: { "~": "other", "−": "gone", "+": "new" }[sign] }, h("span", { "aria-hidden": "true" }, sign), h("b", null, name), h("span", { class: "faint" }, versions));
}
