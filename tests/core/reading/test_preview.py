"""Attribution patching: a base's logit difference, and Hugging Face's slope there."""

import pytest
import torch

from core.engine.runs import record
from core.reading.preview import head_preview
from tests.hooked_gpt2 import (
    FOIL,
    TARGET,
    Hooked,
    both_kinds,
    close,
    difference,
    hook_loop,
    texts,
    twins,
)

L, H, C = 3, 2, 12


@pytest.mark.parametrize("inference", [False, True])
@both_kinds
def test_the_preview_is_the_base_and_the_gradient_times_the_difference(settings, inference):
    theirs, ours = twins(L, H, C, **settings)
    base, source = texts(6, 1)
    hooked = Hooked(theirs)
    added = [torch.zeros(6, H, C // H, requires_grad=True) for _ in range(L)]
    edits = [("head_z", layer, lambda z, layer=layer: z + added[layer]) for layer in range(L)]
    logits = hooked.run(base, edits)
    gradients = torch.autograd.grad(difference(logits), added)
    other, own = hooked.kept(source, "head_z"), hooked.kept(base, "head_z")
    change = [((other[at] - own[at]) * gradients[at]).sum(dim=(0, 2)) for at in range(L)]
    expected = difference(logits) + torch.stack(change)

    with torch.inference_mode(inference):
        found = head_preview(ours, *record(ours, base, source), TARGET, FOIL)
    close(found, expected.detach())
    exact = difference(hook_loop(theirs, base, source, "head_z"))
    assert (exact - found).abs().max() > 1e-3  # it is an estimate
