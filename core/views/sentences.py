"""What a lens, a map or a test of a model shows, in a sentence that is true of any numbers."""

from collections.abc import Callable
from itertools import groupby

import numpy as np

from core.question.metrics import MATTERS
from core.question.tokens import Token
from core.result import EMBEDDING, PathMap, Result, SmokeTest
from core.views.doubts import matters
from core.views.words import layer_name, number, replaced, sender, short, wording

DIRECT = (
    "A direct effect leaves out what goes through later components, which Components and Sets count"
    " in: so other heads, often earlier ones, may lead there."
)


def predicts(test: SmokeTest | None) -> str:
    """How well a model predicts a few plain sentences, beside what else does."""
    if test is None:
        return "Whether it predicts ordinary text is not known."
    loss = "no number" if test.loss is None else f"{test.loss:.2f} nats per token"
    beside = (
        f"who knows how frequent words are, and nothing else, needs about {test.of_frequencies:.1f}"
    )
    if test.of_its_size is not None:
        beside += f", GPT-2 of this size {test.of_its_size:.1f} (published, for long web texts)"
    if test.is_far_off:
        return (
            "This model does not predict ordinary text; is its config right? It needs"
            f" {loss} for a few plain sentences; {beside}."
        )
    return f"It predicts a few plain sentences at {loss}; {beside}."


def lens_says(rows: tuple[str, ...], likeliest: list[Token], asked: Token, last_rank: int) -> str:
    """When a run comes to expect a token, as what follows "it": `likeliest` is its likeliest next
    token after each of `rows`, `last_rank` the rank of `asked` after the last."""
    is_it, name = [token.id == asked.id for token in likeliest], short(asked.label)
    when = [f"after {_row(row)}" for row in rows]
    if not is_it[-1]:
        ends = f"and ends as {short(likeliest[-1].label)}, with {name} at rank {last_rank:,}"
        if not any(is_it):
            return f"never becomes {name}, {ends}"
        return f"is {name} for the last time {when[_last(is_it)]}, {ends}"
    since = _since(is_it)
    if since == 0:
        return f"is {name} at once, from {_row(rows[0])} on"
    if any(is_it[:since]):
        return f"is {name} on and off, and for good {when[since]}"
    stays = " and stays so" if since < len(rows) - 1 else ", the last"
    return f"becomes {name} {when[since]}{stays}"


def where_it_is(result: Result) -> str | None:
    """At which position the effect is, row by row, of a map by layer and position in which another
    run was put in; nothing of other maps, unfinished ones, and where the two runs hardly differ.

    The effect of a patch is (LD_patched - LD_base) / (LD_other - LD_base): 0 where the patch
    changed nothing, 1 where the run answers as the one that was put in.
    """
    whole = result.plain("logit_diff", result.other) - result.plain("logit_diff")
    if result.other is None or result.axes[1] != "position" or abs(whole) < MATTERS["logits"]:
        return None
    effect = (result.grids["logit_diff"] - result.plain("logit_diff")) / whole
    if not np.isfinite(effect).all():
        return None

    def name(position: int) -> str:
        return f"{short(result.clean[position].label)} (position {position})"

    return most_is(effect, result.rows, name)


def most_is(effect: np.ndarray, rows: tuple[str, ...], name: Callable[[int], str]) -> str:
    """At which column, of which `name` gives the name, more than half of an effect is, row by
    row."""
    strongest = [int(row.argmax()) if row.max() > 0.5 else None for row in effect]
    places, first = [], 0
    for column, run in groupby(strongest):
        last = first + len(list(run)) - 1
        if column is not None:
            places.append(f"at {name(column)} {_rows(rows, first, last)}")
        first = last + 1
    if not places:
        return "No single position brings half of the effect."
    return f"More than half of the effect is {', then '.join(places)}."


def came_about(last_layer: int | None, head: tuple[int, int]) -> str:
    """Where in a model a behaviour is: from which layer on the last position has the answer, and
    which head brings most of it there."""
    layer, number = head
    there = "" if last_layer is None else f"at the last position from layer {last_layer} on, "
    return f"{there}above all by head {number} of layer {layer}"


def learnt(name: str, shares: dict[int, float], since: int) -> str:
    """When a behaviour came, given the share of pairs that are right after each step."""
    steps = list(shares)
    before = steps[: steps.index(since)][-1:]
    was = "".join(f", after {shares[step]:.0%} at step {step:,}" for step in before)
    ends = "" if since == steps[-1] else f"; in the end {shares[steps[-1]]:.0%} are"
    return f"{name.capitalize()}: {shares[since]:.0%} of the pairs are right{was}{ends}."


def learnt_pairs(losses: dict[int, float], since: int, bigrams: float) -> str:
    """When a model knew at least which word follows which."""
    first, *_, last = losses
    return (
        f"Which word follows which: the next word is foreseen with a loss of {losses[since]:.2f}"
        f" nats, which is no worse than the {bigrams:.2f} of a table that counts pairs of words. At"
        f" step {first:,} it was {losses[first]:.2f}, in the end it is {losses[last]:.2f}."
    )


def sends(path_map: PathMap, most: int = 3) -> str:
    """Which senders do most along their direct paths into a receiver, by how much."""
    metric = path_map.experiment.metric
    senders = {EMBEDDING: path_map.embedding[metric]}
    places = np.ndindex(path_map.values.shape)
    senders |= {sender(path_map, *at): path_map.values[at] for at in places}
    base = path_map.plain(metric)
    moved = {name: float(value - base) for name, value in senders.items() if value == value}
    first = sorted(moved, key=lambda name: -abs(moved[name]))[:most]
    named = [
        f"{name} ({'+' * (moved[name] > 0)}{number(metric, moved[name])})"
        for name in first
        if abs(moved[name]) >= matters(path_map)
    ]
    if not named:
        return f"No sender does much along its path into {path_map.receiver}."
    return f"Most into {path_map.receiver}: {', '.join(named)}."


def nothing_moves(result: Result) -> str | None:
    """If no patch of a map does what matters: that, and how much the most is."""
    known = result.values[np.isfinite(result.values)]
    metric = result.experiment.metric
    most = float(np.abs(known - result.plain(metric)).max(initial=0))
    if most >= matters(result):
        return None
    return (
        f"No patch does much here: the most that one changes {wording(result)} by is"
        f" {number(metric, most)}."
    )


def does_most(*maps: Result) -> str:
    """Which patch on some maps of one metric, of two axes, moves it farthest, and how far that is;
    or that none does much."""

    def moved(of: Result) -> np.ndarray:
        return np.nan_to_num(np.abs(of.values - of.plain(of.experiment.metric)))

    most = max(maps, key=lambda of: moved(of).max())
    if says := nothing_moves(most):
        return says
    metric, at = most.experiment.metric, np.unravel_index(moved(most).argmax(), most.values.shape)
    base, value = most.plain(metric), float(most.values[at])
    what = replaced(most, *map(int, at))
    if most.axes[1] == "position":
        what += f" ({short(most.clean[at[1]].label)})"
    share = ""
    if most.other and abs(whole := most.plain(metric, most.other) - base) >= matters(most):
        share = f", {(value - base) / whole:.0%} of the way to the {most.other} run"
    return (
        f"Most is done by {what}: put in alone it takes {wording(most)} from"
        f" {number(metric, base)} to {number(metric, value)}{share}."
    )


def _rows(rows: tuple[str, ...], first: int, last: int) -> str:
    if first == last:
        return f"in {_row(rows[first])}"
    if last == len(rows) - 1:
        return f"from {_row(rows[first])} on"
    return f"from {_row(rows[first])} to {_row(rows[last])}"


def _row(label: str) -> str:
    return f"the {label}" if label == EMBEDDING else layer_name(label)


def _last(flags) -> int:
    """The last place that is true of some."""
    return int(np.flatnonzero(flags)[-1])


def _since(flags) -> int:
    """The first place from which on all are true, of some whose last one is."""
    return len(flags) - int(np.argmin([*flags[::-1], False]))
