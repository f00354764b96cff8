"""Every metric is its formula, written once more here in NumPy and float64."""

import re

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.question.metrics import METRICS
from core.reading.states import States, measure
from core.reading.unembed import Unembedding
from tests.numpy_gpt2 import softmax

V, C = 11, 5
TARGET, FOIL = 3, 7

# z, c and k are the logits (V,) of the patched, the clean and the corrupted run.
FORMULAS = {
    "logit_diff": lambda z, c, k: ld(z),
    "recovery": lambda z, c, k: (ld(z) - ld(k)) / (ld(c) - ld(k)),
    "target_logit_change": lambda z, c, k: z[TARGET] - c[TARGET],
    "target_prob": lambda z, c, k: softmax(z)[TARGET],
    "foil_prob": lambda z, c, k: softmax(z)[FOIL],
    "prob_diff": lambda z, c, k: softmax(z)[FOIL] - softmax(z)[TARGET],
    "kl": lambda z, c, k: np.sum(softmax(c) * np.log(softmax(c) / softmax(z))),
}


def ld(z: np.ndarray) -> float:
    return z[FOIL] - z[TARGET]


class Reader:
    """Both plain runs' states and an unembedding, all of `dtype`, with logits near `level`."""

    def __init__(self, dtype: torch.dtype = torch.float, level: int = 0):
        generator = torch.Generator().manual_seed(0)
        rows, states = (torch.randn(n, C, generator=generator) for n in (V, 60))
        rows[:, 0], states[:, 0] = level / 7, 7
        self.rows = rows.to(dtype).requires_grad_()
        self.clean, self.corrupted, *_ = self.states = states.to(dtype)

    def read(self, metric: str) -> np.ndarray:
        """Of all states: the two of the plain runs, then others."""
        unembedding, runs = Unembedding(self.rows), (self.states, self.clean, self.corrupted)
        return measure(metric, *(States(of, unembedding) for of in runs), TARGET, FOIL)


@pytest.mark.parametrize("level", [0, -70])
@pytest.mark.parametrize("dtype", [torch.float, torch.bfloat16, torch.half])
@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_is_its_formula(metric, dtype, level):
    reader = Reader(dtype, level)
    states, rows = (of.detach().double().numpy() for of in (reader.states, reader.rows))
    clean, corrupted, *_ = logits = states @ rows.T
    expected = [FORMULAS[metric](patched, clean, corrupted) for patched in logits]
    found = reader.read(metric)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=5e-5, rtol=1e-5)
    assert np.ptp(expected) > 0.1


def test_recovery_is_refused_where_the_runs_hardly_differ():
    reader = Reader()
    reader.corrupted = reader.clean + 1e-4
    text = (
        r"Recovery divides by the difference between the two runs, and here they hardly differ:"
        r" LD is -?\d+\.\d{4} on the clean and -?\d+\.\d{4} on the corrupted text\."
        r" Choose another target and foil, or another metric\."
    )
    with pytest.raises(UserError, match=text) as refusal:
        reader.read("recovery")
    assert refusal.value.field == "metric"
    assert np.isfinite(reader.read("logit_diff")).all()


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_can_be_written_out_with_both_tokens(metric):
    row = METRICS[metric]
    assert row.title and row.says
    assert not re.search("[{}]", row.formula.format(target="· Jones", foil="· Smith"))
