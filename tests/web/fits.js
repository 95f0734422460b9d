// Tells in an attribute of the body how many texts there are, and which of them reach out of their place:
// in a graph the box around them, in a timeline the space before the first bar.
const wide = [];
const graph = [...document.querySelectorAll("svg .box text")];
for (const text of graph) {
  const box = text.parentNode.querySelector("rect").getBBox();
  if (text.getBBox().x + text.getBBox().width > box.x + box.width - 4) wide.push(text.textContent);
}
const names = [...document.querySelectorAll("svg .bar > text")];
const first = Math.min(...[...document.querySelectorAll("svg .bar > rect")].map((bar) => bar.getBBox().x));
for (const text of names) {
  if (text.getBBox().x + text.getBBox().width > first) wide.push(text.textContent);
}
document.body.dataset.fits = JSON.stringify({ texts: graph.length + names.length, "too wide": wide });
