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


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Reader:
    """Both plain runs' states and an unembedding, all of `dtype`, with logits near `level`."""

    def __init__(self, dtype: torch.dtype = torch.float, level: int = 0):
        rows = random(V, C)
        rows[:, 0] = level / 7
        self.unembedding = Unembedding(rows.to(dtype).requires_grad_())
        self.clean, self.corrupted = self.states(2, seed=1).states

    def states(self, *shape: int, seed: int = 2) -> States:
        vectors = random(*shape, C, seed=seed)
        vectors[..., 0] = 7
        return States(vectors.to(self.unembedding.weight.dtype), self.unembedding)

    def read(self, metric: str, states: States, corrupted: torch.Tensor | None = None):
        corrupted = self.corrupted if corrupted is None else corrupted
        plain = (States(side, self.unembedding) for side in (self.clean, corrupted))
        return measure(metric, states, *plain, TARGET, FOIL)

    def exactly(self, metric: str, states: torch.Tensor) -> np.ndarray:
        rows, *runs = (
            of.detach().double().numpy()
            for of in (self.unembedding.weight, states, self.clean, self.corrupted)
        )
        patched, clean, corrupted = (run @ rows.T for run in runs)
        formula = FORMULAS[metric]
        return np.apply_along_axis(lambda z: formula(z, clean, corrupted), -1, patched)


@pytest.mark.parametrize("level", [0, -70])
@pytest.mark.parametrize("dtype", [torch.float, torch.bfloat16, torch.half])
@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_is_its_formula(metric, dtype, level):
    reader = Reader(dtype, level)
    states = reader.states(3, 40)
    found, expected = reader.read(metric, states), reader.exactly(metric, states.states)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=5e-5, rtol=1e-5)
    assert np.ptp(expected) > 0.1


@pytest.mark.parametrize("metric", METRICS)
def test_a_state_that_is_not_known_yet_stays_so_and_the_shape_is_that_of_the_grid(metric):
    reader = Reader()
    states = reader.states(2, 3)
    states.states[0, 1] = states.states[1, 2] = torch.nan
    assert np.argwhere(np.isnan(reader.read(metric, states))).tolist() == [[0, 1], [1, 2]]
    for shape in ((), (0,), (1,), (65,), (2, 3, 4)):
        assert reader.read(metric, reader.states(*shape)).shape == shape


def test_the_plain_runs_are_the_ends_of_the_metrics():
    reader = Reader()
    plain = States(torch.stack((reader.clean, reader.corrupted)), reader.unembedding)
    ends = {metric: reader.read(metric, plain) for metric in METRICS}
    np.testing.assert_allclose(ends["recovery"], [1, 0], atol=1e-6)
    assert ends["target_logit_change"][0] == 0
    assert ends["kl"][0] == pytest.approx(0, abs=1e-6)
    assert ends["kl"][1] > 0.1


def test_recovery_is_refused_where_the_runs_hardly_differ():
    reader = Reader()
    hardly = reader.clean + 1e-4
    text = (
        r"Recovery divides by the difference between the two runs, and here they hardly differ:"
        r" LD is -?\d+\.\d{4} on the clean and -?\d+\.\d{4} on the corrupted text\."
        r" Choose another target and foil, or another metric\."
    )
    with pytest.raises(UserError, match=text) as refusal:
        reader.read("recovery", reader.states(2), hardly)
    assert refusal.value.field == "metric"
    assert np.isfinite(reader.read("logit_diff", reader.states(2), hardly)).all()


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_can_be_written_out_with_both_tokens(metric):
    row = METRICS[metric]
    assert row.title and row.says
    assert not re.search("[{}]", row.formula.format(target="· Jones", foil="· Smith"))
