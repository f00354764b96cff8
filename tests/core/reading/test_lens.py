"""Reading a run from inside: the lens ends in the prediction, the attributions sum to it."""

from itertools import product

import pytest
import torch

from core.engine import patching
from core.reading import lens
from tests.hooked_gpt2 import texts

ROUNDING = 1e-4


def test_attributions_sum_to_the_logit_difference(twins):
    _, ours = twins(3, 5, 20)
    (run,) = patching.record(ours, texts(6, 1)[0])
    parts = lens.attribute(ours, run, target=3, foil=8)
    total = sum([parts.embedding, parts.final_bias]) + sum(
        part.sum().item() for part in (parts.heads, parts.attention_bias, parts.mlp)
    )
    logits = ours.lm_head(run.state)
    assert total == pytest.approx((logits[8] - logits[3]).item(), abs=ROUNDING)
    assert parts.total == pytest.approx(total, abs=ROUNDING)


def test_the_last_row_of_the_logit_lens_is_the_prediction(twins):
    theirs, ours = twins(3, 2, 12)
    ids = texts(6, 1)[0]
    (run,) = patching.record(ours, ids)
    seen = lens.logit_lens(ours, run, [3, 8])
    expected = theirs(torch.tensor([ids])).logits[0]
    assert torch.equal(seen.top_ids[-1], expected.argmax(-1))
    torch.testing.assert_close(seen.logits[-1], expected[-1][[3, 8]], atol=ROUNDING, rtol=0)
    ranks = [1 + (expected[-1] > expected[-1][id]).sum().item() for id in (3, 8)]
    assert seen.ranks[-1].tolist() == ranks


def test_the_attention_pattern_is_that_of_the_model(twins):
    theirs, ours = twins(2, 2, 12)
    ids = texts(6, 1)[0]
    (run,) = patching.record(ours, ids)
    expected = theirs(torch.tensor([ids]), output_attentions=True).attentions
    for layer, head in product(range(2), range(2)):
        found = lens.attention(ours, run, layer, head)
        torch.testing.assert_close(found, expected[layer][0, head], atol=1e-5, rtol=0)
