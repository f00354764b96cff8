"""How the files of results are written, whatever they are of: what CSV and JSON have in common.

CSV files are for spreadsheets: they begin with a byte order mark, tokens stand in them as JSON
strings (`" Jones"`, so that a space is seen and nothing is taken for a formula) beside their ids,
and numbers have as many digits as it takes to read them back exactly. Names that somebody gave,
which may begin as a formula does, then have a space before them. JSON says first what was asked.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from core.question.experiment import CONTENDERS, SIDES, Experiment
from core.question.metrics import METRICS
from core.question.tokens import Token
from core.result import Answered, ModelCard, OfOnePair
from core.views.words import summary, wording

BYTE_ORDER_MARK = "\ufeff"
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # as a cell begins that spreadsheets may run

# --- CSV ------------------------------------------------------------------------------------------


def csv_of(lines: Iterable[Sequence]) -> str:
    """Lines of cells as a CSV file."""
    file = io.StringIO(newline="")
    csv.writer(file).writerows(lines)
    return BYTE_ORDER_MARK + file.getvalue()


def named(text: str) -> str:
    """A name as the cell of a table that no spreadsheet takes for a formula."""
    return f" {text}" if text.startswith(FORMULAS) else text


def exactly(text: str) -> str:
    """A text as a cell: a JSON string."""
    return json.dumps(text, ensure_ascii=False)


def cells_of(token: Token) -> tuple[int, str]:
    return token.id, exactly(token.text)


def numbers(values: Iterable[float]) -> list[float | str]:
    """Numbers as cells; one that there is not, NaN, is blank."""
    return ["" if value != value else value for value in values]


def what_of(shown: Answered) -> dict[str, str | int]:
    """Which question a line is of, but for the texts."""
    experiment = shown.experiment
    asked = {
        "patched": summary(shown),
        "site": experiment.site,
        "direction": experiment.direction,
        "window": experiment.window,
        "model": named(shown.model.name),
    }
    if isinstance(shown, OfOnePair):
        asked |= {of: exactly(getattr(shown, of).text) for of in CONTENDERS}
    return asked


# --- JSON -----------------------------------------------------------------------------------------


def json_of(says: dict) -> str:
    """As a JSON file. Raises ValueError for NaN, which JSON has not."""
    return json.dumps(says, ensure_ascii=False, allow_nan=False, indent=1)


def asked_of(
    experiment: Experiment, model: ModelCard, tokens: Mapping[str, Sequence[Token]]
) -> dict:
    """What a file begins with: the question, who answers it, and the texts by run."""
    return {
        "experiment": experiment.to_dict(),
        "model": asdict(model),
        "tokens": {side: [asdict(token) for token in read] for side, read in tokens.items()},
    }


def asked_of_pair(of: OfOnePair) -> dict:
    """The same of a result of one pair."""
    return asked_of(of.experiment, of.model, {side: getattr(of, side) for side in SIDES})


def contending(target: Token, foil: Token) -> dict:
    """The two tokens that compete to come next."""
    return {name: asdict(token) for name, token in zip(CONTENDERS, (target, foil), strict=True)}


def in_words(of: Answered) -> dict[str, str]:
    """What was patched, the metric, and how to read it."""
    return {
        "patched": summary(of),
        "metric": wording(of),
        "reading": METRICS[of.experiment.metric].says,
    }
