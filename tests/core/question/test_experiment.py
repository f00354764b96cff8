"""An experiment is its link, its file and its key."""

import json
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.question.experiment import DIRECTIONS, Experiment
from core.question.metrics import METRICS
from tests.builders import experiment

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
EXPERIMENTS = st.builds(
    Experiment,
    clean=TEXT,
    corrupted=TEXT,
    target=TEXT,
    foil=TEXT,
    model=TEXT,
    metric=st.sampled_from(list(METRICS)),
    direction=st.sampled_from(list(DIRECTIONS)),
    bos=st.booleans(),
    embedding=st.booleans(),
    window=st.integers(0, 99),
)


@given(EXPERIMENTS)
def test_the_query_holds_the_experiment(asked):
    assert Experiment.from_query(asked.to_query()) == asked


@given(EXPERIMENTS)
def test_the_experiment_survives_a_real_link(asked):
    link = urlencode(asked.to_query())
    query = {key: values[0] for key, values in parse_qs(link, keep_blank_values=True).items()}
    assert Experiment.from_query(query) == asked


@given(EXPERIMENTS)
def test_the_experiment_survives_a_json_file(asked):
    assert Experiment.from_dict(json.loads(json.dumps(asked.to_dict()))) == asked


@given(EXPERIMENTS)
def test_equal_experiments_are_one_key(asked):
    assert {asked: 1}[Experiment.from_dict(asked.to_dict())] == 1


def test_an_experiment_cannot_be_changed():
    with pytest.raises(AttributeError):
        experiment().clean = "other"


def test_what_a_link_leaves_out_is_the_default_and_what_it_adds_is_ignored():
    asked = Experiment.from_query(
        {"clean": "a", "corrupted": "b", "target": " c", "foil": " d", "utm_source": "x"}
    )
    assert asked == Experiment("a", "b", " c", " d")
    assert (asked.model, asked.metric, asked.direction) == ("teaching", "logit_diff", "denoise")
    assert not asked.bos and not asked.embedding


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        (
            {"metric": "magic"},
            "metric",
            "There is no metric 'magic': choose one of logit_diff, rec",
        ),
        (
            {"direction": "up"},
            "direction",
            "There is no direction 'up': choose one of denoise, noise, zero, mean.",
        ),
        ({"bos": "yes"}, "bos", "bos is 0 or 1, not 'yes'."),
        ({"embedding": ""}, "embedding", "embedding is 0 or 1, not ''."),
        ({"window": ""}, "window", "window is a number of layers, not ''."),
        ({"window": "-1"}, "window", "window is a number of layers, not '-1'."),
        ({"window": "1.0"}, "window", "window is a number of layers, not '1.0'."),
        ({"window": "1\n"}, "window", "window is a number of layers, not '1\\n'."),
        ({"window": "²"}, "window", "window is a number of layers, not '²'."),
        ({"window": "٣"}, "window", "window is a number of layers, not '٣'."),
        ({"window": "9" * 5000}, "window", "window is a number of layers, not '99999"),
        ({"bos": "1" * 5000}, "bos", "bos is 0 or 1, not '11111"),
    ],
)
def test_a_link_with_a_value_that_is_none_names_the_field(changes, field, text):
    with pytest.raises(UserError) as refusal:
        Experiment.from_query(experiment().to_query() | changes)
    assert str(refusal.value).startswith(text)
    assert len(str(refusal.value)) < 200
    assert refusal.value.field == field


def test_a_link_without_a_text_is_none():
    with pytest.raises(TypeError):
        Experiment.from_query({"clean": "a"})


@pytest.mark.parametrize("same", [{"target": " x"}, {"foil": " x"}, {"metric": "kl"}])
def test_another_question_to_the_same_states_is_the_same_sweep(same):
    assert experiment(**same) != experiment()
    assert experiment(**same).sweep == experiment().sweep


@pytest.mark.parametrize(
    "other",
    [
        {"clean": "x"},
        {"corrupted": "x"},
        {"model": "gpt2"},
        {"direction": "noise"},
        {"bos": True},
        {"embedding": True},
    ],
)
def test_what_decides_the_states_is_another_sweep(other):
    assert experiment(**other).sweep != experiment().sweep
