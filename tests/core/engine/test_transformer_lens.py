"""Every site against TransformerLens's own patching functions, where it is installed."""

from pathlib import Path

import pytest
import torch

from core.engine.runs import record
from core.engine.sweep import Sweep
from core.reading.unembed import Unembedding
from tests import builders, hooked_gpt2

transformer_lens = pytest.importorskip(
    "transformer_lens", reason="TransformerLens is not installed: its requirements are not ours"
)

ROUNDING = 1e-4
TARGET, FOIL = 3, 8
THEIRS = {
    "resid_pre": "resid_pre",
    "attn_out": "attn_out",
    "mlp_out": "mlp_out",
    "head_z": "attn_head_out_all_pos",
    "head_q": "attn_head_q_all_pos",
    "head_k": "attn_head_k_all_pos",
    "head_v": "attn_head_v_all_pos",
    "head_pattern": "attn_head_pattern_all_pos",
    "head_z_position": "attn_head_out_by_pos",
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """TransformerLens's model and ours, of the same random weights."""
    from transformer_lens.model_bridge import TransformerBridge

    folder: Path = tmp_path_factory.mktemp("twins")
    ours = hooked_gpt2.twins(3, 2, 12)[1]
    theirs = hooked_gpt2.hugging_face(ours)  # which it changes
    theirs.set_attn_implementation("eager")
    theirs.config.save_pretrained(folder)
    builders.write_tokenizer(builders.tiny_encoder(), folder)  # it wants one; nobody will use it
    bridge = TransformerBridge.boot_transformers(str(folder), hf_model=theirs)
    bridge.enable_compatibility_mode(no_processing=True)
    return bridge, ours


@pytest.mark.parametrize("site", THEIRS)
@pytest.mark.parametrize("T", [2, 9])
def test_a_map_is_that_of_transformer_lens(pair, site, T):
    theirs, ours = pair
    base, source = hooked_gpt2.texts(T, 1)
    _, cache = theirs.run_with_cache(torch.tensor([source]))
    patch = getattr(transformer_lens.patching, f"get_act_patch_{THEIRS[site]}")
    with torch.no_grad():
        expected = patch(
            theirs,
            torch.tensor([base]),
            cache,
            lambda logits: logits[0, -1, FOIL] - logits[0, -1, TARGET],
        )
    if site == "head_z_position":
        expected = expected.movedim(1, 2)  # theirs is by layer, position, head
    sweep = Sweep(ours, *record(ours, base, source), site)
    for _ in sweep:
        pass
    found = sweep.states @ Unembedding(ours.lm_head.weight).difference(TARGET, FOIL)
    torch.testing.assert_close(found, expected, atol=ROUNDING, rtol=0)
