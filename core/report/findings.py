"""A finding: a result that somebody put into the report, and what they say about it.

A result is kept as the JSON file of the page that it is from, so that all that a report shows of
it, its figure, its caption, its tables and its data, is made from the numbers, anew each time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from uuid import uuid4

from core.errors import UserError
from core.guess import Guess
from core.question.experiment import SIDES
from core.question.metrics import METRICS
from core.question.sites import SITES
from core.question.tokens import Token
from core.result import Map, PathMap, Ranked, Result
from core.views import colour_bar, guesses, opening
from core.views.opening import Opened
from core.views.saved import Lenses, StoredAnswer
from core.views.words import (
    number,
    probability,
    quoted,
    sender,
)

_SENDERS = 10
_MOST_ROWS = 60
# What maps are called that a page shows side by side, by their names.
_TITLES = {
    ("resid_post", "attn_out", "mlp_out", "head_z"): (
        "The parts of each layer: residual stream, attention, MLP and heads"
    ),
    ("denoise", "noise"): "Sufficient and necessary: denoising and noising",
}


@dataclass(frozen=True)
class Finding:
    """`content` is a JSON file of ours; `view` is one of `colour_bar.VIEWS`."""

    id: str
    title: str
    content: str
    words: str = ""
    view: str = "effect"

    @property
    def opened(self) -> Opened:
        return _opened(self.content)

    @property
    def maps(self) -> dict[str, Map]:
        """What of it is drawn as maps, each of two axes, by what tells it from the others."""
        return {name: _flat(of) for name, of in self.opened.maps.items()}

    @property
    def guesses(self) -> dict[str, tuple[Guess, str]]:
        """What somebody expected of its maps before they saw them, and why, by the same names.
        Raises UserError for a guess of another map."""
        data = self.opened.data
        said = {name: of.get("guess") for name, of in data.get("maps", {"": data}).items()}
        return {
            name: guesses.told(said[name], shown)
            for name, shown in self.maps.items()
            if said.get(name)
        }


@dataclass(frozen=True)
class Table:
    """Cells as texts; those of `token_columns` are tokens in quotation marks."""

    title: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]
    token_columns: tuple[int, ...] = ()


def finding(content: str, view: str = "effect") -> Finding:
    """What a page shows, given as its JSON, with a title to begin with. Raises UserError for a file
    that shows nothing."""
    opened = _opened(content)
    if opened.kind in ("report", "history", "picture"):
        raise UserError("This is nothing that a report could show.")
    view = view if view in colour_bar.VIEWS and isinstance(opened.found, Result) else "effect"
    made = Finding(uuid4().hex, title_of(opened), content, view=view)
    _ = made.guesses  # raises UserError for one of another map
    return made


@lru_cache(maxsize=128)
def _opened(content: str) -> Opened:
    return opening.read(content.encode("utf-8"), "a finding")


def _flat(shown: Map) -> Map:
    """Of heads by position, the map of the last one."""
    return shown.at(-1) if len(shown.axes) == 3 else shown


def title_of(opened: Opened) -> str:
    """What a finding is called to begin with."""
    data = opened.data
    match opened.found:
        case PathMap() as paths:
            return f"What reaches {paths.receiver} directly"
        case StoredAnswer() as answer:
            return f"{SITES[answer.experiment.site].title} over {answer.summary.n:,} pairs"
        case Result() as result:
            return f"{SITES[result.experiment.site].title}, {result.experiment.direction}"
        case Lenses():
            return "What the model was going to say, layer by layer"
    if opened.kind == "maps":
        return _TITLES.get((*opened.found,)) or " beside ".join(opened.found)[:120].capitalize()
    if opened.kind == "set":
        return f"The set {' '.join(map(str, data['components']))}"[:120]
    return "What was found"


def cell(of: Finding) -> tuple[int, int] | None:
    """The row and the column of the cell that was chosen on the map of a finding."""
    run = of.opened.data.get("patched_run")
    if not run or not isinstance(of.opened.found, Result):
        return None
    shown, place = _flat(of.opened.found), run.get("cell") or {}
    row, column = str(place.get("layer")), place.get(shown.axes[1])
    inside = isinstance(column, int) and 0 <= column < shown.values.shape[1]
    return (shown.rows.index(row), column) if inside and row in shown.rows else None


# --- tables ---------------------------------------------------------------------------------------

# In the assignment a token's rank is its position, which is elsewhere a place in a text.
_TOP_HEADS = ("position (rank)", "token index", "token", "probability")


def tables(of: Finding) -> list[Table]:
    """The tables of a finding: of every plain run that it is of, and of the patched run of the cell
    that was chosen, the 20 likeliest next tokens, as in the assignment; of others their numbers."""
    found, data = of.opened.found, of.opened.data
    if isinstance(found, PathMap):
        return [_senders(found)]
    if isinstance(found, Lenses):
        return [_lens(found, run) for run in SIDES]
    if isinstance(found, StoredAnswer):
        return []
    results = [shown for shown in of.opened.maps.values() if isinstance(shown, Result)]
    if results:
        tops = {f"{run.title()} run": results[0].top[run] for run in SIDES}
        made = [_top(title, rows) for title, rows in tops.items()]
        if run := data.get("patched_run"):
            rows = [
                Ranked(row["rank"], Token(row["id"], row["token"]), row["logit"], row["prob"])
                for row in run["top"]
            ]
            made.append(_top(f"Patched run: {run['in_words']} replaced", rows))
        return made
    return [_set(data) if of.opened.kind == "set" else _numbers(data)]


def _top(title: str, rows: Iterable[Ranked]) -> Table:
    lines = [
        (f"{row.rank:,}", str(row.token.id), quoted(row.token), probability(row.prob))
        for row in rows
    ]
    return Table(f"{title}: the likeliest next tokens", _TOP_HEADS, lines[:20], (2,))


def _senders(paths: PathMap) -> Table:
    metric = paths.experiment.metric
    base = paths.plain(metric)
    values = {"embedding": paths.embedding[metric]}
    for row in range(len(paths.rows)):
        for column, value in enumerate(paths.values[row]):
            values[sender(paths, row, column)] = float(value)
    known = {name: value for name, value in values.items() if value == value}
    first = sorted(known, key=lambda name: -abs(known[name] - base))[:_SENDERS]
    lines = [(name, number(metric, known[name]), f"{known[name] - base:+.4f}") for name in first]
    return Table(
        f"The senders that do most along their direct path into {paths.receiver}",
        ("sender", METRICS[metric].title.lower(), "change"),
        lines,
    )


def _lens(found: Lenses, run: str) -> Table:
    lens, lines = found.lenses[run], []
    for i, row in enumerate(found.rows):
        top = quoted(lens.tops[i][-1]), probability(float(lens.top_probs[i, -1]))
        lines.append((row, *top, *(f"{value:z.4f}" for value in lens.logits[i])))
    title = f"{run.title()} run: the likeliest next token after each layer, and two logits"
    return Table(title, ("after", "token", "probability", "target", "foil"), lines, (1,))


def _set(data: dict) -> Table:
    """What is asked of a set, each its number and its share of the way to the other run."""
    shares, lines = data.get("shares") or {}, []
    metric = opening.saved.experiment(data).metric
    for name in ("sufficient", "necessary", "complement", "joint"):
        of = data.get(name)
        value, share = (of.get("value"), of.get("share")) if isinstance(of, dict) else (of, None)
        share = shares.get(name, share)
        if isinstance(value, (int, float)):
            share = f"{share:.0%}" if isinstance(share, (int, float)) else ""
            lines.append((name, number(metric, value), share))
    title = f"The set {' '.join(map(str, data['components']))}"
    return Table(title, ("asked", METRICS[metric].title.lower(), "share of the way"), lines)


def _numbers(data: dict) -> Table:
    rows = opening.measured(data)[:_MOST_ROWS]
    return Table("Numbers", ("what", "number"), [(at, f"{value:.6g}") for at, value in rows])
