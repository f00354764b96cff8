"""Reading states through the unembedding: float32 products of whatever the model is rounded to."""

import numpy as np
import pytest
import torch

from core.reading import unembed
from core.reading.unembed import Unembedding

V, C, N = 700, 9, 5
DTYPES = [torch.float, torch.bfloat16, torch.half]


def states_and_rows(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """States (N, C) and an unembedding (V, C) whose logits are near -70, as GPT-2's are."""
    generator = torch.Generator().manual_seed(0)
    states, rows = (torch.randn(n, C, generator=generator) for n in (N, V))
    states[:, 0], rows[:, 0] = 7, -10
    return states.to(dtype), rows.to(dtype)


@pytest.fixture(params=[1, 64, 699, 8192])
def tokens_at_once(request, monkeypatch) -> int:
    """Slices of the vocabulary, and few states at a time, change nothing."""
    monkeypatch.setattr(unembed, "_TOKENS_AT_ONCE", request.param)
    monkeypatch.setattr(unembed, "_STATES_AT_ONCE", 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_everything_read_is_that_of_exact_products(tokens_at_once, dtype):
    states, rows = states_and_rows(dtype)
    read, exact = Unembedding(rows), (states.double() @ rows.double().T).numpy()  # (N, V)
    log_z = np.log(np.exp(exact).sum(axis=1))
    order = (-exact).argsort(axis=1, kind="stable")

    def close(found, expected):
        assert found.dtype == torch.float
        np.testing.assert_allclose(found, expected, atol=2e-4)

    close(read.logits(states), exact)
    close(read.rows(3, 8) @ states[0].float(), exact[0, [3, 8]])
    close(read.difference(3, 8) @ states[0].float(), exact[0, 8] - exact[0, 3])
    close(read.log_z(states), log_z)
    ids, probs = read.likeliest(states)
    assert ids.tolist() == order[:, 0].tolist()
    close(probs, np.exp(exact.max(axis=1) - log_z))
    weighted = np.exp(exact - log_z[:, None]) @ rows.double().numpy()
    close(read.expected_rows(states, read.log_z(states)), weighted)
    for state, best in zip(states, order, strict=True):
        ranks = read.ranks(state)
        assert ranks[best[:20]].tolist() == list(range(1, 21))
        assert sorted(ranks.tolist()) == list(range(1, V + 1))
    if dtype != torch.float:  # rounded products would have mixed up the order
        assert ((states @ rows.T).topk(20).indices.numpy() != order[:, :20]).any()


def test_of_equals_the_lower_id_comes_first(tokens_at_once):
    """In the table of ranks, and where one token alone is asked for."""
    read = Unembedding(torch.ones(V, C))
    assert read.ranks(torch.ones(C)).tolist() == list(range(1, V + 1))
    assert read.likeliest(torch.ones(2, C))[0].tolist() == [0, 0]
