"""Sets of components on the teaching model: what they carry, and the command."""

import json
from dataclasses import replace

import pytest

from core import models
from core.__main__ import main
from core.errors import UserError
from core.question.components import Component
from core.question.experiment import Experiment
from core.sets import Sets
from core.steps import finish
from tests.builders import finished

ASKED = Experiment(
    "When Mary and John went to the store, John gave a drink to",
    "When Mary and John went to the store, Mary gave a drink to",
    " Mary",
    " John",
)


@pytest.fixture(scope="module")
def model():
    return models.load(models.TEACHING, device="cpu")


@pytest.fixture(scope="module")
def question(model):
    return Sets(ASKED, model)


def test_one_head_is_graded_as_its_cells_of_both_maps_are(model, question):
    graded = finish(question.grade(question.parse("6.3")))
    for direction, name in (("denoise", "sufficient"), ("noise", "necessary")):
        asked = replace(ASKED, site="head_z", direction=direction)
        cell = finished(asked, model).read(asked).values[6, 3]
        assert graded.values[name] == pytest.approx(float(cell), abs=1e-3)
    clean, corrupted = graded.plain.clean, graded.plain.corrupted
    share = (graded.values["sufficient"] - corrupted) / (clean - corrupted)
    assert graded.shares["sufficient"] == pytest.approx(share)
    assert graded.sum_of_singles == pytest.approx(share, abs=1e-5)


def test_everything_is_the_clean_run_and_leaves_nothing_to_its_complement(question):
    graded = finish(question.grade(question.everything))
    assert graded.shares["sufficient"] == pytest.approx(1, abs=1e-4)
    assert graded.shares["necessary"] == pytest.approx(0, abs=1e-4)
    assert graded.shares["complement"] == pytest.approx(0, abs=1e-4)
    of_nothing = finish(question.grade(question.parse("mlp0@0")))  # before the texts part
    assert of_nothing.shares == pytest.approx(
        {"sufficient": 0, "necessary": 1, "complement": 1}, abs=1e-4
    )
    assert finish(question.grade(question.parse("resid3@9"))).shares["complement"] is None


def test_a_curve_begins_at_nothing_and_each_point_is_the_set_so_far(question):
    order = question.parse("6.3 4.3 0.1")
    curve = finish(question.curve(order))
    assert curve.shares[0] == pytest.approx(0, abs=1e-5)
    for size in (1, 2, 3):
        graded = finish(question.grade(order[:size]))
        assert curve.shares[size] == pytest.approx(graded.shares["sufficient"], abs=1e-4)
    assert curve.enough == 2 and curve.components == ("6.3", "4.3", "0.1")


def test_each_time_the_one_that_adds_most_is_added(question):
    left = list(question.parse("6.3 6.2 5.3 7.0"))
    curve = finish(question.greedy(left, until=2))
    chosen = []
    for name, share in zip(curve.components, curve.shares[1:], strict=True):
        tried = {
            str(one): finish(question.curve([*chosen, one])).shares[-1]
            for one in left
            if one not in chosen
        }
        assert max(tried, key=tried.get) == name
        assert share == pytest.approx(tried[name], abs=1e-4)
        chosen += question.parse(name)
    assert set(curve.components) == set(map(str, left))
    assert finish(question.greedy(question.heads)).components == ("4.3",)


def test_what_is_missed_is_what_the_set_falls_by(question):
    chosen = question.parse("6.3 4.3")
    missed = finish(question.minimality(chosen))
    both, one = (finish(question.curve(of)).shares[-1] for of in (chosen, chosen[1:]))
    assert missed["6.3"] == pytest.approx(both - one, abs=1e-4)
    order = finish(question.strongest(question.parse("7.0 6.3 4.3")))
    assert order == [Component("head", 4, 3), Component("head", 6, 3), Component("head", 7, 0)]


def test_sets_that_are_none_and_runs_that_hardly_differ_say_so(model, question):
    with pytest.raises(UserError, match="The set is empty"):
        finish(question.grade(()))
    alike = replace(ASKED, target=" cat", foil=" dog", metric="target_prob")
    with pytest.raises(UserError, match="hardly differ under target_prob, so that nothing is a"):
        Sets(alike, model)


def test_the_command_grades_a_set_or_searches_for_one(model, question, capsys):
    asked = ["set", "--clean", ASKED.clean, "--corrupted", ASKED.corrupted]
    asked += ["--target= Mary", "--foil= John"]
    assert main([*asked, "--components=6.3, mlp5", "--json=-"]) == 0
    said = json.loads(capsys.readouterr().out)
    graded = finish(question.grade(question.parse("6.3 mlp5")))
    assert said["components"] == ["6.3", "mlp5"]
    for name, value in graded.values.items():
        assert said[name] == pytest.approx(value, abs=1e-4)
        assert said["shares"][name] == pytest.approx(graded.shares[name], abs=1e-5)
    assert set(said["missed"]) == {"6.3", "mlp5"} and len(said["curve"]["shares"]) == 3
    assert main(asked) == 0
    assert capsys.readouterr().out.startswith("S = 4.3\n")
    assert main([*asked, "--components=6.9"]) == 2
    assert "6.9: there is no head 9" in capsys.readouterr().err
