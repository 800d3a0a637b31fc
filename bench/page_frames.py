"""What a frame of the page costs, where its time goes, when the first one comes, and how many bytes are sent for it.

    python3 bench/page_frames.py [seconds]

In Chromium without a window, in which the processor draws everything. Per net: frames and steps a second as they came;
milliseconds of processor time a frame, by thread and of the page's largest tasks: they vary less on a busy machine; and
milliseconds a frame of the Worker's parts and of each view, by the clock.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tinyres.play.export import export
from tinyres.play.server import Server

NETS = {
    "16 x 32, as it opens": "#",
    "32 x 64, batch 64": "#blocks=32&units=64",
    "32 x 64, batch 64, a screen that shows all views": "#blocks=32&units=64",
    "128 x 32, batch 64": "#blocks=128",
}
SCREEN, TALL = {"width": 1280, "height": 900}, {"width": 1280, "height": 3000}
THREADS = {"DedicatedWorker thread": "worker", "CrRendererMain": "page", "Compositor": "compositor"}
TASKS = ("FunctionCall", "FireAnimationFrame", "UpdateLayoutTree", "Layout", "Paint", "V8.GC_MINOR")
WHOLE = "ThreadControllerImpl::RunTask"
TIMED = """
tinyres.timed = {};
tinyres.spent = {};
const add = (to, name, value) => { to[name] = (to[name] ?? 0) + value; };
tinyres.seen = (frame) => { for (const [name, value] of Object.entries(frame.spent)) add(tinyres.spent, name, value); };
for (const [name, view] of Object.entries(tinyres.views)) {
  for (const part of ["take", "show", "frame"]) {
    if (typeof view?.[part] !== "function") continue;
    const timed = view[part].bind(view);
    view[part] = (...given) => {
      const began = performance.now();
      timed(...given);
      add(tinyres.timed, name, performance.now() - began);
    };
  }
}
"""


def opened(browser: Any, url: str, hash_: str, screen: Any) -> tuple[Any, float]:
    """A page at its first frame, and after how many seconds that came."""
    page = browser.new_context(viewport=screen).new_page()
    begun = time.perf_counter()
    page.goto(f"{url}{hash_}", wait_until="commit")
    while not page.evaluate("window.tinyres?.frames > 0"):
        time.sleep(0.005)
    return page, time.perf_counter() - begun


def frames(browser: Any, page: Any, seconds: float, trace: Path) -> dict[str, float]:
    """Frames and steps a second, and milliseconds a frame of each part."""
    page.wait_for_timeout(1500)
    page.evaluate(TIMED)
    counted = "[tinyres.frames, tinyres.frame.step]"
    browser.start_tracing(page=page, categories=["toplevel", "devtools.timeline", "v8"], path=str(trace))
    first, begun = page.evaluate(counted), time.perf_counter()
    page.wait_for_timeout(1000 * seconds)
    last, gone = page.evaluate(counted), time.perf_counter() - begun
    browser.stop_tracing()
    count = max(1, last[0] - first[0])
    table = {"frames/s": count / gone, "steps/s": (last[1] - first[1]) / gone}
    table.update({f"processor: {k}": v / count for k, v in processor_times(trace).items()})
    table.update({f"clock, in the Worker: {k}": v / count for k, v in page.evaluate("tinyres.spent").items()})
    table.update({f"clock, in the page: {k}": v / count for k, v in page.evaluate("tinyres.timed").items()})
    return table


def processor_times(trace: Path) -> dict[str, float]:
    """Milliseconds of processor time by thread, and of the page's own by kind of task."""
    events = json.loads(trace.read_text())["traceEvents"]
    threads = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e.get("name") == "thread_name"}
    times: Counter[str] = Counter()
    for event in events:
        thread, used = threads.get((event["pid"], event["tid"]), ""), event.get("tdur", 0) / 1000
        if thread in THREADS and event["name"] == WHOLE:
            times[THREADS[thread]] += used
        elif thread.startswith("ThreadPool") and event["name"] == "ThreadPool_RunTask":
            times["rasters and compilers"] += used
        elif thread == "CrRendererMain" and event["name"] in TASKS:
            times[f"page, {event['name']}"] += used
    return dict(sorted(times.items()))


def sizes() -> None:
    """gzip of the files of an exported site: what the opening takes, and the whole tour."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(path) for path in export(folder)]
        zipped = {str(p.relative_to(folder)): len(gzip.compress(p.read_bytes(), 9)) for p in paths}
    own = sum(size for name, size in zipped.items() if name.endswith((".mjs", ".css", ".html")))
    for name, size in [*sorted(zipped.items(), key=lambda item: -item[1])[:14], ("scripts and styles of our own", own)]:
        print(f"  {size / 1000:7.1f} kB gzip  {name}")
    print(f"  {sum(zipped.values()) / 1000:7.1f} kB gzip  all files of the site, every net of the tour")


def main(seconds: float = 5.0) -> None:
    with sync_playwright() as driver, Server(0) as server, tempfile.TemporaryDirectory() as folder:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = driver.chromium.launch(executable_path=shutil.which("chromium") or "chromium")
        for name, hash_ in NETS.items():
            came = []
            screen = TALL if "all views" in name else SCREEN
            for _ in range(3):  # the server keeps what it has recorded
                page, after = opened(browser, server.url, hash_, screen)
                came.append(after)
                if len(came) < 3:
                    page.context.close()
            print(f"{name}: first frame after {came[0]:.2f} s, with the net recorded {min(came[1:]):.2f} s")
            for part, value in frames(browser, page, seconds, Path(folder, "trace.json")).items():
                print(f"  {value:8.2f}  {part}")
            page.context.close()
        browser.close()
        server.shutdown()
    sizes()


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
