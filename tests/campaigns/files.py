"""Hostile folders and faulted downloads by the thousand, with counts of what became of them.

    python -m tests.campaigns.files --folders 2000 --downloads 650 --seed 0

Nothing but "refused", "loaded", "the file" and "given up" may be counted; where something else is,
the first of its kind is shown and the status is 1. A download that is given up though its trouble
passes is counted as "given up too soon".
"""

import argparse
import hashlib
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from core import catalogue, models
from mingpt import download
from mingpt.download import File
from tests import builders, hostile
from tests.stand_in_hub import StandInHub

CONTENT = random.Random(0).randbytes(100_000)
REPO, NAME = "some-one/tiny", "model.safetensors"
GOOD = {"refused", "loaded", "the file", "given up"}


def folders(number: int, begin: int, place: Path) -> Counter:
    """What became of folders with faults."""
    of_good = builders.write_model_folder(place / "sound")
    sound = models.load(catalogue.find(str(of_good)))

    def one(draw) -> str:
        folder = place / "hostile"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(of_good, folder)
        must = hostile.spoil(draw, folder)
        return hostile.outcome(folder, sound, must)

    return _counted(one, number, begin)


def downloads(number: int, begin: int, place: Path) -> Counter:
    """What became of downloads from a hub with faults, on this machine."""
    download.sleep = lambda seconds: None
    pinned = File(NAME, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    version = f'"{hashlib.sha256(b"xet" + CONTENT).hexdigest()}"'
    with StandInHub({REPO: {NAME: CONTENT}}) as hub:

        def one(draw) -> str:
            folder = place / "downloaded"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            hub.forget_plans()
            answers, passes = hostile.answers(draw, CONTENT)
            hub.plan(NAME, *answers)
            if draw(st.booleans()):
                hostile.leave_a_part(draw, folder, NAME, CONTENT, version)
            file = draw(st.sampled_from([pinned, File(NAME, 1)]))
            url = f"{hub.url}/{REPO}/resolve/main/{NAME}"
            said = hostile.downloaded(url, folder, file, CONTENT)
            return "given up too soon" if said == "given up" and passes else said

        return _counted(one, number, begin)


def _counted(one: Callable[[Callable], str], number: int, begin: int) -> Counter:
    found: Counter = Counter()

    @seed(begin)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def run(data) -> None:
        said = one(data.draw)
        if said not in GOOD and said not in found:
            print(f"--- {said}", file=sys.stderr)
        found[said] += 1

    run()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folders", type=int, default=2000)
    parser.add_argument("--downloads", type=int, default=650)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            del os.environ[name]
    bad = 0
    with tempfile.TemporaryDirectory() as place:
        for kind, work in (("folders", folders), ("downloads", downloads)):
            began = time.monotonic()
            found = work(getattr(options, kind), options.seed, Path(place))
            tracebacks = sum(n for said, n in found.items() if said.startswith("Traceback"))
            bad += sum(n for said, n in found.items() if said not in GOOD)
            counts = ", ".join(f"{said} {n}" for said, n in found.most_common() if said in GOOD)
            print(
                f"{found.total():,} {kind} in {time.monotonic() - began:.0f} s: {counts};"
                f" tracebacks {tracebacks}, hangs over {hostile.LONGEST:.0f} s {found['hang']},"
                f" wrongly accepted {found['wrongly accepted']},"
                f" given up too soon {found['given up too soon']}"
            )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
