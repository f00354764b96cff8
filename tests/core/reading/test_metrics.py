"""Every metric is its formula, written once more here in NumPy and float64."""

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.question.metrics import METRICS, Reader
from tests.numpy_gpt2 import softmax

V, C = 11, 5
TARGET, FOIL = 3, 7


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def reader() -> Reader:
    unembedding, (clean, corrupted) = random(V, C), random(2, C, seed=1)
    return Reader(unembedding, clean, corrupted, TARGET, FOIL)


# z, c and k are the logits (V,) of the patched, the clean and the corrupted run.
FORMULAS = {
    "logit_diff": lambda z, c, k: z[FOIL] - z[TARGET],
    "recovery": lambda z, c, k: (
        ((z[FOIL] - z[TARGET]) - (k[FOIL] - k[TARGET]))
        / ((c[FOIL] - c[TARGET]) - (k[FOIL] - k[TARGET]))
    ),
    "target_logit_change": lambda z, c, k: z[TARGET] - c[TARGET],
    "target_prob": lambda z, c, k: softmax(z)[TARGET],
    "foil_prob": lambda z, c, k: softmax(z)[FOIL],
    "prob_diff": lambda z, c, k: softmax(z)[FOIL] - softmax(z)[TARGET],
    "kl": lambda z, c, k: np.sum(softmax(c) * np.log(softmax(c) / softmax(z))),
}


def test_every_metric_has_its_formula_here():
    assert FORMULAS.keys() == METRICS.keys()


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_is_its_formula(reader, metric):
    states = random(3, 40, C, seed=2)
    rows = reader.unembedding.double().numpy()
    clean, corrupted = (rows @ side.double().numpy() for side in (reader.clean, reader.corrupted))
    expected = [
        [FORMULAS[metric](rows @ state, clean, corrupted) for state in row]
        for row in states.double().numpy()
    ]
    found = reader.read(metric, states)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)
    assert np.ptp(expected) > 0.1


@pytest.mark.parametrize("metric", METRICS)
def test_a_state_that_is_not_known_yet_stays_so(reader, metric):
    states = random(2, 3, C, seed=2)
    states[0, 1] = states[1, 2] = torch.nan
    assert np.argwhere(np.isnan(reader.read(metric, states))).tolist() == [[0, 1], [1, 2]]


@pytest.mark.parametrize("shape", [(C,), (0, C), (1, C), (65, C), (2, 3, 4, C)])
def test_a_metric_keeps_the_shape_of_the_grid(reader, shape):
    assert reader.read("kl", random(*shape)).shape == shape[:-1]


def test_the_plain_runs_are_the_ends_of_the_metrics(reader):
    plain = torch.stack((reader.clean, reader.corrupted))
    ends = {metric: reader.read(metric, plain) for metric in METRICS}
    np.testing.assert_allclose(ends["recovery"], [1, 0], atol=1e-6)
    assert ends["target_logit_change"][0] == 0
    assert ends["kl"][0] == pytest.approx(0, abs=1e-7)
    assert ends["kl"][1] > 0.1


def test_the_divergence_is_never_negative(reader):
    assert reader.read("kl", random(300, C, seed=3)).min() > -1e-6


def test_recovery_is_refused_where_the_runs_hardly_differ(reader):
    near = Reader(reader.unembedding, reader.clean, reader.clean + 1e-4, TARGET, FOIL)
    text = (
        r"Recovery divides by the difference between the two runs, and here they hardly differ:"
        r" LD is -?\d+\.\d{4} on the clean and -?\d+\.\d{4} on the corrupted text\."
        r" Choose another target and foil, or another metric\."
    )
    with pytest.raises(UserError, match=text) as refusal:
        near.read("recovery", random(2, C))
    assert refusal.value.field == "metric"
    assert np.isfinite(near.read("logit_diff", random(2, C))).all()


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_can_be_written_out_with_both_tokens(metric):
    row = METRICS[metric]
    assert row.title and row.says
    assert "{" not in row.formula.format(target="· Jones", foil="· Smith")


def test_reading_leaves_no_trace_of_gradients(reader):
    reader.unembedding.requires_grad_(True)
    assert reader.read("kl", random(2, C)).shape == (2,)
