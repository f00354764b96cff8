"""Thirty people on one worksheet at once: `python -m tests.campaigns.class [--people 30]`.

Each opens the worksheet by its link, goes through its tasks, and hands in: every number that comes
to them is held against that of `core` itself. Told is how long that took, and how many sweeps the
server computed for all of them.
"""

import argparse
import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.guess import Guess
from core.worksheets.bundled import BUNDLED
from core.worksheets.computing import answer_to
from core.worksheets.handed_in import SEEN, Said
from core.worksheets.worksheet import packed
from tests.browser.driver import Server
from tests.pages.conftest import values
from tests.tab import Tab

NAME = "first-steps"
SHEET = BUNDLED[NAME]
# Python runs it before anything else, so that the server itself counts.
COUNTING = """
import sys
sys.path.insert(0, {root!r})
from core.engine.sweep import Sweep
sweep = Sweep.__iter__
def counted(self):
    with open({log!r}, "a") as log:
        log.write("x")
    yield from sweep(self)
Sweep.__iter__ = counted
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=30)
    people = parser.parse_args().people
    right = [task.experiment and answer_to(task.experiment).values for task in SHEET.tasks]
    distinct = len({experiment.sweep for experiment in SHEET.experiments})
    with tempfile.TemporaryDirectory() as home:
        log = Path(home) / "sweeps"
        log.touch()
        counting = COUNTING.format(root=str(Path.cwd()), log=str(log))
        (Path(home) / "sitecustomize.py").write_text(counting)
        server = Server(Path.cwd(), Path(home), PYTHONPATH=home)
        try:
            server.wait_until_up()
            Tab(server.url, "/worksheet").close()  # the first visit of all
            log.write_text("")
            began = time.monotonic()
            with ThreadPoolExecutor(people) as pool:
                took = list(pool.map(lambda _: work_through(server.url, right), range(people)))
            wrong = sum(bad for bad, _ in took)
            maps = people * sum(values is not None for values in right)
            print(f"{people} people at once: {maps - wrong} of {maps} maps right")
            waits = [seconds for _, each in took for seconds in each]
            print(
                f"all done after {time.monotonic() - began:.0f} s; a step took"
                f" {np.median(waits):.1f} s (median), {max(waits):.1f} s at the most"
            )
            print(f"{len(log.read_text())} sweeps computed; {distinct} distinct ones were asked")
        finally:
            server.stop()


def work_through(url: str, right: list[np.ndarray | None]) -> tuple[int, list[float]]:
    """How many maps were not those of `core`, and how long each step took."""
    said = [Said() for _ in SHEET.tasks]
    for number, task in enumerate(SHEET.tasks):
        if task.kind == "predict":  # else its map stays hidden
            blank = Guess.blank(right[number].shape).written()
            said[number] = replace(said[number], words="So.", guess=blank, choice=SEEN)
    answers = packed(json.dumps([of.to_dict() for of in said]))
    bad, took, since = 0, [], time.monotonic()
    with Tab(url, "/worksheet", sheet=NAME, answers=answers) as tab:
        for number, expected in enumerate(right):
            if number:
                tab.press(f"task_{number}")
            took.append(time.monotonic() - since)
            since = time.monotonic()
            figures = [json.loads(text) for text in tab.strings if text.startswith('{"data":')]
            maps = [figure for figure in figures if figure["data"][0]["type"] == "heatmap"]
            if expected is not None:
                good = len(maps) == 1 and np.allclose(values(maps[0]), expected, atol=1e-4)
                bad += not good
    return bad, took


if __name__ == "__main__":
    main()
