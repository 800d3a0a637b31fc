// One block at a time is chosen, by pointer, keyboard or chart; everything that shows it carries data-block.

// told(block): what is said of it in `line`; drawings(): the charts; enter(block): on Enter or a click in the ribbon.
export function choosing({ line, told, drawings, enter }) {
  let chosen = -1;

  function choose(block, from) {
    const words = told(block);
    if (block === chosen || words === undefined) return;
    for (const e of document.querySelectorAll("[data-block].on")) e.classList.remove("on");
    for (const e of document.querySelectorAll(`[data-block="${block}"]`)) e.classList.add("on");
    chosen = block;
    line.textContent = words;
    for (const { plot, chart } of drawings()) {
      if (chart.perBlock && plot !== from) plot.setCursor({ left: plot.valToPos(block, "x"), top: plot.bbox.height / 2 / devicePixelRatio }, false);
    }
  }

  for (const kind of ["mouseover", "focusin"]) {
    document.addEventListener(kind, (event) => {
      const shown = event.target.closest?.("[data-block]");
      if (shown) choose(Number(shown.dataset.block));
    });
  }

  // A ribbon is one stop of the Tab key; arrows go from block to block.
  function walkable(cells) {
    cells.forEach((cell, i) => {
      cell.setAttribute("tabindex", i === 0 ? "0" : "-1");
      cell.addEventListener("keydown", (event) => {
        const to = { ArrowLeft: i - 1, ArrowRight: i + 1, Home: 0, End: cells.length - 1 }[event.key];
        if (event.key === "Enter") return enter(Number(cell.dataset.block), event);
        if (to === undefined || !cells[to]) return;
        event.preventDefault();
        cell.setAttribute("tabindex", "-1");
        cells[to].setAttribute("tabindex", "0");
        cells[to].focus();
      });
      cell.addEventListener("click", (event) => enter(Number(cell.dataset.block), event));
    });
  }

  return { choose, walkable, chosen: () => chosen, retold: () => { if (chosen >= 0) line.textContent = told(chosen) ?? ""; } };
}
