"""What became of a patch, against hooked runs of Hugging Face's GPT-2 and against whole sweeps."""

from itertools import product

import pytest
import torch

from core.engine import patching
from core.reading.trace import PARTS, trace
from tests.hooked_gpt2 import Hooked, texts

ROUNDING = 1e-4
TARGET, FOIL = 3, 8
LAYERS, POSITIONS = 3, 6


@pytest.fixture
def pair(twins):
    """Hugging Face's model, ours, and the plain runs of a text pair."""
    theirs, ours = twins(LAYERS, 2, 12)
    return theirs, ours, *patching.record(ours, *texts(POSITIONS, 1))


def logit_difference(ours, states: torch.Tensor) -> torch.Tensor:
    return states @ (ours.lm_head.weight[FOIL] - ours.lm_head.weight[TARGET])


def swept(ours, base, source, site: str, **options) -> torch.Tensor:
    *_, (_, states) = patching.sweep(ours, base, source, site=site, **options)
    return logit_difference(ours, states)


@pytest.mark.parametrize("site", ["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"])
def test_a_patched_run_ends_as_its_cell(pair, site):
    _, ours, base, source = pair
    *_, (_, states) = patching.sweep(ours, base, source, site=site)
    for layer, position in product(range(LAYERS), range(POSITIONS)):
        options = {"site": site, "layer": layer, "position": position}
        run = patching.record_patched(ours, base, source, **options)
        torch.testing.assert_close(run.state, states[layer, position], atol=1e-5, rtol=0)


def test_a_patched_run_is_that_of_gpt2_at_every_layer(pair):
    theirs, ours, base, source = pair
    hooked = Hooked(theirs)
    run = patching.record_patched(ours, base, source, site="resid_post", layer=1, position=2)
    streams = hooked.kept(source.ids, "resid_post")
    expected = {}

    def change(layer, x):
        if layer == 1:
            x = x.clone()
            x[2] = streams[1][2]
        expected[layer] = x
        return x

    hooked.run(base.ids, "resid_post", change)
    for layer, stream in expected.items():
        torch.testing.assert_close(run.resid[layer + 1], stream, atol=ROUNDING, rtol=0)


def test_layer_by_layer_a_patch_parts_from_its_base_and_ends_in_its_cell(pair):
    _, ours, base, source = pair
    followed = trace(ours, base, source, 0, 1, TARGET, FOIL)
    by_layer = followed.by_layer
    assert torch.equal(by_layer["patched"][:2], by_layer["base"][:2])  # embedding and layer 0
    assert (by_layer["patched"][2:] != by_layer["base"][2:]).all()
    cell = swept(ours, base, source, "resid_post")[0, 1].item()
    assert by_layer["patched"][-1].item() == pytest.approx(cell, abs=1e-5)
    assert followed.patched == pytest.approx(cell, abs=1e-5)
    plain = [logit_difference(ours, run.state).item() for run in (base, source)]
    assert [by_layer[name][-1].item() for name in ("base", "source")] == pytest.approx(plain)
    assert followed.base == pytest.approx(plain[0])


def test_the_parts_are_the_cells_of_their_own_maps(pair):
    _, ours, base, source = pair
    for layer, position in product(range(LAYERS), range(POSITIONS)):
        parts = trace(ours, base, source, layer, position, TARGET, FOIL).parts
        assert tuple(parts) == PARTS
        for site, value in parts.items():
            expected = swept(ours, base, source, site)[layer, position].item()
            assert value == pytest.approx(expected, abs=1e-5)


def test_the_embedding_has_readers_but_no_parts(pair):
    _, ours, base, source = pair
    followed = trace(ours, base, source, -1, 1, TARGET, FOIL)
    cell = swept(ours, base, source, "resid_post", embedding=True)[0, 1].item()
    assert followed.patched == pytest.approx(cell, abs=1e-5)
    assert followed.parts == {}
    assert (followed.readers[0] != followed.base).all()


def test_a_reader_is_one_head_as_it_is_in_the_patched_run(pair):
    """Path patching with hooks: keep every head's z of the patched run, put one into the base."""
    theirs, ours, base, source = pair
    hooked, layer, position = Hooked(theirs), 0, 1
    stream = hooked.kept(source.ids, "resid_post")[layer]

    def patched(at, x):
        if at == layer:
            x = x.clone()
            x[position] = stream[position]
        return x

    kept = {}
    hooks = [
        hooked.hook(block, "head_z", at, lambda at, x: kept.setdefault(at, x.clone()))
        for at, block in enumerate(hooked.blocks)
    ]
    hooked.run(base.ids, "resid_post", patched)
    for hook in hooks:
        hook.remove()

    readers = trace(ours, base, source, layer, position, TARGET, FOIL).readers
    for reader, head in product(range(LAYERS), range(2)):

        def one_head(at, z, reader=reader, head=head):
            if at == reader:
                z = z.clone()
                z[:, head] = kept[at][:, head]
            return z

        logits = hooked.run(base.ids, "head_z", one_head)
        expected = (logits[FOIL] - logits[TARGET]).item()
        assert readers[reader, head].item() == pytest.approx(expected, abs=ROUNDING)
    assert (readers[layer + 1 :] - readers[0, 0]).abs().max() > 100 * ROUNDING


def test_an_ablation_can_be_followed_too(pair):
    _, ours, base, _ = pair
    followed = trace(ours, base, "zero", 1, 2, TARGET, FOIL)
    assert set(followed.by_layer) == {"base", "patched"}
    expected = swept(ours, base, "zero", "resid_post")[1, 2].item()
    assert followed.patched == pytest.approx(expected, abs=1e-5)
