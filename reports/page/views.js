// What is drawn on demand: a layer, the list of architectures, one architecture.

const PAGE_ROWS = 100;
const VERDICTS = ["all", "agree", "inconclusive", "disagree", "failed"];

const address = (view, given) => {
  const kept = Object.entries(given).filter(([, value]) => value !== "" && value !== null && value !== undefined && value !== "all");
  return `#/${view}${kept.length ? `?${new URLSearchParams(kept)}` : ""}`;
};

async function layerView(given) {
  const { layers, dtypes, pairs, ...data } = await load();
  const op = given.get("op") ?? "";
  const row = layers[op];
  if (!row) return missing(`No layer ${op} in this report.`);
  const cases = await listed();
  const numbers = [{ name: "dtype" }, ...["agree", "disagree", "inconcl.", "fewest digits"].map((name) => ({ name, number: true }))];
  const arrays = row.arrays.map((a) => [a.kind, a.against, a.dtype, ...[a.agree, a.disagree, a.inconclusive].map(thousands), fixed(a.worst_digits)]);
  const classes = Object.entries(data.arguments[op] ?? {}).map(([name, counts]) => [
    make("code", {}, name), Object.entries(counts).map(([value, count]) => `${value} ${thousands(count)}`).join(", ")]);
  const fed = Object.entries(pairs[op] ?? {}).filter(([, count]) => count).map(([other, count]) => `${other} ${thousands(count)}`);
  const least = (data.cases?.least ?? []).filter(([of]) => of === op);
  return [
    heading(op),
    make("p", {}, `${thousands(row.cases)} cases. `, make("a", { href: address("architectures", { op }) },
      `The ${thousands(cases.filter((c) => c.ops.includes(op)).length)} architectures with it`), "."),
    least.length ? make("p", {}, "Fewest digits: ", least.flatMap(([, dtype, digest], i) => [i ? ", " : "", `${dtype} in `,
      make("a", { href: address("architecture", { digest }) }, digest)]), ".") : null,
    table("Arrays by kind, witnesses and dtype", [{ name: "array" }, { name: "against" }, ...numbers], arrays),
    classes.length ? table("Values of its arguments that were drawn", [{ name: "argument" }, { name: "values" }], classes) : null,
    fed.length ? make("p", {}, make("span", { class: "quiet" }, "It fed: "), fed.join(", "), ".") : null,
  ];
}

async function architecturesView(given) {
  const { cases, layers } = await load();
  const lines = await listed();
  if (!cases) return missing("This report was made from numbers alone: no single architectures are in it.");
  const asked = { q: given.get("q") ?? "", op: given.get("op") ?? "", verdict: given.get("verdict") ?? "all",
    sort: given.get("sort") ?? "number", down: given.get("down") ?? "", page: Number(given.get("page") ?? 0) };
  const found = chosen(lines, asked);
  const page = Math.min(Math.max(0, asked.page), Math.max(0, Math.ceil(found.length / PAGE_ROWS) - 1));
  const shown = found.slice(page * PAGE_ROWS, (page + 1) * PAGE_ROWS);
  const turn = (to, words) => (to < 0 || to * PAGE_ROWS >= found.length ? make("button", { class: "plain", disabled: true }, words)
    : make("button", { class: "plain", onclick: () => go("architectures", { ...asked, page: to || "" }) }, words));
  const columns = [["number", "number"], ["digest", "digest"], ["verdict", "verdict"],
    ...cases.dtypes.flatMap((dtype) => [[dtype, `${dtype}, autograd`], [`${dtype}/differences`, "differences"]]), ["seconds", "seconds"], ["ops", "layers"]];
  const head = columns.map(([key, name]) => make("th", { scope: "col", class: ["digest", "verdict", "ops"].includes(key) ? null : "n",
    "aria-sort": asked.sort === key ? (asked.down ? "descending" : "ascending") : null },
    make("button", { type: "button", onclick: () => go("architectures", { ...asked, sort: key, down: asked.sort === key && !asked.down ? 1 : "", page: "" }) }, name)));
  const body = shown.map((line) => make("tr", {}, make("td", { class: "n" }, String(line.number)),
    make("td", {}, make("a", { href: address("architecture", { digest: line.digest }) }, line.digest)),
    make("td", { class: { agree: "", inconclusive: "maybe" }[line.verdict] ?? "no" }, line.verdict),
    cases.dtypes.flatMap((dtype) => line.digits[dtype].map((d) => make("td", { class: "n" }, fixed(d)))),
    make("td", { class: "n" }, line.seconds.toFixed(2)), make("td", {}, line.ops.join(", "))));
  const few = cases.count > lines.length ? `; the first ${thousands(lines.length)} of ${thousands(cases.count)} are listed` : "";
  return [
    heading("Architectures"),
    filters(asked, Object.keys(layers)),
    make("p", { role: "status" }, `${thousands(found.length)} of ${thousands(lines.length)} architectures${few}. `,
      turn(page - 1, "Earlier"), " ", turn(page + 1, "Later"), found.length ? ` ${thousands(page * PAGE_ROWS + 1)} to ${thousands(page * PAGE_ROWS + shown.length)}` : ""),
    make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Architectures" },
      make("table", { id: "architectures-table" }, make("caption", {}, "Fewest digits of each architecture, with autograd and with finite differences"),
        make("thead", {}, make("tr", {}, head)), make("tbody", {}, body))),
  ];
}

function chosen(lines, { q, op, verdict, sort, down }) {
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  const has = (line) => words.every((word) => line.digest.startsWith(word) || String(line.number) === word || line.ops.some((name) => name.toLowerCase().includes(word)));
  const found = lines.filter((line) => (verdict === "all" || line.verdict === verdict) && (!op || line.ops.includes(op)) && has(line));
  const [dtype, pair] = sort.split("/");
  const key = { number: (l) => l.number, digest: (l) => l.digest, verdict: (l) => l.verdict, seconds: (l) => l.seconds, ops: (l) => l.ops.join() }[sort]
    ?? ((l) => l.digits[dtype]?.[pair ? 1 : 0] ?? null);
  return found.sort((a, b) => compare(key(a), key(b), Boolean(down)));
}

function filters(asked, layers) {
  const again = (changed) => go("architectures", { ...asked, page: "", ...changed });
  const options = (values, chosenOne, first) => values.map((value) => make("option", { value, selected: value === chosenOne }, value || first));
  return make("div", { class: "filters" },
    make("label", {}, "Find ", make("input", { type: "search", id: "architectures-search", value: asked.q, placeholder: "layer, digest or number",
      onchange: (event) => again({ q: event.target.value }) })),
    make("label", {}, "Layer ", make("select", { onchange: (event) => again({ op: event.target.value }) }, options(["", ...layers], asked.op, "all"))),
    make("label", {}, "Verdict ", make("select", { onchange: (event) => again({ verdict: event.target.value }) }, options(VERDICTS, asked.verdict))));
}

async function architectureView(given) {
  const digest = given.get("digest") ?? "";
  const known = await whole(digest);
  const lines = await listed();
  const line = lines.find((l) => l.digest === digest);
  if (!known && !line) return missing(`No architecture ${digest} in this report.`);
  if (!known) {
    return [heading(`Architecture ${digest}`), make("p", {}, `Number ${line.number}: ${line.verdict}. ${line.ops.join(", ")}.`),
      make("p", { class: "quiet" }, "This page holds the whole of the first architectures, and of those that are worth a look; the rest is in the store.")];
  }
  const { architecture, shapes, dtypes } = known;
  const blamed = new Set(dtypes.map((d) => d.culprit).filter(Boolean));
  const inputs = Object.fromEntries(architecture.inputs.map((i) => [i.name, i.shape]));
  const arrays = arraysOf(known);
  const node = given.get("node");
  const told = (name) => {
    const digits = dtypes.map(({ dtype }) => arrays.filter((a) => a.node === name).map((a) => a.found[dtype]?.digits ?? null).filter((d) => d !== null))
      .map((list) => fixed(list.length ? Math.min(...list) : null));
    const of = architecture.nodes.find((n) => n.name === name);
    return { digits: of ? digits.join(" / ") : "", culprit: blamed.has(name), chosen: node === name,
      target: address("architecture", { digest, node: node === name ? "" : name }),
      said: `${name}${of ? ` (${of.op})` : ""}: fewest digits ${digits.join(", ")}${blamed.has(name) ? "; the culprit" : ""}` };
  };
  const diagnoses = dtypes.filter((d) => d.diagnosis || d.failure).map((d) => make("p", { class: "no" }, `${d.dtype}: ${d.culprit ?? "the composition"}: ${d.diagnosis ?? d.failure}`));
  return [
    heading(`Architecture ${digest}`),
    make("p", {}, line ? `Number ${line.number}, ` : "", `${architecture.training ? "in training" : "in evaluation"}. `,
      `Below the name of a node stand the fewest digits of its arrays: ${dtypes.map((d) => d.dtype).join(" / ")}. Choose a node to see its arrays alone.`),
    ...diagnoses,
    graph(architecture, { ...inputs, ...shapes }, told),
    node ? nodeFacts(architecture, known.values ?? {}, node) : valuesTable(known.values ?? {}),
    arraysTable(arrays.filter((a) => !node || a.node === node), dtypes, node),
    make("details", {}, make("summary", {}, "The architecture as JSON"), copyableText(JSON.stringify(architecture, null, 1))),
  ];
}

function arraysOf({ labels, dtypes }) {
  return labels.map(([node, op, kind, name, against], label) => {
    const found = {};
    for (const entry of dtypes) {
      const i = entry.labels.indexOf(label);
      if (i < 0) continue;
      const full = entry.full?.[i];
      const verdict = { a: "agree", d: "disagree", i: "inconclusive" }[entry.verdicts[i]];
      found[entry.dtype] = { verdict, digits: entry.digits[i], limit: entry.limits?.[i] ?? null, note: full?.note ?? "" };
    }
    return { node, op, kind, name, against, found };
  });
}

function arraysTable(arrays, dtypes, node) {
  const headings = [{ name: "node" }, { name: "array" }, { name: "against" },
    ...dtypes.flatMap(({ dtype }) => [{ name: dtype, number: true }, { name: "caught from", number: true }]), { name: "note" }];
  const words = { parameter: "gradient of", input: "gradient of input", update: "new" };
  const rows = arrays.map((a) => [a.node || "whole network", `${words[a.kind] ?? a.kind} ${a.name}`, a.against,
    ...dtypes.flatMap(({ dtype }) => {
      const f = a.found[dtype];
      if (!f) return ["–", "–"];
      const look = { agree: "", disagree: "no", inconclusive: "maybe" }[f.verdict];
      return [make("span", { class: look }, f.verdict === "agree" ? fixed(f.digits) : f.verdict), f.limit === null ? "–" : `1e-${f.limit.toFixed(1)}`];
    }),
    [...new Set(Object.values(a.found).map((f) => f.note).filter(Boolean))].join("; ")]);
  return table(node ? `Arrays of ${node}: digits, and the relative error from which one is caught` : "All arrays: digits, and the relative error from which one is caught", headings, rows);
}

const VALUES = ["least", "greatest", "root mean square"];

function valuesTable(values) {
  const headings = [{ name: "node" }, ...VALUES.map((name) => ({ name: `${name} forward`, number: true })), ...VALUES.map((name) => ({ name: `${name} of its adjoint`, number: true }))];
  const rows = Object.entries(values).map(([name, numbers]) => [name, ...numbers.map((x) => (x === null ? "–" : short(x)))]);
  return rows.length ? make("details", {}, make("summary", {}, "PyTorch's numbers, forward and back"), table("Values and adjoints", headings, rows)) : null;
}

function nodeFacts(architecture, values, name) {
  const node = architecture.nodes.find((n) => n.name === name);
  const given = node ? Object.entries({ ...node.arguments, ...node.options }) : [];
  const numbers = Object.entries(values).filter(([reference]) => reference === name || reference.startsWith(`${name}.`));
  const terms = [];
  const add = (term, text) => terms.push(make("dt", {}, term), make("dd", {}, text));
  if (node) add("op", make("a", { href: address("layer", { op: node.op }) }, node.op));
  if (given.length) add("arguments", make("code", {}, given.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(", ")));
  if (node?.shares) add("parameters", `those of ${node.shares}`);
  for (const [reference, [least, greatest, mean, back, most, root]] of numbers) {
    add(`${reference}, forward`, `${short(least)} to ${short(greatest)}, root mean square ${short(mean)}`);
    if (back !== null) add("its adjoint", `${short(back)} to ${short(most)}, root mean square ${short(root)}`);
  }
  return make("div", {}, make("h2", {}, name), make("dl", {}, terms));
}

function copyableText(text) {
  const block = make("div", { class: "copied" }, make("pre", { tabindex: 0 }, text));
  copyable(block);
  return block;
}

const heading = (words) => make("h1", { class: "view", tabindex: -1 }, words);
const missing = (words) => [heading(words), make("p", {}, make("a", { href: "#overview" }, "Back to the overview"), ".")];
