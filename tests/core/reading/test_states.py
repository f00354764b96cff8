"""What takes the whole vocabulary is computed once for each state, when it is there."""

import numpy as np
import pytest
import torch

from core.question.metrics import METRICS
from core.reading.states import States, measure
from core.reading.unembed import Unembedding

V, C = 11, 5


@pytest.fixture
def asked(monkeypatch) -> list[int]:
    """How many states the whole vocabulary was gone through for, time by time."""
    counts, products = [], Unembedding._slices

    def counted(self, states):
        counts.append(states[..., 0].numel())
        return products(self, states)

    monkeypatch.setattr(Unembedding, "_slices", counted)
    return counts


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_vocabulary_is_gone_through_once_for_all_metrics_and_only_for_new_states(asked):
    read = Unembedding(random(V, C))
    clean, corrupted = (States(random(C, seed=seed), read) for seed in (1, 2))
    final = random(3, 4, C, seed=3)
    filling = torch.full_like(final, torch.nan)
    grid = States(filling, read)

    def all_metrics(known: int) -> None:
        for metric in (*METRICS, *METRICS):
            for target, foil in ((3, 7), (5, 2)):
                values = measure(metric, grid, clean, corrupted, target, foil)
                assert values.shape == (3, 4)
                assert np.isfinite(values).all(axis=1).tolist() == [row < known for row in range(3)]
                assert np.isnan(values).sum() == 4 * (3 - known)

    all_metrics(known=0)
    assert asked == [1, 1]  # log Z of the clean run, and its expected row
    del asked[:]
    for row, rows in enumerate(final):
        filling[row] = rows
        all_metrics(known=row + 1)
    assert asked == [4, 4, 4]


def test_of_some_of_many_states_every_metric_is_theirs_and_the_vocabulary_is_not_gone_through_again(
    asked,
):
    read, states = Unembedding(random(V, C)), random(6, C)
    every, order = States(states, read), torch.tensor([[4, 0], [4, 5]])
    for metric in METRICS:
        found = measure(metric, every.at(order), every.at(1), every.at(2), 3, 7)
        alone = (States(of, read) for of in (states[order], states[1], states[2]))
        np.testing.assert_allclose(found, measure(metric, *alone, 3, 7), atol=1e-6)
    del asked[:]
    for metric in METRICS:
        measure(metric, every.at(torch.arange(6)), every.at(0), every.at(3), 5, 2)
    assert not asked
