"""The logit lens is Hugging Face's own end of the model, put after every layer."""

import pytest
import torch

from core.engine.runs import record
from core.reading import unembed
from core.reading.lens import logit_lens
from tests.builders import steps_of
from tests.hooked_gpt2 import Hooked, both_kinds, close, texts, twins

IDS = (3, 8, 20)


@pytest.mark.parametrize("tokens_at_once", [7, 8192])
@both_kinds
def test_every_row_is_the_end_of_gpt2_after_that_layer(monkeypatch, settings, tokens_at_once):
    monkeypatch.setattr(unembed, "_TOKENS_AT_ONCE", tokens_at_once)
    theirs, ours = twins(3, 2, 12, **settings)
    ids, hooked = texts(6, 1)[0], Hooked(theirs)
    streams = [hooked.kept(ids, "resid_pre")[0], *hooked.kept(ids, "resid_post").values()]
    expected = theirs.lm_head(theirs.transformer.ln_f(torch.stack(streams)))  # (L + 1, T, V)

    fractions, lens = steps_of(logit_lens(ours, *record(ours, ids), IDS))
    assert fractions == [0, 0.25, 0.5, 0.75]
    assert torch.equal(lens.top_ids, expected.argmax(dim=-1))
    close(lens.top_probs, expected.softmax(dim=-1).amax(dim=-1))
    close(lens.logits, expected[:, -1, IDS])
    last = expected[:, -1]
    ranks = [[1 + (row > row[id]).sum().item() for id in IDS] for row in last]
    assert lens.ranks.tolist() == ranks
