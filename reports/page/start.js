// The address says what is shown: a section of the page, or a view that is drawn for it.

const VIEWS = { layer: layerView, architectures: architecturesView, architecture: architectureView };

function go(view, given) {
  location.hash = address(view, given);
}

async function route() {
  const hash = location.hash.slice(1);
  const [view, given] = hash.slice(1).split("?");
  const sections = [...document.querySelectorAll("main > section")];
  const drawn = document.getElementById("drawn");
  let current;
  if (hash.startsWith("/")) {
    const made = await (VIEWS[view] ?? (() => missing("There is no such view.")))(new URLSearchParams(given));
    if (location.hash.slice(1) !== hash) return; // another was chosen meanwhile
    drawn.replaceChildren(...made.filter(Boolean));
    current = drawn;
  } else {
    const target = document.getElementById(hash);
    current = target?.closest("main > section") ?? sections[0];
  }
  for (const section of sections) section.hidden = section !== current;
  for (const link of document.querySelectorAll("nav a")) {
    const own = link.getAttribute("href");
    const here = current === drawn ? own === `#/${view}` : own === `#${current.id}`;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (location.hash) focusOn(current, current === drawn ? null : document.getElementById(hash));
}

function focusOn(current, target) {
  // Whoever types or chooses in a filter keeps the place.
  if (current.id === "drawn" && current.dataset.view === location.hash.split("?")[0]) document.getElementById("architectures-search")?.focus({ preventScroll: true });
  else current.querySelector("h1, h2")?.focus({ preventScroll: true });
  current.dataset.view = location.hash.split("?")[0];
  if (target && target !== current) target.scrollIntoView();
  else scrollTo(0, 0);
}

async function drawFailures() {
  const articles = [...document.querySelectorAll("[data-failure]")];
  if (!articles.length) return;
  const { failures } = await load();
  for (const article of articles) {
    const failure = failures[article.dataset.failure];
    article.querySelector(".pictures").append(...failure.errors.map(errorPictures));
  }
}

document.documentElement.classList.add("running");
for (const made of document.querySelectorAll("table.sortable")) sortable(made);
for (const block of document.querySelectorAll(".copied")) copyable(block);
const search = document.getElementById("layers-search");
if (search) searchable(search, document.getElementById("layers-table"), document.getElementById("layers-found"));
const matrix = document.querySelector("#figure-pairs svg");
if (matrix) load().then(({ pairs }) => describePairs(matrix, document.getElementById("pair"), pairs));
addEventListener("hashchange", route);
if (document.querySelector("nav")) route();
drawFailures();
