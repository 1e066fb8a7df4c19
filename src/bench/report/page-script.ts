/**
 * Runs in the page: pointing at a mark, or stepping through a chart's marks by keys, shows the mark's title below the
 * chart. Without it the page lacks nothing but this.
 */
export const pageScript = `"use strict";
for (const chart of document.querySelectorAll("svg.chart")) {
  const readout = document.getElementById(chart.dataset.readout);
  const marks = [...chart.querySelectorAll(".mark")];
  const places = new Map(marks.map((mark, index) => [mark, index]));
  let at = -1;
  const show = (index) => {
    if (index < 0 || index >= marks.length) return;
    if (at >= 0) marks[at].classList.remove("on");
    at = index;
    marks[at].classList.add("on");
    readout.textContent = marks[at].querySelector("title").textContent;
  };
  chart.addEventListener("pointerover", (event) => {
    const mark = event.target.closest(".mark");
    if (mark) show(places.get(mark));
  });
  chart.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: marks.length - 1 };
    if (!Object.hasOwn(steps, event.key)) return;
    event.preventDefault();
    show(steps[event.key]);
  });
}
`;
