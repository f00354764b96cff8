"""Every site, against Hugging Face's GPT-2 with hooks: another model, patched another way."""

from itertools import product

import pytest
import torch
from transformers import GPT2LMHeadModel

from core.engine import patching
from core.question.sites import SITES
from mingpt.model import GPT
from tests.hooked_gpt2 import Hooked, V, texts

ROUNDING = 1e-4
# layers, heads, channels, tokens, first differing position
CASES = [
    pytest.param(3, 2, 12, 7, 2, id="a difference in the middle"),
    pytest.param(2, 5, 20, 6, 0, id="five heads, a difference at the first position"),
    pytest.param(4, 1, 8, 5, 4, id="one head, a difference at the last position"),
    pytest.param(1, 2, 8, 1, 0, id="one layer, one token"),
]


def plain_loop(theirs: GPT2LMHeadModel, site: str, base, source, window: int = 0) -> torch.Tensor:
    """One hooked run of Hugging Face's model for each cell of the site's axes, (*axes, V)."""
    hooked = Hooked(theirs)
    kept = hooked.kept(source, site)
    axes = SITES[site].axes
    sizes = {"layer": len(hooked.blocks), "head": hooked.heads, "position": len(base)}

    def patched(cell: tuple[int, ...]) -> torch.Tensor:
        place = dict(zip(axes, cell, strict=True))

        def change(layer, x):
            if abs(layer - place["layer"]) > window:
                return x
            x = x.clone()
            at = (place.get("position", slice(None)), *([place["head"]] if "head" in place else []))
            x[at] = kept[layer][at]
            return x

        return hooked.run(base, site, change)

    cells = list(product(*(range(sizes[axis]) for axis in axes)))
    grid = torch.stack([patched(cell) for cell in cells])
    return grid.view(*(sizes[axis] for axis in axes), V)


def swept(ours: GPT, base, source, **options) -> torch.Tensor:
    runs = patching.begin(ours, base, source)
    *_, (_, states) = patching.sweep(ours, *runs, **options)
    return states @ ours.lm_head.weight.T


@pytest.mark.parametrize("site", [site for site in SITES if site != "resid_mid"])
@pytest.mark.parametrize(("L", "H", "C", "T", "first"), CASES)
def test_every_site_is_a_hooked_run_for_each_cell(twins, site, L, H, C, T, first):
    theirs, ours = twins(L, H, C)
    base, source = texts(T, first)
    for pair in ((base, source), (source, base)):
        expected = plain_loop(theirs, site, *pair)
        torch.testing.assert_close(swept(ours, *pair, site=site), expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("window", [1, 2, 9])
def test_a_window_patches_several_layers_at_once(twins, window):
    theirs, ours = twins(4, 2, 12)
    base, source = texts(6, 1)
    expected = plain_loop(theirs, "resid_post", base, source, window)
    found = swept(ours, base, source, window=window)
    torch.testing.assert_close(found, expected, atol=ROUNDING, rtol=0)
    assert (found - swept(ours, base, source)).abs().max() > 100 * ROUNDING


def test_sites_cut_into_chunks_are_the_same(twins, monkeypatch):
    _, ours = twins(3, 2, 12)
    base, source = texts(7, 1)
    whole = {site: swept(ours, base, source, site=site) for site in SITES}
    monkeypatch.setattr(patching, "WORKING_MEMORY", 5000)
    for site, expected in whole.items():
        found = swept(ours, base, source, site=site)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_stream_before_a_layer_is_the_stream_after_the_one_before(twins):
    _, ours = twins(3, 2, 12)
    base, source = texts(6, 1)
    before = swept(ours, base, source, site="resid_pre")
    after = swept(ours, base, source, embedding=True)
    torch.testing.assert_close(before, after[:-1], atol=1e-5, rtol=0)


def test_the_stream_before_the_mlp_decides_the_stream_after_it(twins):
    _, ours = twins(3, 2, 12)
    base, source = texts(6, 1)
    middle = swept(ours, base, source, site="resid_mid")
    torch.testing.assert_close(middle, swept(ours, base, source), atol=1e-5, rtol=0)


def test_with_one_head_patching_it_is_patching_the_attention_output(twins):
    _, ours = twins(3, 1, 12)
    base, source = texts(6, 2)
    head = swept(ours, base, source, site="head_z_position")[:, 0]
    attention = swept(ours, base, source, site="attn_out")
    torch.testing.assert_close(head, attention, atol=1e-5, rtol=0)


@pytest.mark.parametrize("how", ["zero", "mean"])
@pytest.mark.parametrize("site", ["attn_out", "mlp_out", "head_z", "resid_post"])
def test_an_ablation_puts_in_zeros_or_the_mean(twins, site, how):
    theirs, ours = twins(3, 2, 12)
    base, _ = texts(6, 1)
    hooked = Hooked(theirs)
    (run,) = patching.begin(ours, base)
    *_, (_, states) = patching.sweep(ours, run, how, site=site)
    found = states @ ours.lm_head.weight.T
    for cell in product(*map(range, found.shape[:-1])):

        def change(layer, x, cell=cell):
            if layer != cell[0]:
                return x
            put = torch.zeros_like(x) if how == "zero" else x.mean(0, keepdim=True).expand_as(x)
            x = x.clone()
            at = (slice(None), cell[1]) if site == "head_z" else cell[1]
            x[at] = put[at]
            return x

        expected = hooked.run(base, site, change)
        torch.testing.assert_close(found[cell], expected, atol=ROUNDING, rtol=0)
