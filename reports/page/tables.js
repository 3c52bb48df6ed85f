// Sorting and searching, without loading anything.

function sortable(made) {
  const headings = [...made.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    if ("fixed" in heading.dataset) return;
    const button = make("button", { type: "button", onclick: () => sort(made, column) });
    button.append(...heading.childNodes);
    heading.append(button);
  });
}

function sort(made, column) {
  const heading = made.tHead.rows[0].cells[column];
  const numbers = heading.classList.contains("n");
  const before = heading.getAttribute("aria-sort");
  const descending = before ? before === "ascending" : numbers && !heading.textContent.startsWith("float");
  for (const other of made.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const key = (row) => {
    const text = row.cells[column].textContent.trim();
    return numbers ? Number.parseFloat(text.replaceAll(",", "")) : text;
  };
  const rows = [...made.tBodies[0].rows].map((row) => [key(row), row]);
  rows.sort(([a], [b]) => compare(a, b, descending));
  made.tBodies[0].append(...rows.map(([, row]) => row));
}

// What has no number stands last, whichever way it is sorted.
function compare(a, b, descending) {
  const missing = (value) => value === null || Number.isNaN(value);
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  const order = a < b ? -1 : a > b ? 1 : 0;
  return descending ? -order : order;
}

function searchable(field, made, status) {
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    let found = 0;
    for (const row of made.tBodies[0].rows) {
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
      found += !row.hidden;
    }
    status.textContent = wanted ? `${found} found` : "";
  });
}

function copyable(block) {
  const button = make("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    const text = block.querySelector("pre").textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // A page from a file may not write to the clipboard: the text is selected instead.
      getSelection().selectAllChildren(block.querySelector("pre"));
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  block.append(button);
}
