"""Every site, and paths from head to head, against TransformerLens's own patching functions, where
it is installed."""

import pytest
import torch

from core.engine.paths import Paths
from core.engine.runs import record
from core.engine.sweep import Sweep
from core.question.receivers import Receiver
from tests import builders, hooked_gpt2
from tests.benchmarks import peers
from tests.hooked_gpt2 import difference

transformer_lens = pytest.importorskip(
    "transformer_lens", reason="TransformerLens is not installed: its requirements are not ours"
)

THEIRS = {site: site for site in ("resid_pre", "attn_out", "mlp_out")}
THEIRS |= {f"head_{part}": f"attn_head_{part}_all_pos" for part in ("q", "k", "v", "pattern")}
THEIRS |= {"head_z": "attn_head_out_all_pos", "head_z_position": "attn_head_out_by_pos"}


@pytest.fixture(scope="module")
def pair():
    """TransformerLens's model and ours, of the same random weights."""
    ours = hooked_gpt2.twins(3, 2, 12)[1]
    theirs = hooked_gpt2.hugging_face(ours)  # which it changes
    theirs.set_attn_implementation("eager")
    return peers.transformer_lens(theirs), ours


@pytest.mark.parametrize("site", THEIRS)
@pytest.mark.parametrize("T", [2, 9])
def test_a_map_is_that_of_transformer_lens(pair, site, T):
    theirs, ours = pair
    base, source = hooked_gpt2.texts(T, 1)
    _, cache = theirs.run_with_cache(torch.tensor([source]))
    patch = getattr(transformer_lens.patching, f"get_act_patch_{THEIRS[site]}")
    with torch.no_grad():
        expected = patch(
            theirs, torch.tensor([base]), cache, lambda logits: difference(logits[0, -1])
        )
    if site == "head_z_position":
        expected = expected.movedim(1, 2)  # theirs is by layer, position, head
    states = builders.swept(Sweep(ours, *record(ours, base, source), site))
    hooked_gpt2.close(difference(states @ ours.lm_head.weight.T), expected)


@pytest.mark.parametrize("component", "qkv")
@pytest.mark.parametrize("T", [1, 9])
def test_paths_from_head_to_head_are_those_of_transformer_lens(pair, component, T):
    theirs, ours = pair
    base, source = hooked_gpt2.texts(T, T // 3)
    ids = torch.tensor([base])
    caches = [theirs.run_with_cache(torch.tensor([of]))[1] for of in (source, base)]
    patch = transformer_lens.patching.get_act_patch_direct_path_all_sources
    with torch.no_grad():  # by sender's layer and head, then by the receiver's
        expected = patch(
            theirs, ids, *caches, lambda logits: difference(logits[0, -1]), component, verbose=False
        )
    runs = record(ours, base, source)
    for layer, head in ((1, 0), (2, 1)):
        paths = Paths(ours, *runs, Receiver(component, layer, head))
        list(paths)
        found = difference(paths.heads @ ours.lm_head.weight.T)
        hooked_gpt2.close(found[:layer], expected[:layer, :, layer, head])
