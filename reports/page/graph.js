// An architecture as a layered graph: inputs on top, every node below what feeds it, the shape on every edge.

const BOX = { width: 168, height: 66, apart: 34, down: 60 };

// Longest path from the inputs; then a waypoint in every layer that an edge passes, so that it runs beside the boxes.
function layered(architecture) {
  const depth = new Map(architecture.inputs.map((input) => [input.name, 0]));
  const edges = [];
  for (const node of architecture.nodes) {
    const named = node.inputs.map((reference) => [reference, sourceOf(reference, depth)]);
    const sources = named.filter(([, source]) => depth.has(source));
    depth.set(node.name, 1 + Math.max(-1, ...sources.map(([, source]) => depth.get(source))));
    for (const [reference, source] of sources) edges.push({ reference, source, target: node.name });
  }
  const layers = [];
  const put = (name, level) => (layers[level] ??= []).push(name);
  for (const [name, level] of depth) put(name, level);
  const ways = edges.map((edge, number) => {
    const way = [edge.source];
    for (let level = depth.get(edge.source) + 1; level < depth.get(edge.target); level++) {
      way.push(`\u0000${number}/${level}`);
      put(way.at(-1), level);
    }
    return { ...edge, way: [...way, edge.target] };
  });
  untangle(layers, ways);
  return { layers, ways };
}

function sourceOf(reference, depth) {
  return depth.has(reference) ? reference : reference.slice(0, reference.lastIndexOf("."));
}

// Barycentre heuristic (Sugiyama, Tagawa and Toda, 1981): each stands below the mean of what it hangs on, and back.
function untangle(layers, ways) {
  const up = new Map();
  const down = new Map();
  for (const { way } of ways) {
    for (let i = 1; i < way.length; i++) {
      up.set(way[i], [...(up.get(way[i]) ?? []), way[i - 1]]);
      down.set(way[i - 1], [...(down.get(way[i - 1]) ?? []), way[i]]);
    }
  }
  const sweep = (neighbours, order) => {
    for (const level of order) {
      const place = new Map(layers.flatMap((layer) => layer.map((name, i) => [name, i / Math.max(1, layer.length - 1)])));
      const mean = (name) => {
        const near = neighbours.get(name) ?? [];
        return near.length ? near.reduce((sum, other) => sum + place.get(other), 0) / near.length : place.get(name);
      };
      const ranked = layers[level].map((name) => [mean(name), name]);
      layers[level] = ranked.sort(([a], [b]) => a - b).map(([, name]) => name);
    }
  };
  const levels = layers.map((_, level) => level);
  for (let turn = 0; turn < 4; turn++) {
    sweep(up, levels.slice(1));
    sweep(down, levels.slice(0, -1).reverse());
  }
  sweep(up, levels.slice(1));
}

function graph(architecture, shapes, told) {
  const { layers, ways } = layered(architecture);
  const isPoint = (name) => name.startsWith("\u0000");
  const widthOf = (name) => (isPoint(name) ? 30 : BOX.width);
  const wide = (layer) => layer.reduce((sum, name) => sum + widthOf(name) + BOX.apart, -BOX.apart);
  const width = Math.max(...layers.map(wide)) + 80;
  const height = layers.length * (BOX.height + BOX.down) - BOX.down + 30;
  const at = new Map();
  layers.forEach((layer, level) => {
    let x = (width - wide(layer)) / 2;
    for (const name of layer) {
      at.set(name, { x: x + widthOf(name) / 2, y: 6 + level * (BOX.height + BOX.down) });
      x += widthOf(name) + BOX.apart;
    }
  });
  const svg = make("svg", { class: "figure graph", role: "group", "aria-label": "The architecture as a graph", width, height });
  const shapesTold = new Set();
  for (const { reference, way } of ways) {
    svg.append(edge(way, at, isPoint));
    if (!shapesTold.has(reference)) svg.append(...edgeLabel(way, at, isPoint, shapes[reference]));
    shapesTold.add(reference);
  }
  for (const node of architecture.nodes) if (at.has(node.shares)) svg.append(tie(at.get(node.name), at.get(node.shares)));
  for (const input of architecture.inputs) svg.append(box(at.get(input.name), "input", input.name, shapeText(input.shape), told(input.name)));
  for (const node of architecture.nodes) svg.append(box(at.get(node.name), "", node.op, node.name, told(node.name)));
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Graph of the architecture" }, svg);
}

function edge(way, at, isPoint) {
  let path = "";
  for (let i = 1; i < way.length; i++) {
    const from = at.get(way[i - 1]);
    const to = at.get(way[i]);
    const start = from.y + BOX.height;
    const middle = (start + to.y) / 2;
    path += `${i === 1 ? `M${from.x} ${start}` : ""}C${from.x} ${middle} ${to.x} ${middle} ${to.x} ${to.y}`;
    if (isPoint(way[i])) path += `L${to.x} ${to.y + BOX.height}`; // beside the boxes of its layer
  }
  return make("path", { class: "edge", d: path });
}

function edgeLabel(way, at, isPoint, shape) {
  if (!shape) return [];
  const from = at.get(way[0]);
  const to = at.get(way[1]);
  const y = (from.y + BOX.height + to.y) / 2 + (isPoint(way[1]) ? -6 : 4);
  return [make("text", { x: (from.x + to.x) / 2 + 6, y, class: "quiet beside" }, shapeText(shape))];
}

function tie(one, other) {
  const x = Math.max(one.x, other.x) + BOX.width / 2 + 16;
  const [a, b] = [one.y + BOX.height / 2, other.y + BOX.height / 2];
  const side = (place) => place.x + BOX.width / 2;
  return make("path", { class: "edge tied", d: `M${side(one)} ${a}C${x} ${a} ${x} ${b} ${side(other)} ${b}` },
    make("title", {}, "tied: they share parameters"));
}

function box(place, look, name, below, { digits, target, culprit, chosen, said }) {
  const x = place.x - BOX.width / 2;
  const words = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
  const link = drawnLink(target,
    make("title", {}, said),
    make("rect", { x, y: place.y, width: BOX.width, height: BOX.height, rx: 7 }),
    make("text", { x: x + 10, y: place.y + 21, class: "op" }, words(name, 24)),
    make("text", { x: x + 10, y: place.y + 38, class: "quiet" }, words(below, 24)),
    make("text", { x: x + 10, y: place.y + 56, class: culprit ? "no" : "" }, culprit ? "culprit" : digits));
  link.setAttribute("class", ["node", look, culprit ? "culprit" : "", chosen ? "chosen" : ""].join(" ").trim());
  link.setAttribute("aria-label", said);
  return link;
}
