// Elements out of values. Texts become text nodes, never markup: whatever a node calls itself is only shown.

/** An element. `attributes`: `on...` are listeners, `true` is one without a value, null and false are none. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same in a drawing. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("aria-")) element.setAttribute(name, value);
    else if (value === null || value === undefined || value === false) continue;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A text whose parts in backticks are code. */
export function words(text) {
  return text.split("`").map((part, number) => (number % 2 ? h("code", null, part) : part));
}

/** Set a text only when it is another one: a browser lays out anew for every one that is set. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function table(heads, rows) {
  const head = heads.map((name) => h("th", { scope: "col", class: name.startsWith("#") ? "number" : null }, name.replace("#", "")));
  return h("div", { class: "scrolls" }, h("table", null, h("thead", null, h("tr", null, head)), h("tbody", null, rows)));
}

/** `work` when it has not been asked for again for a while. */
export function later(milliseconds, work) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), milliseconds);
  };
}
