"use strict";
// Filters and sorts the table of runs. Without it the table is whole and in the order of the experiment.
for (const table of document.querySelectorAll("table.runs")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const form = table.closest("section").querySelector(".filters");
  const heads = [...table.tHead.rows[0].cells];

  const filter = () => {
    const text = form.elements.text.value.trim().toLowerCase();
    const chosen = [...form.querySelectorAll("select")].filter((select) => select.value !== "");
    let shown = 0;
    for (const row of rows) {
      const fits = chosen.every((select) => row.cells[select.dataset.column].textContent === select.value)
        && (text === "" || row.textContent.toLowerCase().includes(text));
      row.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    form.querySelector("output").textContent = `${shown} of ${rows.length} runs`;
  };

  const sort = (column) => {
    const descending = heads[column].getAttribute("aria-sort") === "ascending";
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
    const key = (row) => row.cells[column].dataset.key;
    const text = (row) => row.cells[column].textContent;
    // Cells without a number go last, whichever way the others are sorted.
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === undefined || y === undefined) {
        return (x === undefined) - (y === undefined) || text(a).localeCompare(text(b)) * (descending ? -1 : 1);
      }
      return (x - y) * (descending ? -1 : 1);
    };
    body.append(...rows.sort(compare));
  };

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => sort(column));
    head.replaceChildren(button);
  });
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
}
