"""What can be patched: a table of sites, a new one being one row.

Names and meanings are TransformerLens's: `resid_pre`, `resid_mid` and `resid_post` are the
residual stream before, within and after a layer, `attn_out` and `mlp_out` what the two halves of
the layer add to it; a head's `q`, `k`, `v` and `pattern` make its `z`, which the output projection
turns into the head's part of `attn_out`.

Whatever is patched in a layer, what later layers see of it is a changed stream after that layer.
So a site is a function from the layer's activations on both runs (`core.engine.layer.Layer`) to
this stream. It is written here, without a tensor in sight, and called by the engine.
"""

from collections.abc import Callable
from dataclasses import dataclass

_BY_POSITION = ("layer", "position")
_BY_HEAD = ("layer", "head")


@dataclass(frozen=True)
class Site:
    """Something that can be patched.

    `axes` are what a sweep runs over; without "position", a patch covers all positions. `stream`
    takes the patched layer of the base and of the source and gives the stream after it, of the
    base with the source's activation put in: (1, T, C), or (H, T, C) for one of each head.
    """

    title: str
    axes: tuple[str, ...]
    stream: Callable
    before_layer: bool = False  # `stream` is the one before the layer instead
    window: bool = False  # whether neighbouring layers can be patched with it, all at once


SITES = {
    "resid_post": Site(
        "Residual stream",
        _BY_POSITION,
        lambda base, source: source.resid_post[None],
        window=True,
    ),
    "resid_mid": Site(
        # Position by position the MLP sees nothing else, so this is the same patch.
        "Stream, mid-layer",
        _BY_POSITION,
        lambda base, source: base.after_mlp(source.resid_mid[None]),
    ),
    "resid_pre": Site(
        "Stream, before",
        _BY_POSITION,
        lambda base, source: source.resid_pre[None],
        before_layer=True,
    ),
    "attn_out": Site(
        "Attention output",
        _BY_POSITION,
        lambda base, source: base.after_mlp((base.resid_pre + source.attn_out)[None]),
        window=True,
    ),
    "mlp_out": Site(
        "MLP output",
        _BY_POSITION,
        lambda base, source: (base.resid_mid + source.mlp_out)[None],
        window=True,
    ),
    "head_z": Site("Head output z", _BY_HEAD, lambda base, source: base.after_heads(source.z)),
    "head_q": Site(
        "Head query",
        _BY_HEAD,
        lambda base, source: base.after_heads(base.attention(q=source.q) @ base.v),
    ),
    "head_k": Site(
        "Head key",
        _BY_HEAD,
        lambda base, source: base.after_heads(base.attention(k=source.k) @ base.v),
    ),
    "head_v": Site(
        "Head value",
        _BY_HEAD,
        lambda base, source: base.after_heads(base.pattern @ source.v),
    ),
    "head_pattern": Site(
        "Head pattern",
        _BY_HEAD,
        lambda base, source: base.after_heads(source.pattern @ base.v),
    ),
    "head_z_position": Site(
        "Head z by position",
        ("layer", "head", "position"),
        lambda base, source: base.after_heads(source.z),
    ),
}
