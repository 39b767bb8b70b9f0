"use strict";
// Sorts a table by the column whose head is pressed; numbers by their full value, cells without one last.
const key = (row, column) => {
  const cell = row.cells[column];
  return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
};
const isMissing = (value) => value === "" || value === "\u2013";
const compare = (a, b) => {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
};
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].map((row) => [key(row, column), row]);
      rows.sort(([a], [b]) => {
        if (isMissing(a) || isMissing(b)) return Number(isMissing(a)) - Number(isMissing(b));
        return down ? compare(b, a) : compare(a, b);
      });
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}
const opened = [];
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details:not([open])")) { part.open = true; opened.push(part); }
});
addEventListener("afterprint", () => { while (opened.length) opened.pop().open = false; });
