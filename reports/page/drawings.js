// The errors of one array: where they are, and how large.

function indexOf(flat, shape) {
  const index = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index.unshift(flat % shape[axis]);
    flat = Math.floor(flat / shape[axis]);
  }
  return index;
}

function errorPictures({ tensor, against, shape, errors }) {
  const size = shape.reduce((product, length) => product * length, 1);
  const sizes = errors.map((error) => (error === null ? Infinity : Math.abs(error)));
  const finite = sizes.filter(Number.isFinite);
  const largest = Math.max(...finite, 0);
  const whole = size === errors.length;
  const place = (i) => (whole ? `at [${indexOf(i, shape).join(", ")}]` : `largest of stretch ${i + 1} of ${errors.length}`);
  const said = (i) => `${place(i)}: ${errors[i] === null ? "not finite" : errors[i]}`;
  const wrong = sizes.filter((s) => s > largest * 1e-6).length;
  return make(
    "section",
    { class: "errors" },
    make("h3", {}, `${tensor}, against ${against}: the error at every entry of ${shapeText(shape)}`),
    make("div", { class: "heat" }, heat(tensor, shape, sizes, largest, whole, said), histogram(tensor, sizes)),
    make("p", { class: "quiet" }, `${thousands(wrong)} of ${thousands(errors.length)} ${whole ? "entries" : "stretches"} are off by more than a millionth of the largest error, ${short(largest)}.`),
  );
}

function heat(name, shape, sizes, largest, whole, said) {
  const columns = whole && shape.length > 1 ? shape[shape.length - 1] : Math.min(32, sizes.length);
  const rows = Math.ceil(sizes.length / columns);
  const cell = Math.max(4, Math.min(22, 420 / columns, 420 / rows));
  const svg = make("svg", { class: "figure", role: "img", width: columns * cell + 1, height: rows * cell + 1 },
    make("title", {}, `Heat map of the error of ${name}`));
  sizes.forEach((size, i) => {
    const look = size === Infinity ? "maybe" : size > 0 ? "no" : "empty";
    // Six powers of ten from the largest error down, so that one wrong entry and a wrong row look as they are.
    const depth = largest && size > 0 && size !== Infinity ? Math.max(0.08, 1 + Math.log10(size / largest) / 6) : 1;
    const mark = make("rect", { x: (i % columns) * cell, y: Math.floor(i / columns) * cell, width: cell - 0.5, height: cell - 0.5,
      class: look, "fill-opacity": depth.toFixed(2) }, make("title", {}, said(i)));
    svg.append(mark);
  });
  return svg;
}

function histogram(name, sizes) {
  const counts = new Map();
  for (const size of sizes) {
    const bin = size === 0 ? "0" : size === Infinity ? "not finite" : `1e${Math.floor(Math.log10(size))}`;
    counts.set(bin, (counts.get(bin) ?? 0) + 1);
  }
  const rank = (bin) => (bin === "0" ? -Infinity : bin === "not finite" ? Infinity : Number(bin.slice(2)));
  const bins = [...counts.keys()].sort((a, b) => rank(a) - rank(b));
  const most = Math.max(...counts.values());
  const svg = make("svg", { class: "figure", role: "img", width: 300, height: bins.length * 20 + 24 },
    make("title", {}, `Histogram of the errors of ${name}`), make("text", { x: 0, y: 12, class: "quiet" }, "entries by the size of their error"));
  bins.forEach((bin, i) => {
    const y = 20 + i * 20;
    const width = Math.max(2, (150 * counts.get(bin)) / most);
    svg.append(make("text", { x: 62, y: y + 13, "text-anchor": "end", class: "quiet" }, bin),
      make("rect", { x: 70, y: y + 2, width, height: 14, class: bin === "0" ? "empty" : "no" }),
      make("text", { x: 76 + width, y: y + 13 }, thousands(counts.get(bin))));
  });
  return svg;
}

function describePairs(matrix, status, pairs) {
  const ops = matrix.dataset.ops.split(" ");
  const [left, top, cell] = matrix.dataset.grid.split(" ").map(Number);
  matrix.addEventListener("pointermove", (event) => {
    const box = matrix.getBoundingClientRect();
    const scale = matrix.viewBox.baseVal.width / box.width;
    const column = Math.floor(((event.clientX - box.left) * scale - left) / cell);
    const row = Math.floor(((event.clientY - box.top) * scale - top) / cell);
    const count = pairs[ops[row]]?.[ops[column]];
    if (!ops[row] || !ops[column]) return;
    status.textContent = `${ops[row]} feeding ${ops[column]}: ${count === undefined ? "cannot" : count ? `${thousands(count)} times` : "never drawn"}`;
  });
}
