"""Path patching is three hooked passes of Hugging Face's GPT-2 for every sender, only quicker."""

import pytest
import torch

from core.engine.paths import Paths
from core.engine.runs import record
from core.question.receivers import parse
from tests.hooked_gpt2 import both_kinds, close, texts, twins
from tests.hooked_paths import hooked_paths

# layers, heads, channels, tokens, first differing position
CASES = [
    pytest.param(3, 2, 8, 5, 2, id="a difference in the middle"),
    pytest.param(2, 3, 12, 6, 0, id="three heads, a difference at the first position"),
    pytest.param(2, 1, 8, 1, 0, id="one token"),
    pytest.param(3, 2, 12, 12, 10, id="twelve tokens"),
]


def done(paths: Paths) -> Paths:
    for _ in paths:
        assert not torch.is_inference_mode_enabled()
    return paths


@pytest.mark.parametrize("frozen", ["all", "heads"])
@pytest.mark.parametrize("how", ["text", "zero", "mean"])
@pytest.mark.parametrize(("L", "H", "C", "T", "first"), CASES)
@both_kinds
def test_a_path_is_patched_as_with_hooks(settings, L, H, C, T, first, how, frozen):
    theirs, ours = twins(L, H, C, **settings)
    ids, other = texts(T, first)
    base, source = record(ours, ids, other)
    at, last = T // 2, L - 1
    written = ["logits", "mlp0", f"mlp{last}", f"mlp1@{at}", f"{last}.0", f"1.0@{at}"]
    written += [f"1.{H - 1}.{part}" for part in "qkv"] + [f"1.0.{part}@{at}" for part in "qkv"]
    for name in written:
        receiver = parse(name, L, H, T)
        expected = hooked_paths(theirs, ids, other if how == "text" else how, receiver, frozen)
        paths = done(Paths(ours, base, source if how == "text" else how, receiver, frozen))
        found = {("resid_pre", 0, None): paths.embedding}
        for layer in range(L):
            found |= {("head_z", layer, head): paths.heads[layer, head] for head in range(H)}
            found["mlp_out", layer, None] = paths.mlps[layer]
        for sender, state in found.items():
            if sender in expected:
                close(state @ ours.lm_head.weight.T, expected[sender])
            else:
                assert state.isnan().all(), (sender, name)
