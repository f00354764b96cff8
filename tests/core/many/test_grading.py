"""A set over many pairs is each pair's own grade, summed up."""

import csv
import io
import json

import numpy as np
import pytest

from core import catalogue, models
from core.__main__ import main
from core.errors import UserError
from core.many import grading as grading_module
from core.many import packs, pairs
from core.many.fitting import alone
from core.many.grading import Grading
from core.many.summary import samples
from core.question.experiment import Experiment
from core.sets import Sets
from core.steps import finish
from tests.builders import steps_of
from tests.live_bytes import LiveBytes

SET = "4.3 mlp2 6.3"
NAMES = ("sufficient", "necessary", "complement")


@pytest.fixture(scope="module")
def teaching():
    return models.load(catalogue.TEACHING)


def given(pack="teaching-ioi", count=6):
    return packs.PACKS[pack].make()[:count], []


def asked(**changes) -> Experiment:
    return Experiment("", "", "", "", **changes)


@pytest.mark.parametrize(
    "question", [{}, {"metric": "target_prob", "direction": "mean"}, {"metric": "recovery"}]
)
def test_grades_over_pairs_are_means_of_those_of_each_pair(teaching, question):
    question = asked(**question)
    grading = Grading(*given(), teaching, question, SET, seed=3, draws="pairs")
    fractions, found = steps_of(grading.run())
    assert fractions == sorted(fractions) and (fractions[0], fractions[-1]) == (0, 1)
    read = "logit_diff" if question.metric == "recovery" else question.metric
    each = []
    for pair in grading.pairs:
        one = alone(pair, asked(metric=read, direction=question.direction), teaching.encoder)
        sets = Sets(one, teaching)
        grade = finish(sets.grade(sets.parse(SET)))
        values = (effect and effect.value for effect in grade.asked.values())
        each.append([grade.baseline.clean, grade.baseline.corrupted, *values])
    each = np.array(each, dtype=float)
    np.testing.assert_allclose(found.of_pairs, each, atol=1e-4)
    weights = samples([""] * 6, seed=3) / 6
    clean, corrupted = each[:, 0], each[:, 1]
    for column, name in enumerate(NAMES, start=2):
        value = each[:, column]
        if name == "sufficient" and question.direction == "position_mean":
            assert found.values[name] is None is found.shares[name]
            continue
        moved = value - corrupted if name == "sufficient" else clean - value
        ratios = weights @ moved / (weights @ (clean - corrupted))
        expected = (moved.mean() / (clean - corrupted).mean(), *np.quantile(ratios, (0.025, 0.975)))
        assert found.shares[name] == pytest.approx(expected, abs=1e-4)
        if question.metric == "recovery":
            value = (value - corrupted) / (clean - corrupted).mean()
        assert found.values[name].mean == pytest.approx(value.mean(), abs=1e-4)
        assert found.values[name].low <= found.values[name].mean <= found.values[name].high


@pytest.mark.parametrize("direction", ["denoise", "zero"])
def test_a_pair_is_graded_alike_in_whatever_company_and_takes_what_is_said(
    teaching, monkeypatch, direction
):
    shapes = packs.PACKS["teaching-capital"].make()[::20]
    assert len({len(of.clean.split()) for of in shapes}) > 1  # of several lengths
    question = asked(direction=direction, metric="target_prob")
    grading = Grading(shapes, [], teaching, question, SET)
    together = finish(grading.run()).of_pairs
    for at in range(0, len(shapes), 4):
        one = Grading(shapes[at : at + 1], [], teaching, question, SET)
        np.testing.assert_allclose(finish(one.run()).of_pairs[0], together[at], atol=1e-5)
    with LiveBytes() as live:
        finish(grading.run())
    assert 0.4 * grading.estimate[1] < live.peak < 1.1 * grading.estimate[1]
    monkeypatch.setattr(grading_module, "PACK_MEMORY", 1)  # one set at a time
    np.testing.assert_allclose(finish(grading.run()).of_pairs, together, atol=1e-5)


def test_a_cell_at_a_position_needs_pairs_of_one_length(teaching):
    shapes = packs.PACKS["teaching-capital"].make()
    with pytest.raises(UserError, match="resid3@2 is at one position, and these texts have"):
        Grading(shapes, [], teaching, asked(), "4.3 resid3@2")
    assert len(Grading(shapes, [], teaching, asked(), "4.3 resid3").pairs) == len(shapes)
    with pytest.raises(UserError, match="There is no head 9"):
        Grading(*given(), teaching, asked(), "4.9")


def test_the_command_grades_a_set_over_a_file(teaching, tmp_path, capsys):
    file = tmp_path / "pairs.csv"
    file.write_text(pairs.write(given()[0]), encoding="utf-8")
    command = ["set", "--pairs", str(file), "--components", SET]
    assert main([*command, "--json=-"]) == 0
    said = json.loads(capsys.readouterr().out)
    found = finish(Grading(*given(), teaching, asked(), SET).run())
    for name in NAMES:
        assert said[name] == pytest.approx(found.values[name].mean, abs=1e-3)
        assert said["shares"][name] == pytest.approx(found.shares[name].mean, abs=1e-3)
        low, high = said["share_intervals"][name]
        assert low <= said["shares"][name] <= high
    assert said["n_used"] == 6 and said["bootstrap"]["seed"] == 0
    assert main([*command, f"--csv={tmp_path / 'set.csv'}"]) == 0
    said = "On the mean over 6 pairs put into the corrupted run, these 3 components bring"
    assert said in capsys.readouterr().out
    text = (tmp_path / "set.csv").read_text(encoding="utf-8-sig")
    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [float(line["necessary"]) for line in lines] == pytest.approx(found.of_pairs[:, 3])
    assert main(["set", "--pairs", str(file)]) == 2
    assert "--pairs needs --components" in capsys.readouterr().err
