// Making elements. Text only ever becomes text: no name in a document can become markup.

const SVG = "http://www.w3.org/2000/svg";

function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "rect", "path", "text", "title"].includes(tag);
  const element = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// A link inside a drawing is an element of SVG.
function drawnLink(target, ...children) {
  const link = document.createElementNS(SVG, "a");
  link.setAttribute("href", target);
  link.append(...children);
  return link;
}

const thousands = (number) => number.toLocaleString("en");
const fixed = (digits) => (digits === null || digits === undefined ? "–" : digits.toFixed(1));
const short = (number) => (typeof number === "number" ? String(Number(number.toPrecision(6))) : number ?? "");
const shapeText = (shape) => `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;

function table(caption, headings, rows) {
  const head = make("tr", {}, headings.map((h) => make("th", { scope: "col", class: h.number ? "n" : null }, h.name)));
  const body = rows.map((cells) =>
    make("tr", {}, cells.map((cell, i) => make("td", { class: headings[i].number ? "n" : null }, cell))),
  );
  const made = make("table", {}, make("caption", {}, caption), make("thead", {}, head), make("tbody", {}, body));
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, made);
}
