"""The page over time: its memory while nets are changed again and again, and many pages at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browsing import Opened

pytestmark = pytest.mark.slow  # each takes up to a minute; CI runs them with the engine that it has built
REBUILDS, SETTLED = 50, 20


def memory_of(browser: Any, page: Any) -> float:
    """Megabytes of all renderers, after what is not needed any more was collected."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.detach()
    system = browser.new_browser_cdp_session()
    processes = system.send("SystemInfo.getProcessInfo")["processInfo"]
    system.detach()
    kilobytes = 0
    for process in processes:
        if process["type"] == "renderer":
            status = Path(f"/proc/{process['id']}/status").read_text()
            kilobytes += int(status.partition("VmRSS:")[2].split()[0])
    return kilobytes / 1000


def test_memory_does_not_grow_with_rebuilds(browser: Any, opened: Opened) -> None:
    """Fifty nets, one after the other, each trained for some steps: what the first twenty took is enough for all."""
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc, which this system does not have")
    opened.patience = 60.0
    opened.go("#blocks=8&units=16&batch=16", stopped=False)
    taken: list[float] = []
    for i in range(REBUILDS):
        depth, activation = 8 + i % 2, ("relu", "tanh")[i // 2 % 2]
        opened.told(f"location.hash = '#blocks={depth}&units=16&batch=16&activation={activation}'")
        opened.until(f"tinyres.opened?.blocks === {depth} && tinyres.opened.activation === '{activation}'")
        opened.until("tinyres.frame?.step > 5")
        taken.append(memory_of(browser, opened.page))
    print("megabytes:", *(f"{m:.0f}" for m in taken))
    assert min(taken[-5:]) < 1.1 * max(taken[SETTLED - 5 : SETTLED])


def test_twenty_pages_at_once(browser: Any, server: Any) -> None:
    context = browser.new_context()
    pages = [Opened(context.new_page(), server.url) for _ in range(20)]
    for page in pages:
        page.patience = 120.0
        page.page.goto(f"{server.url}#blocks=4&units=8&batch=16")
    for page in pages:
        page.page.bring_to_front()  # a page behind another one trains, and is drawn when it is looked at
        page.until("tinyres.frame?.step > 3")
        page.pause()
    context.close()
    assert [page.wrong for page in pages] == [[]] * 20
