"""What a set is graded by is hooked runs of Hugging Face's GPT-2."""

from dataclasses import replace

import numpy as np
import pytest

from core.errors import UserError
from core.question.components import all_but, write
from core.question.experiment import OF_ONE, SIDES
from core.sets import Sets
from core.steps import finish
from core.study import PlainRuns, sides
from tests.builders import experiment, finished, steps_of
from tests.hooked_gpt2 import hooked_set, hugging_face

LAYERS, HEADS, POSITIONS = 3, 2, 7
TEXT = "1.1 mlp0 resid0@1 2.0@-1"


@pytest.fixture(scope="module")
def hooked(loaded):
    """The logit difference of a set, with hooks: from a side, or an ablation, into a side."""
    twin, ids = hugging_face(loaded.gpt), PlainRuns(experiment(), loaded).ids
    target, foil = (loaded.encoder.encoder[token] for token in ("ĠLee", "ĠPoe"))

    def value(source: str, into: str, members=()) -> float:
        logits = hooked_set(twin, ids[into], ids.get(source, source), members)
        return (logits[foil] - logits[target]).item()

    return value


@pytest.mark.parametrize("direction", OF_ONE)
def test_a_grade_is_hooked_runs(loaded, hooked, direction):
    sets = Sets(experiment(direction=direction), loaded)
    members = sets.parse(TEXT)
    fractions, grade = steps_of(sets.grade(members))
    assert fractions == sorted(fractions) and 0 <= fractions[0] and fractions[-1] <= 1
    assert grade.components == ("1.1", "mlp0", "resid0@1", "2.0@6")
    ends = {side: hooked(side, side) for side in SIDES}
    assert grade.baseline.clean == pytest.approx(ends["clean"], abs=1e-4)
    assert grade.baseline.corrupted == pytest.approx(ends["corrupted"], abs=1e-4)

    def check(effect, source: str, into: str, members) -> None:
        value = hooked(source, into, members)
        assert effect.value == pytest.approx(value, abs=1e-4)
        away = ends[next(side for side in SIDES if side != into)] - ends[into]
        assert effect.share == pytest.approx((value - ends[into]) / away, abs=1e-3)

    bad = "corrupted" if direction in ("denoise", "noise") else direction
    rest = all_but(members, LAYERS, HEADS, POSITIONS)
    if bad == "corrupted":
        check(grade.sufficient, "clean", "corrupted", members)
    else:
        assert grade.sufficient is None
    check(grade.necessary, bad, "clean", members)
    check(grade.complement, bad, "clean", rest)
    into, source = sides(direction)
    check(grade.joint, source, into, members)
    for of, alone, without in zip(members, grade.alone, grade.without, strict=True):
        check(alone, source, into, (of,))
        check(without, source, into, [other for other in members if other != of])
    changes = [effect.value - ends[into] for effect in grade.alone]
    assert grade.sum_of_alone.value == pytest.approx(ends[into] + sum(changes), abs=1e-3)
    assert grade.sum_of_alone.share == pytest.approx(sum(e.share for e in grade.alone))
    assert np.ptp([grade.joint.value, *(e.value for e in grade.alone)]) > 0.01


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_with_everything_in_a_set_both_ends_are_clean_and_with_nothing_corrupted(loaded, direction):
    sets = Sets(experiment(direction=direction), loaded)
    ends = [(sets.everything, 1), ((), 0)]
    for members, carried in ends:
        grade = finish(sets.grade(members))
        assert grade.sufficient.share == pytest.approx(carried, abs=1e-4)
        assert grade.complement.share == pytest.approx(1 - carried, abs=1e-4)
        assert grade.necessary.share == pytest.approx(carried, abs=1e-4)


def test_a_set_of_cells_leaves_to_the_others_what_is_not_in_them(loaded):
    sets = Sets(experiment(), loaded)
    stream = finish(sets.grade(sets.parse("resid0@1")))
    parts = finish(sets.grade(sets.parse("0.0@1 0.1@1 mlp0@1")))
    assert stream.complement == parts.complement
    assert stream.sufficient != parts.sufficient  # with the embedding


@pytest.mark.parametrize("direction", ["denoise", "noise", "position_mean"])
@pytest.mark.parametrize("metric", ["logit_diff", "recovery"])
def test_the_strongest_first_and_a_curve_that_grows_by_them(loaded, direction, metric):
    asked = experiment(direction=direction, metric=metric)
    sets = Sets(asked, loaded)
    heads = [of for of in sets.everything if of.kind == "head"]
    alone = dict(zip(heads, finish(sets.alone(heads)), strict=True))
    grid = finished(replace(asked, site="head_z"), loaded).read(asked).values
    for of, effect in alone.items():
        assert effect.value == pytest.approx(grid[of.layer, of.head], abs=1e-4)
    order = finish(sets.strongest(heads))
    shares = [alone[of].share for of in order]
    assert shares == sorted(shares, reverse=True) and set(order) == set(heads)
    curve = finish(sets.curve(order))
    assert curve.components == tuple(map(str, order))
    assert len(curve.effects) == len(order) + 1
    assert curve.effects[0].share == pytest.approx(0, abs=1e-4)
    assert curve.effects[1].value == pytest.approx(alone[order[0]].value, abs=1e-4)
    reached = [effect.share for effect in curve.effects]
    for share in (0.0, min(0.3, max(reached)), 99):
        first = [size for size, of in enumerate(reached) if of >= share]
        assert curve.smallest(share) == (first[0] if first else None)


def test_a_greedy_curve_takes_the_best_of_all_each_time(loaded, hooked):
    sets = Sets(experiment(), loaded)
    candidates = [*sets.everything]
    fractions, curve = steps_of(sets.greedy(candidates, most=3))
    assert fractions == sorted(fractions) and len(fractions) > 9
    chosen = []
    low, high = hooked("corrupted", "corrupted"), hooked("clean", "clean")
    for name, effect in zip(curve.components, curve.effects[1:], strict=True):
        values = {
            str(of): hooked("clean", "corrupted", [*chosen, of])
            for of in candidates
            if of not in chosen
        }
        shares = {of: (value - low) / (high - low) for of, value in values.items()}
        assert shares[name] == pytest.approx(max(shares.values()), abs=1e-4)
        assert effect.share == pytest.approx(shares[name], abs=1e-3)
        chosen += sets.parse(name)
    assert sets.growing == curve
    enough = curve.effects[2].share - 1e-6
    assert finish(sets.greedy(candidates, enough=enough)).components == curve.components[:2]


def test_sets_that_cannot_be(loaded):
    with pytest.raises(UserError, match="same number of tokens"):
        Sets(experiment(corrupted="Anna"), loaded)
    sets = Sets(experiment(target=""), loaded)
    with pytest.raises(UserError, match="There is no layer 3"):
        sets.parse("3.0")
    with pytest.raises(UserError, match="The target is empty"):
        finish(sets.grade(sets.parse("mlp0")))


def test_where_the_two_runs_hardly_differ_there_are_no_shares(loaded):
    asked = experiment(clean="Anna Bob met", corrupted="Anna Ray met", foil=" Bob")
    rows = loaded.encoder.encoder
    assert rows["ĠLee"] != rows["ĠBob"]
    sets = Sets(replace(asked, metric="target_prob"), loaded)
    grade = finish(sets.grade(sets.parse("mlp0")))
    difference = abs(grade.baseline.clean - grade.baseline.corrupted)
    assert (grade.necessary.share is None) == (difference < 0.01)
    seconds, nbytes = sets.work([sets.everything])
    assert seconds > 0 and nbytes > 0
    assert write(sets.everything[:2]) == "0.0 0.1"


def test_of_members_that_add_the_same_but_for_rounding_the_first_comes_first(loaded, monkeypatch):
    sets = Sets(experiment(), loaded)
    candidates = sets.parse("0.0 1.1 mlp2 0.1")
    noise = iter(range(1000))
    monkeypatch.setattr(Sets, "_gain", lambda *_: 1e-7 * next(noise))  # each a little more
    assert finish(sets.greedy(candidates)).components == tuple(map(str, candidates))
    assert finish(sets.strongest(candidates)) == candidates
