"""Every part of Hugging Face's run, read through its final LayerNorm as that stands in the run."""

import pytest
import torch

from core.engine.runs import record
from core.reading.attribution import attribute
from tests.hooked_gpt2 import Hooked, texts, twins

TARGET, FOIL = 3, 8
L, H, C = 3, 5, 20


def test_the_parts_are_what_each_wrote_and_sum_to_the_logit_difference():
    theirs, ours = twins(L, H, C)
    ids, hooked, ln_f = texts(6, 1)[0], Hooked(theirs), theirs.transformer.ln_f
    difference = theirs.lm_head.weight[FOIL] - theirs.lm_head.weight[TARGET]
    std = (hooked.kept(ids, "resid_post")[L - 1][-1].var(unbiased=False) + ln_f.eps).sqrt()

    def through(part: torch.Tensor) -> torch.Tensor:
        return ((part - part.mean(dim=-1, keepdim=True)) / std * ln_f.weight) @ difference

    def last(site: str) -> torch.Tensor:
        return torch.stack([x[-1] for x in hooked.kept(ids, site).values()])

    weights = torch.stack([block.attn.c_proj.weight for block in hooked.blocks])  # (L, C in, C)
    heads = last("head_z")[..., None, :] @ weights.unflatten(1, (H, -1))  # (L, H, 1, C)
    found = attribute(ours, *record(ours, ids), TARGET, FOIL)
    for part, expected in (
        (found.heads, through(heads[:, :, 0])),
        (found.attention_bias, through(torch.stack([b.attn.c_proj.bias for b in hooked.blocks]))),
        (found.mlp, through(last("mlp_out"))),
        (torch.tensor(found.embedding), through(last("resid_pre")[0])),
        (torch.tensor(found.final_bias), ln_f.bias @ difference),
    ):
        torch.testing.assert_close(part, expected, atol=1e-4, rtol=0)

    logits = hooked.run(ids)
    parts = (found.heads, found.attention_bias, found.mlp)
    total = found.embedding + found.final_bias + sum(part.sum().item() for part in parts)
    assert total == pytest.approx((logits[FOIL] - logits[TARGET]).item(), abs=1e-4)
    assert found.total == pytest.approx(total, abs=1e-4)
