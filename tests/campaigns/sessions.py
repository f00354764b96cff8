"""Many people at once, and many tabs: `python -m tests.campaigns.sessions [--sessions 50]`.

50 sessions ask 6 experiments each, all at once, and each answer is held against that of `core`
itself; then 300 tabs with a map each are opened, held and closed, and what the server still holds
is told after a minute.
"""

import argparse
import json
import random
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from core import catalogue, models
from core.presets import PRESETS
from tests import builders
from tests.benchmarks.soak import resident, status
from tests.browser.driver import Server
from tests.pages.conftest import values
from tests.tab import Tab

ASKED = [
    replace(PRESETS[number].experiment("teaching"), direction=direction)
    for number in range(5)
    for direction in ("denoise", "noise")
]
EACH = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--tabs", type=int, default=300)
    options = parser.parse_args()
    model = models.load(catalogue.TEACHING)
    right = [builders.finished(asked, model).read(asked).values for asked in ASKED]
    with tempfile.TemporaryDirectory() as home:
        server = Server(Path.cwd(), Path(home), PATCHBOARD_STATUS="1")
        try:
            server.wait_until_up()
            Tab(server.url).close()
            began = time.monotonic()
            with ThreadPoolExecutor(options.sessions) as people:
                found = list(people.map(lambda n: ask(server, n, right), range(options.sessions)))
            print(
                f"{options.sessions} sessions at once: {sum(found)} of"
                f" {options.sessions * EACH} answers right, {time.monotonic() - began:.0f} s"
            )
            before = resident(server)
            with ExitStack() as tabs:
                for number in range(options.tabs):
                    tabs.enter_context(Tab(server.url, **ASKED[number % len(ASKED)].to_query()))
                held = resident(server)
                print(
                    f"{options.tabs} tabs open: {before / 1e6:.0f} MB, then {held / 1e6:.0f},"
                    f" {status(server)}"
                )
            time.sleep(60)
            print(f"a minute after: {resident(server) / 1e6:.0f} MB, {status(server)}")
        finally:
            server.stop()


def ask(server: Server, number: int, right: list[np.ndarray]) -> int:
    """How many answers of a session are right."""
    chance, good = random.Random(number), 0
    for which in (chance.randrange(len(ASKED)) for _ in range(EACH)):
        with Tab(server.url, **ASKED[which].to_query()) as tab:
            figures = [json.loads(text) for text in tab.strings if text.startswith('{"data":')]
            maps = [figure for figure in figures if figure["data"][0]["type"] == "heatmap"]
            # The last: one that was not whole may have been there before it.
            is_right = bool(maps) and np.allclose(values(maps[-1]), right[which], atol=1e-4)
            if not is_right:
                said = [text for text in tab.strings if text.startswith(("This takes", "Stopped"))]
                print(f"not right: {len(maps)} maps, {said}, {tab.exceptions}", flush=True)
            good += is_right
    return good


if __name__ == "__main__":
    main()
