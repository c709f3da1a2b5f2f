// Two additions to the page, which works without them: a link to a folded element unfolds it in every browser,
// and the arrow keys move between the cells of the matrix.
"use strict";

function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let outer = target.closest("details"); outer; outer = outer.parentElement.closest("details")) outer.open = true;
  target.scrollIntoView();
  target.focus({ preventScroll: true });
}

addEventListener("hashchange", unfold);
addEventListener("DOMContentLoaded", unfold);

document.querySelector("#matrix table").addEventListener("keydown", (event) => {
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  const cell = event.target.closest("td, th");
  if (!step || !cell) return;
  const rows = [...document.querySelectorAll("#matrix tbody tr:not(.group)")];
  const row = rows[rows.indexOf(cell.parentElement) + step[0]];
  const next = row && row.cells[[...cell.parentElement.cells].indexOf(cell) + step[1]];
  if (!next) return;
  event.preventDefault();
  next.querySelector("a").focus();
});
