"""Every part of Hugging Face's run, read through its final LayerNorm as that stands in the run."""

import torch

from core.engine.runs import record
from core.reading.attribution import attribute
from tests.hooked_gpt2 import FOIL, TARGET, Hooked, both_kinds, close, difference, texts, twins

L, H, C = 3, 5, 20


@both_kinds
def test_the_parts_are_what_each_wrote_and_sum_to_the_logit_difference(settings):
    theirs, ours = twins(L, H, C, **settings)
    ids, hooked, ln_f = texts(6, 1)[0], Hooked(theirs), theirs.transformer.ln_f
    direction = difference(theirs.lm_head.weight.T)
    std = (hooked.kept(ids, "resid_post")[L - 1][-1].var(unbiased=False) + ln_f.eps).sqrt()

    def through(part: torch.Tensor) -> torch.Tensor:
        return ((part - part.mean(dim=-1, keepdim=True)) / std * ln_f.weight) @ direction

    def last(site: str) -> torch.Tensor:
        return torch.stack([x[-1] for x in hooked.kept(ids, site).values()])

    weights = torch.stack([block.attn.c_proj.weight for block in hooked.blocks])  # (L, C in, C)
    heads = last("head_z")[..., None, :] @ weights.unflatten(1, (H, -1))  # (L, H, 1, C)
    found = attribute(ours, *record(ours, ids), TARGET, FOIL)
    for part, expected in (
        (found.heads, through(heads[:, :, 0])),
        (found.attention_bias, through(torch.stack([b.attn.c_proj.bias for b in hooked.blocks]))),
        (found.mlp, through(last("mlp_out"))),
        (found.embedding, through(last("resid_pre")[0])),
        (found.final_bias, ln_f.bias @ direction),
    ):
        close(part, expected)
    parts = (found.heads, found.attention_bias, found.mlp)
    total = found.embedding + found.final_bias + sum(part.sum().item() for part in parts)
    for each in (total, found.total):
        close(each, difference(hooked.run(ids)))
