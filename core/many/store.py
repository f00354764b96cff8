"""What is done of each pair, kept in a folder, so that work that was broken off goes on.

A line is found again by all that its numbers depend on; one that was written in part is none.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.errors import UserError
from core.many.fitting import Fitted
from core.many.values import Screened, Swept, Values
from core.question.experiment import Experiment
from core.question.tokens import Token
from core.result import ModelCard

VALUES = "values.jsonl"  # a line for each pair that is done


class Store:
    """The values of pairs in a folder, which is made if it is not there."""

    def __init__(self, folder: Path):
        self._path = folder / VALUES
        self._found: dict[str, tuple[Screened, Values]] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                try:
                    digest, *said = json.loads(line)
                    self._found[digest] = _from_lists(*said)
                except (ValueError, TypeError, KeyError):
                    continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise UserError(f"{folder} cannot be written to: {error.strerror}.", "out") from error
        if self._file.tell() and not self._path.read_bytes().endswith(b"\n"):
            self._file.write("\n")

    def find(self, pair: Fitted, digest: str) -> Swept | None:
        found = self._found.get(digest)
        return found and Swept(pair, *found)

    def add(self, digest: str, swept: Swept) -> None:
        self._file.write(json.dumps([digest, *_to_lists(swept)], ensure_ascii=False) + "\n")
        self._file.flush()


def digest(pair: Fitted, model: ModelCard, asked: Experiment, metrics: Sequence[str]) -> str:
    """What stands for all that the values of a pair depend on."""
    weights = model.fingerprint, model.dtype
    question = asked.site, asked.direction, asked.window, asked.embedding, sorted(metrics)
    tokens = pair.clean, pair.corrupted, pair.target, pair.foil, pair.columns
    whole = json.dumps([weights, question, tokens])
    return hashlib.sha256(whole.encode()).hexdigest()[:32]


def _to_lists(swept: Swept) -> tuple[dict, dict]:
    grids = {metric: grid.tolist() for metric, grid in swept.values.grids.items()}
    return swept.screened._asdict() | {
        name: [token.id, token.text.encode("utf-8", "backslashreplace").decode()]
        for name, token in swept.screened._asdict().items()
        if isinstance(token, Token)
    }, {"baselines": swept.values.baselines, "grids": grids}


def _from_lists(screened: dict, values: dict) -> tuple[Screened, Values]:
    tokens = {name: Token(*value) for name, value in screened.items() if isinstance(value, list)}
    return Screened(**screened | tokens), Values(
        {metric: tuple(ends) for metric, ends in values["baselines"].items()},
        {metric: np.array(grid, dtype=np.float32) for metric, grid in values["grids"].items()},
    )
