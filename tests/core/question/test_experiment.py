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
    **dict.fromkeys(("clean", "corrupted", "target", "foil", "model"), TEXT),
    metric=st.sampled_from(list(METRICS)),
    direction=st.sampled_from(list(DIRECTIONS)),
    bos=st.booleans(),
    embedding=st.booleans(),
    window=st.integers(0, 99),
)


@given(EXPERIMENTS)
def test_an_experiment_survives_a_link_and_a_json_file_and_is_the_same_key(asked):
    link = urlencode(asked.to_query())
    query = {key: values[0] for key, values in parse_qs(link, keep_blank_values=True).items()}
    assert {asked: 1}[Experiment.from_query(query)] == 1
    assert {asked: 1}[Experiment.from_dict(json.loads(json.dumps(asked.to_dict())))] == 1


def test_what_a_link_leaves_out_is_the_default_and_what_it_adds_is_ignored():
    asked = Experiment.from_query(
        {"clean": "a", "corrupted": "b", "target": " c", "foil": " d", "utm_source": "x"}
    )
    assert asked == Experiment("a", "b", " c", " d", "teaching", "logit_diff", "denoise")
    assert not asked.bos and not asked.embedding


def test_what_was_called_mean_is_the_position_mean_wherever_it_is_read():
    old, new = (experiment().to_query() | {"direction": name} for name in ("mean", "position_mean"))
    assert Experiment.from_query(old) == Experiment.from_query(new)
    assert Experiment.from_query(old).to_query() == new
    assert Experiment.from_dict({**experiment().to_dict(), "direction": "mean"}).direction == (
        "position_mean"
    )


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("metric", "magic", "There is no metric 'magic': choose one of logit_diff, rec"),
        (
            "direction",
            "up",
            "There is no direction 'up': choose one of denoise, noise, zero, position_mean, da",
        ),
        ("bos", "yes", "bos is 0 or 1, not 'yes'."),
        ("embedding", "", "embedding is 0 or 1, not ''."),
        ("window", "-1", "window is a number of layers, not '-1'."),
        ("window", "1\n", "window is a number of layers, not '1\\n'."),
        ("window", "٣", "window is a number of layers, not '٣'."),
        ("window", "9" * 5000, "window is a number of layers, not '99999"),
        ("bos", "1" * 5000, "bos is 0 or 1, not '11111"),
    ],
)
def test_a_link_with_a_value_that_is_none_names_the_field(field, value, text):
    with pytest.raises(UserError) as refusal:
        Experiment.from_query(experiment().to_query() | {field: value})
    assert str(refusal.value).startswith(text)
    assert len(str(refusal.value)) < 200
    assert refusal.value.field == field
    with pytest.raises(TypeError):
        Experiment.from_query({"clean": "a"})  # without the other texts


OTHER = dict.fromkeys(("clean", "corrupted", "target", "foil"), " x")
OTHER |= {"model": "gpt2", "metric": "kl", "direction": "noise", "site": "head_z"}
OTHER |= {"window": 1, "bos": True, "embedding": True}


@pytest.mark.parametrize("field", OTHER)
def test_a_key_is_another_where_what_it_decides_is(field):
    one, other = experiment(), experiment(**{field: OTHER[field]})
    assert other != one
    with pytest.raises(AttributeError):
        setattr(one, field, OTHER[field])
    assert (other.sweep == one.sweep) == (field in ("target", "foil", "metric"))
    assert (other.texts == one.texts) == (field not in ("clean", "corrupted", "model", "bos"))
