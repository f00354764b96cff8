"""A plain run is GPT-2's forward pass, kept; and one that cannot be used is refused in words."""

import re

import pytest
import torch

from core.engine.runs import record, recording, run_bytes
from core.engine.sweep import Sweep
from core.errors import UserError
from tests.builders import random_gpt, steps_of
from tests.hooked_gpt2 import Hooked, both_kinds, close, texts, twins

FLOAT16 = "float16 reaches no further than 65,504: load the model in bfloat16 or float32."
DAMAGED = "the weights are damaged, or hold values that are no numbers: load another copy."


TOGETHER = {
    "unlike from the second token on": texts(6, 1),
    "three that part one after the other": ((1, 2, 3, 4), (1, 2, 3, 5), (1, 2, 4, 4)),
    "one of which comes again": ((1, 2, 3), (2, 2, 3), (1, 2, 3)),
    "one": ((5, 5, 5, 5),),
}


@both_kinds
@pytest.mark.parametrize("together", TOGETHER.values(), ids=TOGETHER)
def test_runs_recorded_together_are_those_of_gpt2(settings, together):
    theirs, ours = twins(3, 2, 12, **settings)
    hooked = Hooked(theirs)
    for run, ids in zip(record(ours, *together), together, strict=True):
        assert run.ids == ids
        after = hooked.kept(ids, "resid_post")
        for layer in range(3):
            for i, site in enumerate(("head_q", "head_k", "head_v")):
                close(run.qkv[layer, i], hooked.kept(ids, site)[layer].transpose(0, 1))
            close(run.resid[layer], hooked.kept(ids, "resid_pre")[layer])
            close(run.resid[layer + 1], after[layer])
        close(run.state, theirs.transformer.ln_f(after[2][-1]))


def test_what_texts_have_in_common_at_their_beginning_is_computed_once():
    model, seen = random_gpt(2, 2, 8), []
    model.transformer.h[1].mlp.c_fc.register_forward_hook(lambda _, x, __: seen.append(len(x[0])))
    record(model, (1, 2, 3, 4), (1, 2, 3, 5), (1, 2, 4, 4), (3, 2, 1, 0))
    assert seen == [4 + 1 + 2 + 4]


@pytest.mark.parametrize("dtype", [torch.float, torch.bfloat16])
def test_recording_in_steps_says_how_much_is_done_and_what_the_runs_take_up(dtype):
    fractions, runs = steps_of(recording(random_gpt(3, 2, 8).to(dtype), *texts(6, 1)))
    assert fractions == pytest.approx([0, 1 / 3, 2 / 3])
    assert [run.nbytes for run in runs] == [run_bytes(3, 6, 8, dtype.itemsize)] * 2


def test_heads_attend_by_exact_scores_however_sharply():
    """Scores in half precision would be off by tenths."""
    model = random_gpt(3, 2, 32, seed=1)
    model.transformer.h[1].attn.c_attn.weight.data.mul_(5)
    (run,) = record(model.bfloat16(), (1, 2, 3, 4, 5))
    q, k, _ = run.qkv[1].double()
    scores = (q @ k.mT / 4).masked_fill(torch.ones(5, 5).triu(1) > 0, -torch.inf)
    found, expected = run.layer(model, 1).pattern.double(), scores.softmax(dim=-1)
    torch.testing.assert_close(found, expected, atol=0, rtol=2**-8)


def test_a_model_in_training_mode_is_refused_even_where_the_runs_are_recorded(gpt):
    (run,) = record(gpt, (1, 2))
    gpt.train()
    text = "training mode, in which dropout makes every run another one: call model.eval() first."
    for attempt in (lambda: record(gpt, (1, 2)), lambda: Sweep(gpt, run, run)):
        with pytest.raises(UserError, match=re.escape(text)) as refusal:
            attempt()
        assert refusal.value.field == "model"


@pytest.mark.parametrize(
    ("weight", "value", "dtype", "where"),
    [
        ("transformer.wte.weight", torch.nan, torch.float, "the embedding"),
        ("transformer.h.0.attn.c_attn.bias", torch.nan, torch.bfloat16, "layer 0"),
        ("transformer.h.1.mlp.c_fc.weight", torch.inf, torch.float, "layer 1"),
        ("transformer.ln_f.weight", torch.nan, torch.float, "the final LayerNorm"),
        ("transformer.h.1.mlp.c_proj.bias", 60_000, torch.half, "layer 2"),
    ],
)
def test_numbers_that_are_not_finite_are_one_clear_line(weight, value, dtype, where):
    model = random_gpt(3).to(dtype)
    with torch.no_grad():
        model.get_parameter(weight)[1].fill_(value)
        model.transformer.h[2].mlp.c_proj.bias[1] = 60_000 if dtype == torch.half else 0
    reason = FLOAT16 if dtype == torch.half else DAMAGED
    with pytest.raises(UserError) as refusal:
        record(model, (5, 2, 3), (3, 2, 1))
    assert str(refusal.value) == f"The model's numbers are not finite after {where}; {reason}"
    assert refusal.value.field == "model"
