"""How far maps of the small checkpoints are from those of the exact ones.

    python -m core.teaching.train --out MADE --exact EXACT
    python -m tests.benchmarks.checkpoints EXACT

prints, of every checkpoint in EXACT, the largest error of any cell's recovery over all examples
whose two runs differ by a logit or more: of a cell that is larger than 1, as a share of it.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from core import catalogue, models
from core.checks import handover
from core.teaching import history
from core.teaching.history import Checkpoint


def errors(folder: Path) -> list[float]:
    """Of an exact checkpoint, one for each example that can be measured."""
    exact = models.load(catalogue.find(str(folder)), device="cpu")
    with tempfile.TemporaryDirectory() as out:
        exact.gpt.save_pretrained(out)
        for step in (1, 2):  # the last is taken for the model itself
            history.save(exact.gpt, Checkpoint(0, step).path(Path(out)))
        kept = history.load(Checkpoint(0, 1), Path(out)).requires_grad_(False)
    maps = dict(handover.examples(exact))
    found = []
    for preset, other in handover.examples(replace(exact, gpt=kept)):
        cells, ends = maps[preset].grids.get("recovery"), maps[preset].baselines["logit_diff"]
        if cells is not None and abs(ends.clean - ends.corrupted) >= 1:
            off = np.abs(other.grids["recovery"] - cells) / np.maximum(1, np.abs(cells))
            found.append(off.max().item())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("exact", type=Path)
    folders = {Checkpoint.named(f.name): f for f in parser.parse_args().exact.glob("seed*-step*")}
    for checkpoint, folder in sorted(folders.items()):
        found = errors(folder)
        worst = f"{max(found):.3f} at most in {len(found)} maps" if found else "nothing to measure"
        print(f"{checkpoint.name}: {worst}", flush=True)


if __name__ == "__main__":
    main()
