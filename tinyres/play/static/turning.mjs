// Turns λ of one block: its cell of the ribbon is dragged up or down. Fingers scroll instead; for them, and for keys, there are
// the sliders of the ledger.

const PER_PIXEL = 0.01, MOST = 1.2, STILL = 4, RHYTHM = 50; // STILL: pixels that are no drag yet; RHYTHM: milliseconds between two values

// now(block): its λ, or null where there is none; turn(block, value): sets it.
export function turnable(cells, now, turn) {
  for (const cell of cells) {
    const block = Number(cell.dataset.block);
    cell.addEventListener("pointerdown", (down) => {
      const from = now(block);
      if (down.button || down.pointerType === "touch" || from === null) return;
      let dragged = false, value = from, told = 0;
      const move = (event) => {
        const up = down.clientY - event.clientY;
        if (!dragged && Math.abs(up) < STILL) return;
        dragged = true;
        value = Math.round(100 * Math.max(0, Math.min(MOST, from + PER_PIXEL * up))) / 100;
        if (performance.now() > told + RHYTHM) { told = performance.now(); turn(block, value); }
      };
      const end = () => {
        removeEventListener("pointermove", move);
        if (!dragged) return;
        turn(block, value);
        addEventListener("click", (event) => event.stopPropagation(), { capture: true, once: true }); // a drag is no click
        setTimeout(() => dispatchEvent(new MouseEvent("click")), 0); // where none came, the next one counts again
      };
      addEventListener("pointermove", move);
      addEventListener("pointerup", end, { once: true });
    });
    cell.addEventListener("dragstart", (event) => event.preventDefault());
  }
}
