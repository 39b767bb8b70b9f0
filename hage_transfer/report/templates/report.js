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
// What a word means, where it is pointed at, tapped or reached by the Tab key.
const meaning = document.querySelector("#meaning");
let term = null;
const place = () => {
  meaning.hidden = !term;
  if (!term) return;
  meaning.textContent = document.getElementById(term.getAttribute("aria-describedby")).textContent;
  const [box, own] = [term.getBoundingClientRect(), meaning.getBoundingClientRect()];
  meaning.style.left = `${Math.max(8, Math.min(box.left, document.documentElement.clientWidth - own.width - 8))}px`;
  meaning.style.top = `${box.bottom + own.height + 12 < innerHeight ? box.bottom + 6 : box.top - own.height - 6}px`;
};
for (const happens of ["pointerover", "focusin", "click"]) {
  document.addEventListener(happens, ({ target }) => {
    const kept = happens === "pointerover" ? document.activeElement : target; // what has the focus stays explained
    term = target.closest?.(".term") ?? (happens === "click" ? null : kept.closest?.(".term, thead button")) ?? null;
    if (term?.matches("button")) term = term.querySelector(".term");
    place();
  });
}
document.addEventListener("keydown", (event) => { if (event.key === "Escape") { term = null; place(); } });
document.addEventListener("scroll", place, { passive: true, capture: true });
