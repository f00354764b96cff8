"""Result: numbers that say themselves what they are.

A result carries its axes and labels, its baselines, the experiment that asked for it and the
model that answered. It is plain data: `core.views` makes files and pictures of it without torch or
a model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from core.question.experiment import Experiment
from core.question.places import Place
from core.question.sampling import Sampling
from core.question.tokens import Token

EMBEDDING = "embedding"


FAR = 2.0  # nats: a right word is seven times as improbable


@dataclass(frozen=True)
class SmokeTest:
    """How well a model predicts a few plain sentences, in nats per token, beside what else does."""

    text: str  # the sentences
    loss: float | None  # None: its numbers are none
    tokens: int  # predicted
    of_frequencies: float  # a guess that knows how frequent words are and nothing else
    of_its_size: float | None = None  # GPT-2 of about its size, as published, on long web texts

    @property
    def is_far_off(self) -> bool:
        """Whether it predicts no better than one who has not read the text or, where it is known
        what its size reaches, FAR worse than that."""
        limit = self.of_frequencies
        if self.of_its_size is not None:
            limit = min(limit, self.of_its_size + FAR)
        return self.loss is None or self.loss >= limit


@dataclass(frozen=True)
class ModelCard:
    """Which model answered; `fingerprint` stands for its weights."""

    name: str
    fingerprint: str
    layers: int
    parameters: int
    dtype: str = "float32"
    source: str = ""  # where its files came from
    revision: str = ""  # the commit they are of, if they came from a hub
    settings: dict[str, bool | int | float | str] = field(default_factory=dict)  # unlike GPT-2's
    tokenizer: str = ""
    memory: int = 0  # bytes of its weights
    notes: tuple[str, ...] = ()  # on what was left out of its files
    smoke_test: SmokeTest | None = None
    computed_with: dict[str, str | int] = field(default_factory=dict)  # versions, threads, machine

    @classmethod
    def from_dict(cls, values: Mapping) -> Self:
        """The inverse of `asdict`, also of what JSON made of it."""
        test = values.get("smoke_test")
        notes = tuple(values.get("notes", ()))
        return cls(**{**values, "notes": notes, "smoke_test": test and SmokeTest(**test)})


@dataclass(frozen=True)
class Ranked:
    """A row of a next-token table; `rank` counts from 1."""

    rank: int
    token: Token
    logit: float
    prob: float


def and_further(top: tuple[Ranked, ...], others: tuple[Ranked, ...]) -> tuple[Ranked, ...]:
    """A table and, after it, those of other rows that stand further down."""
    there = {row.token.id for row in top}
    further = (row for row in others if row.token.id not in there)
    return *top, *sorted(further, key=lambda row: row.rank)


@dataclass(frozen=True)
class Moved:
    """A row of a patched run's next-token table, and the same token's rank in the plain runs."""

    now: Ranked
    clean_rank: int
    corrupted_rank: int
    risen: int  # places gained over the unpatched run


@dataclass(frozen=True)
class Baseline:
    """A metric's value on the two unpatched runs."""

    clean: float
    corrupted: float


class Patched:
    """What the direction of an `experiment` says: what is patched, and with what."""

    experiment: Experiment

    @property
    def unpatched(self) -> str:
        """The run that is patched into: what a cell without effect shows."""
        return "corrupted" if self.experiment.direction == "denoise" else "clean"

    @property
    def other(self) -> str | None:
        """The run that is put in, towards which an effect moves the prediction; an ablation puts
        in none."""
        return {"denoise": "clean", "noise": "corrupted"}.get(self.experiment.direction)

    @property
    def patched_with(self) -> str:
        """What is put in, in words."""
        ablations = {"zero": "zeros", "position_mean": "the position mean"}
        return self.other or ablations[self.experiment.direction]


@dataclass(frozen=True, eq=False)
class Answered(Patched):
    """What was asked, which model answered, and what the plain runs say under some metrics."""

    experiment: Experiment
    model: ModelCard
    baselines: dict[str, Baseline]  # metric -> its value on the clean and the corrupted run

    def plain(self, metric: str, run: str | None = None) -> float:
        """A metric's value on a plain run, "clean" or "corrupted": on the `unpatched` one, if none
        is named."""
        return getattr(self.baselines[metric], run or self.unpatched)


@dataclass(frozen=True, eq=False)
class Map(Answered):
    """Numbers by cell under some metrics."""

    axes: tuple[str, ...]  # what the dimensions of a grid are: "layer", "head", "position"
    rows: tuple[str, ...]  # the first one's labels: "embedding" or a layer's number
    grids: dict[str, np.ndarray]  # metric -> float32, by `axes`; NaN where not computed yet

    @property
    def values(self) -> np.ndarray:
        """The grid of the experiment's own metric."""
        return self.grids[self.experiment.metric]


@dataclass(frozen=True, eq=False)
class OfOnePair(Answered):
    """What was asked of one text pair."""

    clean: tuple[Token, ...]
    corrupted: tuple[Token, ...]
    target: Token
    foil: Token


@dataclass(frozen=True, eq=False)
class ComponentMap(OfOnePair, Map):
    """What each head and each MLP does, put in alone at all positions. A grid has a row for each
    layer, and a column for each head and, last, the MLP."""

    @property
    def columns(self) -> tuple[str, ...]:
        return (*map(str, range(self.values.shape[1] - 1)), "MLP")


@dataclass(frozen=True, eq=False)
class PathMap(ComponentMap):
    """What each sender does along its direct path into one receiver, with all else between them
    frozen; NaN for senders that come too late."""

    receiver: str  # as `core.question.receivers` writes it
    frozen: str  # a key of FROZEN
    embedding: dict[str, float]  # metric -> its value for the embedding as the sender


# What is held at the unpatched run's values between a sender and a receiver.
FROZEN = {
    "all": "all heads and MLPs between them frozen",
    "heads": "the heads between them frozen, the MLPs recomputed",
}


@dataclass(frozen=True, eq=False)
class Result(OfOnePair, Map):
    """One experiment's answer, under every metric that could be read."""

    top: dict[str, tuple[Ranked, ...]]  # "clean", "corrupted" -> the 20 likeliest next tokens
    seconds: dict[str, float]  # what was done -> how long it took: "load", "sweep" and the like
    at_position: int | None = None  # of a map that `at` made: which position it is of

    def at(self, position: int) -> Self:
        """Of a result by layer, head and position, the map of one position: layer by head.
        Positions below 0 count from the end; IndexError for one that is not there."""
        position = range(len(self.clean))[position]
        grids = {metric: grid[:, :, position] for metric, grid in self.grids.items()}
        return replace(self, axes=self.axes[:2], grids=grids, at_position=position)


@dataclass(frozen=True)
class Effect:
    """A patched run's metric, and which share it went of the way from the run that was patched to
    the other plain run: 0 is the former, 1 the latter, None where the two hardly differ."""

    value: float
    share: float | None


# What is asked of a set, each an exact run (`core.views.set_sentences.questions` has the words).
ASKED_OF_SETS = ("sufficient", "necessary", "complement")


@dataclass(frozen=True, eq=False)
class Grade(OfOnePair):
    """How much a set of components explains (`core.sets.Sets.grade` says what each run is)."""

    components: tuple[str, ...]  # as `core.question.components` writes them
    sufficient: Effect | None  # None of an ablation
    necessary: Effect
    complement: Effect
    joint: Effect  # the set in the experiment's direction
    alone: tuple[Effect, ...]  # each member alone, in that direction
    sum_of_alone: Effect  # what that would come to if there were no redundancy and no interplay
    without: tuple[Effect, ...]  # all but each member, in that direction

    @property
    def baseline(self) -> Baseline:
        """The experiment's metric on the plain runs."""
        return self.baselines[self.experiment.metric]

    @property
    def asked(self) -> dict[str, Effect | None]:
        """The answers to ASKED_OF_SETS."""
        return {name: getattr(self, name) for name in ASKED_OF_SETS}


ENOUGH = 0.9  # the share at which an answer counts as back
# By what components are added one by one.
ORDERS = {
    "given": "in the order in which they are written",
    "single": "in the order of what each does alone",
    "greedy": "each time the one that adds most",
}


@dataclass(frozen=True)
class Curve:
    """What sets do that grow component by component; `effects[k]` is of the first k."""

    experiment: Experiment
    components: tuple[str, ...]
    effects: tuple[Effect, ...]
    order: str = "given"  # a key of ORDERS

    def smallest(self, share: float = ENOUGH) -> int | None:
        """How many components are the first to reach a share, None if none does."""
        sizes = (
            size
            for size, effect in enumerate(self.effects)
            if effect.share is not None and effect.share >= share
        )
        return next(sizes, None)


@dataclass(frozen=True)
class Written:
    """A token that a run has written, and how probable it was then (at temperature 1)."""

    token: Token
    prob: float


@dataclass(frozen=True)
class Continuation(Patched):
    """What both plain runs and a patched one would write after their texts. The patch stays at the
    positions of the text, where all that is new reads it; nothing new is patched."""

    experiment: Experiment
    model: ModelCard
    patch: Place | tuple[str, ...]  # a cell, or a set as `core.question.components` writes it
    sampling: Sampling
    prompts: dict[str, tuple[Token, ...]]  # "clean" and "corrupted"
    runs: dict[str, tuple[Written, ...]]  # "clean", "patched" and "corrupted"
