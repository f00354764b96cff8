"""How long a person waits, in a real browser: `python -m tests.benchmarks.browser`.

It measures and prints; it asserts nothing. Run it on a machine that has nothing else to do.
"""

import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from core.question.metrics import METRICS
from core.teaching.words import SURNAMES
from tests.browser.driver import CHROMIUM, DEFAULT, MAP, Server, Visit

ROOT = Path(__file__).parents[2]
COLD_STARTS = 3
OPENS = 5
EDITS = 12

# Seconds from the next Enter to the first frame with other numbers on the map.
TIMED = f"""() => {{
  const rows = () => Array.from(({MAP})()?._fullData[0].z ?? [], row => [...row]);
  const numbers = () => JSON.stringify(rows());
  const before = numbers();
  let start;
  document.addEventListener('keydown', event => {{
    if (event.key === 'Enter') start ??= performance.now();
  }}, {{capture: true}});
  window.seconds = new Promise(resolve => {{
    const look = () => {{
      if (start && ![before, '[]'].includes(numbers())) resolve((performance.now() - start) / 1000);
      else requestAnimationFrame(look);
    }};
    look();
  }});
}}"""
FINISHED = f"""() => {{
  const z = ({MAP})()?._fullData[0].z;
  return z && Array.from(z).every(row => Array.from(row).every(Number.isFinite))
    && document.querySelector('[data-test-script-state="notRunning"]');
}}"""


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        cold = []
        for _ in range(COLD_STARTS):
            with running() as server:
                cold.append(opening(server, browser))
        with running() as server:
            _, *new = [opening(server, browser) for _ in range(1 + OPENS)]
            context = browser.new_context()
            _, *known = [opening(server, browser, context) for _ in range(1 + OPENS)]
            edits, metrics = edited(server, browser)
    print(f"{os.cpu_count()} cores, Chromium {browser.version}; seconds")
    print(f"{'':44}  median   worst  target")
    for what, seconds, target in (
        ("server up -> map, cold start", cold, 6.0),
        ("open -> map, a browser new to the app", new, 3.0),
        ("open -> map, a browser that knows the app", known, 3.0),
        ("edit of a text -> new map", edits, 0.3),
        ("another metric -> new map", metrics, 0.3),
    ):
        name = f"{what} ({len(seconds)} times)"
        print(f"{name:54}{statistics.median(seconds):6.2f}  {max(seconds):6.2f}  {target:6.1f}")


@contextmanager
def running() -> Iterator[Server]:
    """A server that has just come up."""
    with tempfile.TemporaryDirectory() as home:
        server = Server(ROOT, Path(home), PATCHBOARD_THREADS="")
        try:
            server.wait_until_up()
            yield server
        finally:
            server.stop()


def opening(server: Server, browser: Browser, context=None) -> float:
    """Seconds from asking for the address to a finished map."""
    page = (context or browser.new_context()).new_page()
    page.goto(server.url, wait_until="commit")
    page.wait_for_function(FINISHED)
    seconds = page.evaluate("performance.now()") / 1000
    (page if context else page.context).close()
    return seconds


def edited(server: Server, browser: Browser) -> tuple[list[float], list[float]]:
    """Seconds from an edit to its map: of surnames in the corrupted text, and of metrics."""
    visit = Visit(server, browser.new_page()).open()
    page = visit.page
    page.wait_for_function(FINISHED)

    def seconds_of(role: str, name: str, text: str, key: str) -> float:
        field = page.get_by_role(role, name=name)
        field.fill(text)
        page.evaluate(TIMED)
        field.press(key)
        seconds = page.evaluate("window.seconds")
        visit.settle()
        return seconds

    surnames = [name for name in SURNAMES if name not in ("Jones", "Smith")][:EDITS]
    texts = [DEFAULT.corrupted.replace("Smith", surname) for surname in surnames]
    titles = [metric.title for name, metric in METRICS.items() if name != DEFAULT.metric]
    edits = [seconds_of("textbox", "Corrupted text", text, "Control+Enter") for text in texts]
    metrics = [seconds_of("combobox", "Metric", t, "Enter") for t in (titles * EDITS)[:EDITS]]
    return edits, metrics


if __name__ == "__main__":
    main()
