"""What other pairs put into one: against a plain loop of hooked runs, and whatever order, share or
batch the pairs are in."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.many import sweeping
from core.many.fitting import Fitted
from core.many.marks import parse
from core.many.others import Others
from core.many.pairs import Pair, Share
from core.many.survey import Sample, Survey
from core.models import LoadedModel
from core.question.experiment import Experiment
from core.question.sites import SITES
from tests import builders
from tests.hooked_gpt2 import Hooked, hugging_face, put
from tests.live_bytes import LiveBytes

# `them` is of one token or of two, `again` the last position of some; none is as long as all.
_WITH_ROLES = (
    "[who:Anna][name:{}] met[them: Bob Ray].[again: Anna]",
    "- Bob, [who:Anna][name:{}] met[them: Ray].[again: Anna]",
    "[who:Anna][name:{}] met[them: Bob Bob] Ray.[again: Anna] met",
)
_WITHOUT = ("Anna{} met Bob Ray. Anna", "Anna{} met Ray Ray. Anna", "Anna{} met Ray Bob. Anna")
DIRECTIONS = ("dataset_mean", "resample")


def made(roles: bool) -> list[Pair]:
    """Six pairs."""
    found = []
    for number in range(6):
        text = (_WITH_ROLES if roles else _WITHOUT)[number % 3]
        names = (" Lee", " Poe") if number < 3 else (" Poe", " Ray")
        (clean, spans), (corrupted, _) = (parse(text.format(name)) for name in names)
        of = {"clean_roles": spans, "corrupted_roles": spans}
        found.append(Pair(f"p{number}", number, clean, corrupted, *((n,) for n in names), **of))
    return found


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return builders.loaded_model(n_layer=2)


def asked(direction: str, site: str = "resid_post", **changes) -> Experiment:
    return Experiment(*[""] * 4, direction=direction, site=site, **changes)


def survey_of(pairs: list[Pair], model, question: Experiment, **how) -> Survey:
    survey = Survey(Sample(pairs, [], model, reduce="mean"), question, metrics=["kl"], **how)
    list(survey)
    return survey


def grids(survey: Survey, metric: str = "logit_diff") -> dict[str, np.ndarray]:
    return {of.pair.pair.clean: of.values.grids[metric] for of in survey.swept}


class Loop:
    """The plain way: each cell's run by itself, hooked, with what the others have at its column."""

    def __init__(self, survey: Survey, question: Experiment):
        self.survey, self.asked = survey, question
        self.hooked = Hooked(hugging_face(survey.sample.model.gpt))
        self.pairs = survey.pairs
        sites = {question.site} | ({"resid_pre"} if question.embedding else set())
        self.kept = {
            (of.pair.id, site): self.hooked.kept(of.clean, site)
            for of in self.pairs
            for site in sites
        }

    def given(self, to: Fitted, site: str, layer: int, column: int) -> torch.Tensor:
        """What is put into a pair at a column."""
        givers = self.pairs
        if self.asked.direction == "resample":
            givers = [self.survey.others.drawn[to.pair.id]]
        means = [
            self.kept[of.pair.id, site][layer][list(of.columns[column][1])].mean(dim=0)
            for of in givers
        ]
        return torch.stack(means).mean(dim=0)

    def grid(self, pair: Fitted) -> np.ndarray:
        site, L = SITES[self.asked.site], len(self.hooked.blocks)
        by_position, by_head = "position" in site.axes, "head" in site.axes
        rows = [(self.asked.site, self.layers(row, L)) for row in range(L)]
        if self.asked.embedding:
            rows.insert(0, ("resid_pre", [0]))
        columns = range(len(pair.columns))
        # The first column of a position is its role's, the last that of the last position.
        own = {p: c for c in reversed(columns) for p in pair.columns[c][1]}
        where = [[{p: c} for p in pair.columns[c][1]] for c in columns] if by_position else [[own]]
        heads = range(self.hooked.heads) if by_head else [None]
        found = []
        for name, layers in rows:
            for head in heads:
                for places in where:
                    runs = [self.run(pair, name, layers, head, of) for of in places]
                    found.append(sum(runs) / len(runs))
        sizes = {"layer": len(rows), "head": len(heads), "position": len(where)}
        return np.array(found).reshape([sizes[axis] for axis in site.axes])

    def layers(self, row: int, L: int) -> range:
        return range(max(0, row - self.asked.window), min(L, row + self.asked.window + 1))

    def run(self, pair: Fitted, site: str, layers, head: int | None, at: dict[int, int]) -> float:
        edits = []
        for layer in layers:
            new = {p: self.given(pair, site, layer, column) for p, column in at.items()}
            nothing = torch.zeros_like(next(iter(new.values())))
            whole = torch.stack([new.get(p, nothing) for p in range(len(pair.clean))])
            where = [*at] if head is None else ([*at], head)
            edits.append((site, layer, put(where, whole)))
        logits = self.hooked.run(pair.clean, edits)
        return (logits[pair.foil[0]] - logits[pair.target[0]]).item()


CASES = [(site, roles, {}) for site in SITES for roles in (False, True)]
CASES.remove(("head_pattern", True, {}))  # which there is not
CASES += [("resid_post", True, {"embedding": True, "window": 1})]
CASES += [(site, False, {"window": 1}) for site in ("attn_out", "mlp_out")]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("site", "roles", "more"), CASES, ids=str)
def test_what_others_put_in_is_what_a_plain_loop_puts_in(model, direction, site, roles, more):
    question = asked(direction, site, **more)
    survey = survey_of(made(roles), model, question)
    loop = Loop(survey, question)
    assert len(survey.swept) == 6
    largest = 0
    for of in survey.swept:
        found, plain = of.values.grids["logit_diff"], of.values.baselines["logit_diff"][0]
        np.testing.assert_allclose(found, loop.grid(of.pair), atol=1e-4)
        largest = max(largest, np.abs(found - plain).max())
    assert largest > 0.05  # or nothing was put in


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_neither_order_nor_batch_nor_share_matters(model, direction, monkeypatch):
    question = asked(direction, embedding=True)
    pairs = made(roles=True)
    whole = survey_of(pairs, model, question)
    expected = grids(whole)
    again = [replace(pair, line=9 - pair.line, id=f"other {pair.line}") for pair in pairs[::-1]]
    others = {"order": grids(survey_of(again, model, question))}
    shares: dict[str, np.ndarray] = {}
    for i in (1, 2, 3):
        sample = Sample(pairs, [], model, reduce="mean", share=Share(i, 3))
        own = Survey(sample, question, used=Sample(pairs, [], model, reduce="mean").pairs)
        list(own)
        assert len(own.swept) == 2 and own.others.about == whole.others.about
        shares |= grids(own)
    others["share"] = shares
    monkeypatch.setattr(sweeping, "BATCH_WORK", 1.0)  # one by one
    others["batch"] = grids(survey_of(pairs, model, question))
    for what, found in others.items():
        assert found.keys() == expected.keys()
        for clean, grid in found.items():
            np.testing.assert_allclose(grid, expected[clean], atol=1e-5, err_msg=what)


def test_each_gives_to_one_and_never_to_itself_and_a_seed_says_to_which(model):
    question = asked("resample")
    pairs = Sample(made(roles=False), [], model).pairs
    twice = [*pairs, replace(pairs[0], pair=replace(pairs[0].pair, id="twice", line=7))]
    drawn = [Others(twice, question, seed).drawn for seed in range(20)]
    for found in drawn:
        assert found.keys() == {of.pair.id for of in found.values()} and len(found) == 7
        assert not any(of.pair.id == id for id, of in found.items())
    assert len({found["p0"].pair.id for found in drawn}) == 6
    # A row that is there twice is next to itself no more often than to any other.
    assert sum("p0" == found["twice"].pair.id for found in drawn) < 9
    assert sum("twice" == found["p0"].pair.id for found in drawn) < 9


def test_what_is_kept_of_a_pair_is_known_by_what_the_others_put_in(model):
    """Or going on with other pairs beside it would take over what is no longer so."""
    pairs = made(roles=False)
    for direction in DIRECTIONS:
        question = asked(direction)
        surveys = [survey_of(of, model, question) for of in (pairs, pairs[::-1], pairs[:5])]
        first = [survey.digest(survey.pairs[0]) for survey in surveys]
        assert first[0] == first[1]
        if direction == "dataset_mean":
            assert first[0] != first[2]
    survey, other = (survey_of(pairs, model, asked("resample"), seed=seed) for seed in (0, 1))
    moved = [of for of in survey.pairs if survey.digest(of) != other.digest(of)]
    giver = {s: s.others.drawn for s in (survey, other)}
    assert moved == [
        of for of in survey.pairs if giver[survey][of.pair.id] != giver[other][of.pair.id]
    ]
    assert moved


def test_what_cannot_be_put_in_is_refused_in_words(model):
    with pytest.raises(UserError, match=r"\(dataset_mean\) needs two pairs that are used"):
        survey_of(made(roles=False)[:1], model, asked("dataset_mean"))
    with pytest.raises(UserError, match=r"\(resample\) of head_pattern needs pairs without roles"):
        survey_of(made(roles=True), model, asked("resample", "head_pattern"))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_other_pairs_take_the_memory_that_is_said(direction, monkeypatch):
    """Patterns of long texts, which are larger than all that is kept of their runs."""
    monkeypatch.setattr(sweeping, "BATCH_MEMORY", 1 << 18)
    monkeypatch.setattr(sweeping, "PACK_MEMORY", 1 << 16)
    model = builders.loaded_model(n_layer=4, n_head=4, n_embd=8)
    pairs = [
        replace(of, clean=of.clean + " met" * 15, corrupted=of.corrupted + " met" * 15)
        for of in made(roles=False)
    ]
    survey = Survey(Sample(pairs, [], model), asked(direction, "head_pattern"), metrics=["kl"])
    with LiveBytes() as live:
        list(survey)
    _, memory = survey.estimate
    # What these texts have in common is recorded once, which no prediction counts upon.
    assert 0.6 * memory < live.peak < 1.1 * memory
