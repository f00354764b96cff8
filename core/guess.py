"""A map as somebody expects it, said before they see it, and how that came out.

guess = Guess.blank(result.values.shape).painted((5, 3), (9, 3), TOWARDS)
found = score(guess, result)
print(f"{found.share:.0%} of the cells are right")
"""

import base64
import binascii
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from core.errors import UserError
from core.result import Map

# What a cell may be expected to do: move the metric towards the run that is put in, hardly at all,
# or away from it. An ablation puts in no run, and "towards" is up.
AWAY, NOTHING, TOWARDS = -1, 0, 1
# A cell moves if it goes this share of the way between the two plain runs or more; of an ablation,
# of as far as its strongest cell.
MOVES = 0.1
SURPRISES = 3
_TO_A_BYTE = 5  # cells: 3^5 is 243
_PLACES = 3 ** np.arange(_TO_A_BYTE)


@dataclass(frozen=True)
class Guess:
    """What is expected of every cell of a map: AWAY, NOTHING or TOWARDS, rows of columns."""

    cells: tuple[tuple[int, ...], ...]

    @classmethod
    def blank(cls, shape: tuple[int, int]) -> Self:
        return cls.of(np.zeros(shape, dtype=int))

    @classmethod
    def of(cls, cells: np.ndarray) -> Self:
        return cls(tuple(tuple(row) for row in cells.tolist()))

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.cells), len(self.cells[0])

    @property
    def is_blank(self) -> bool:
        return not np.any(self.cells)

    def painted(self, corner: tuple[int, int], other: tuple[int, int], expected: int) -> Self:
        """The same with all cells of a block expected to be otherwise, given by two of its corners,
        by row and column."""
        (top, bottom), (left, right) = map(sorted, zip(corner, other, strict=True))
        painted = np.array(self.cells)
        painted[top : bottom + 1, left : right + 1] = expected
        return self.of(painted)

    def written(self) -> str:
        """All cells in a word that an address can hold: five to a byte, in base 64."""
        digits = np.ravel(self.cells) + 1
        digits = np.pad(digits, (0, -len(digits) % _TO_A_BYTE), constant_values=1)
        packed = (digits.reshape(-1, _TO_A_BYTE) @ _PLACES).astype(np.uint8).tobytes()
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def read(cls, written: str, shape: tuple[int, int]) -> Self:
        """The inverse of `written`. Raises UserError for what is no guess of a map of this
        shape."""
        rows, columns = shape
        try:
            packed = base64.urlsafe_b64decode(written + "=" * (-len(written) % 4))
        except (ValueError, binascii.Error):
            packed = b""
        digits = np.frombuffer(packed, np.uint8)[:, None] // _PLACES % 3
        if -(-rows * columns // _TO_A_BYTE) != len(digits):
            raise UserError(
                f"The guess is not one of a map of {rows} rows and {columns} columns.", "guess"
            )
        return cls.of(digits.ravel()[: rows * columns].astype(int).reshape(shape) - 1)


class Surprise(NamedTuple):
    """A cell of which something else was expected."""

    row: int
    column: int
    expected: int
    share: float


class Score(NamedTuple):
    """How a guess came out."""

    share: float  # of the cells, that do what was expected of them
    of_nothing: float  # what that would be, had nothing been expected of any cell
    correlation: float | None  # of what was expected with what came; None where either is constant
    surprises: tuple[Surprise, ...]  # the largest, at most SURPRISES


def shares(result: Map) -> np.ndarray:
    """How far each cell of a map went towards the run that was put in, 1 being all the way; of an
    ablation, up, 1 being as far as its strongest cell. Zeros where there is no way to go."""
    change = result.values - result.plain(result.experiment.metric)
    if result.other:
        way = result.plain(result.experiment.metric, result.other) - result.plain(
            result.experiment.metric
        )
    else:
        way = np.abs(change).max()
    return change / way if way else np.zeros_like(change)


def came_out(result: Map) -> np.ndarray:
    """What each cell did: AWAY, NOTHING or TOWARDS."""
    went = shares(result)
    return np.where(np.abs(went) < MOVES, NOTHING, np.sign(went)).astype(int)


def score(guess: Guess, result: Map) -> Score:
    """How a guess of a map of two axes came out."""
    expected, found, went = np.array(guess.cells), came_out(result), shares(result)
    wrong = np.argwhere(expected != found)
    far = np.abs(went - expected)
    largest = sorted(wrong.tolist(), key=lambda cell: -far[tuple(cell)])[:SURPRISES]
    varies = expected.std() > 0 and went.std() > 0
    return Score(
        share=float((expected == found).mean()),
        of_nothing=float((found == NOTHING).mean()),
        correlation=float(np.corrcoef(expected.ravel(), went.ravel())[0, 1]) if varies else None,
        surprises=tuple(
            Surprise(row, column, int(expected[row, column]), float(went[row, column]))
            for row, column in largest
        ),
    )
