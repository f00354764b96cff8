"""Every site, against Hugging Face's GPT-2 with hooks: another model, patched another way."""

from itertools import product

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from core import lens, patching
from core.preview import head_preview
from core.sites import SITES
from mingpt.model import GPT

V, ROUNDING = 31, 1e-4
# layers, heads, channels, tokens, first differing position
CASES = [
    pytest.param(3, 2, 12, 7, 2, id="a difference in the middle"),
    pytest.param(2, 5, 20, 6, 0, id="five heads, a difference at the first position"),
    pytest.param(4, 1, 8, 5, 4, id="one head, a difference at the last position"),
    pytest.param(1, 2, 8, 1, 0, id="one layer, one token"),
]


@pytest.fixture
def models(tmp_path):
    """Makes Hugging Face's model and ours of the same random weights."""

    def make(L: int, H: int, C: int) -> tuple[GPT2LMHeadModel, GPT]:
        torch.manual_seed(0)
        config = GPT2Config(n_layer=L, n_head=H, n_embd=C, vocab_size=V, n_positions=16)
        config.bos_token_id = config.eos_token_id = V - 1
        config._attn_implementation = "eager"
        theirs = GPT2LMHeadModel(config).eval().requires_grad_(False)
        for parameter in theirs.parameters():
            parameter.normal_(std=0.3)
        theirs.save_pretrained(tmp_path)
        return theirs, GPT.from_pretrained(tmp_path).requires_grad_(False)

    return make


def texts(T: int, first: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    base = torch.randint(V, (T,), generator=torch.Generator().manual_seed(1)).tolist()
    source = [(id + 1 + i % 2) % V if i >= first else id for i, id in enumerate(base)]
    return tuple(base), tuple(source)


class Hooked:
    """Hugging Face's GPT-2 with a function put into any activation of any layer."""

    def __init__(self, model: GPT2LMHeadModel):
        self.model = model
        self.blocks = model.transformer.h
        self.heads = model.config.n_head

    def run(self, ids: tuple[int, ...], site: str, change) -> torch.Tensor:
        """The last position's logits, where `change(layer, activation)` gives the activation of
        `site` to go on with: (T, C), or (T, H, D) of a head's site."""
        hooks = [self._hook(block, site, layer, change) for layer, block in enumerate(self.blocks)]
        logits = self.model(torch.tensor([ids])).logits[0, -1]
        for hook in hooks:
            hook.remove()
        return logits

    def kept(self, ids: tuple[int, ...], site: str) -> dict[int, torch.Tensor]:
        kept = {}
        self.run(ids, site, lambda layer, x: kept.setdefault(layer, x.clone()))
        return kept

    def _hook(self, block, site, layer, change):
        def of(x):
            return change(layer, x)

        if site == "resid_pre":
            return block.register_forward_pre_hook(
                lambda _, args: (of(args[0][0])[None], *args[1:])
            )
        if site.startswith("head_z"):
            return block.attn.c_proj.register_forward_pre_hook(
                lambda _, args: (of(args[0][0].unflatten(-1, (self.heads, -1))).flatten(1)[None],)
            )
        if site in ("head_q", "head_k", "head_v", "head_pattern"):
            # The pattern is made of queries and keys, and of nothing else.
            parts = {"head_q": [0], "head_k": [1], "head_v": [2], "head_pattern": [0, 1]}[site]
            return block.attn.c_attn.register_forward_hook(
                lambda _, args, out: self._in_qkv(out, parts, layer, change)
            )
        module = {"resid_post": block, "attn_out": block.attn, "mlp_out": block.mlp}[site]

        def replace_output(_, args, out):
            first = out[0] if isinstance(out, tuple) else out
            new = of(first[0])[None]
            return (new, *out[1:]) if isinstance(out, tuple) else new

        return module.register_forward_hook(replace_output)

    def _in_qkv(self, out, parts, layer, change):
        qkv = out[0].unflatten(-1, (3, self.heads, -1))  # (T, 3, H, D)
        chosen = torch.stack([qkv[:, part] for part in parts], dim=-1)  # (T, H, D, parts)
        qkv = qkv.clone()
        for part, new in zip(parts, change(layer, chosen).unbind(-1), strict=True):
            qkv[:, part] = new
        return qkv.flatten(1)[None]


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
    runs = patching.record(ours, base, source)
    *_, (_, states) = patching.sweep(ours, *runs, **options)
    return states @ ours.lm_head.weight.T


@pytest.mark.parametrize("site", [site for site in SITES if site != "resid_mid"])
@pytest.mark.parametrize(("L", "H", "C", "T", "first"), CASES)
def test_every_site_is_a_hooked_run_for_each_cell(models, site, L, H, C, T, first):
    theirs, ours = models(L, H, C)
    base, source = texts(T, first)
    for pair in ((base, source), (source, base)):
        expected = plain_loop(theirs, site, *pair)
        torch.testing.assert_close(swept(ours, *pair, site=site), expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("window", [1, 2, 9])
def test_a_window_patches_several_layers_at_once(models, window):
    theirs, ours = models(4, 2, 12)
    base, source = texts(6, 1)
    expected = plain_loop(theirs, "resid_post", base, source, window)
    found = swept(ours, base, source, window=window)
    torch.testing.assert_close(found, expected, atol=ROUNDING, rtol=0)
    assert (found - swept(ours, base, source)).abs().max() > 100 * ROUNDING


def test_sites_cut_into_chunks_are_the_same(models, monkeypatch):
    _, ours = models(3, 2, 12)
    base, source = texts(7, 1)
    whole = {site: swept(ours, base, source, site=site) for site in SITES}
    monkeypatch.setattr(patching, "WORKING_MEMORY", 5000)
    for site, expected in whole.items():
        found = swept(ours, base, source, site=site)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_stream_before_a_layer_is_the_stream_after_the_one_before(models):
    _, ours = models(3, 2, 12)
    base, source = texts(6, 1)
    before = swept(ours, base, source, site="resid_pre")
    after = swept(ours, base, source, embedding=True)
    torch.testing.assert_close(before, after[:-1], atol=1e-5, rtol=0)


def test_the_stream_before_the_mlp_decides_the_stream_after_it(models):
    _, ours = models(3, 2, 12)
    base, source = texts(6, 1)
    middle = swept(ours, base, source, site="resid_mid")
    torch.testing.assert_close(middle, swept(ours, base, source), atol=1e-5, rtol=0)


def test_with_one_head_patching_it_is_patching_the_attention_output(models):
    _, ours = models(3, 1, 12)
    base, source = texts(6, 2)
    head = swept(ours, base, source, site="head_z_position")[:, 0]
    attention = swept(ours, base, source, site="attn_out")
    torch.testing.assert_close(head, attention, atol=1e-5, rtol=0)


@pytest.mark.parametrize("how", ["zero", "mean"])
@pytest.mark.parametrize("site", ["attn_out", "mlp_out", "head_z", "resid_post"])
def test_an_ablation_puts_in_zeros_or_the_mean(models, site, how):
    theirs, ours = models(3, 2, 12)
    base, _ = texts(6, 1)
    hooked = Hooked(theirs)
    (run,) = patching.record(ours, base)
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


def test_attributions_sum_to_the_logit_difference(models):
    _, ours = models(3, 5, 20)
    (run,) = patching.record(ours, texts(6, 1)[0])
    parts = lens.attribute(ours, run, target=3, foil=8)
    total = sum([parts.embedding, parts.final_bias]) + sum(
        part.sum().item() for part in (parts.heads, parts.attention_bias, parts.mlp)
    )
    logits = ours.lm_head(run.state)
    assert total == pytest.approx((logits[8] - logits[3]).item(), abs=ROUNDING)
    assert parts.total == pytest.approx(total, abs=ROUNDING)


def test_the_last_row_of_the_logit_lens_is_the_prediction(models):
    theirs, ours = models(3, 2, 12)
    ids = texts(6, 1)[0]
    (run,) = patching.record(ours, ids)
    seen = lens.logit_lens(ours, run, [3, 8])
    expected = theirs(torch.tensor([ids])).logits[0]
    assert torch.equal(seen.top_ids[-1], expected.argmax(-1))
    torch.testing.assert_close(seen.logits[-1], expected[-1][[3, 8]], atol=ROUNDING, rtol=0)
    ranks = [1 + (expected[-1] > expected[-1][id]).sum().item() for id in (3, 8)]
    assert seen.ranks[-1].tolist() == ranks


def test_the_attention_pattern_is_that_of_the_model(models):
    theirs, ours = models(2, 2, 12)
    ids = texts(6, 1)[0]
    (run,) = patching.record(ours, ids)
    expected = theirs(torch.tensor([ids]), output_attentions=True).attentions
    for layer, head in product(range(2), range(2)):
        found = lens.attention(ours, run, layer, head)
        torch.testing.assert_close(found, expected[layer][0, head], atol=1e-5, rtol=0)


def test_the_preview_is_the_slope_of_the_exact_map(models):
    """For a source close to the base, patching is linear, and the preview exact."""
    _, ours = models(3, 2, 12)
    base_ids, source_ids = texts(6, 1)
    base, source = patching.record(ours, base_ids, source_ids)
    near = type(base)(
        source.ids,
        base.resid + 0.05 * (source.resid - base.resid),
        base.keys,
        base.values,
        base.state,
    )
    *_, (_, states) = patching.sweep(ours, base, near, site="head_z")
    difference = ours.lm_head.weight[8] - ours.lm_head.weight[3]
    exact = states @ difference - base.state @ difference
    estimate = head_preview(ours, base, near, target=3, foil=8)
    assert exact.abs().max() > 1e-3
    torch.testing.assert_close(estimate, exact, atol=0.1 * exact.abs().max().item(), rtol=0)
