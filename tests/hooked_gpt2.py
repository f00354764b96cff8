"""Hugging Face's GPT-2 with hooks, as an oracle: another model, patched another way."""

from collections.abc import Callable, Iterable
from functools import cache
from itertools import product

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from core.question.components import Component
from core.question.sites import SITES
from mingpt.model import GPT
from mingpt.settings import SETTINGS
from tests.builders import UNUSUAL, random_gpt

TARGET, FOIL = 3, 8  # any two tokens of the small models
both_kinds = pytest.mark.parametrize("settings", [{}, UNUSUAL], ids=["GPT-2's", "unusual"])
Edit = tuple[str, int, Callable[[torch.Tensor], torch.Tensor]]
_TRANSPOSED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")


def hugging_face(ours: GPT) -> GPT2LMHeadModel:
    """Hugging Face's model with our weights."""
    of = ours.config
    config = GPT2Config(n_layer=of.n_layer, n_head=of.n_head, n_embd=of.n_embd)
    for name in SETTINGS:
        setattr(config, name, getattr(of, name))
    config.vocab_size, config.n_positions = of.vocab_size, of.block_size
    config.bos_token_id = config.eos_token_id = of.vocab_size - 1
    theirs = GPT2LMHeadModel(config).eval().requires_grad_(False)
    state = ours.state_dict()
    theirs.load_state_dict(
        {name: x.t() if name.endswith(_TRANSPOSED) else x for name, x in state.items()}
    )
    return theirs


@cache
def twins(L: int, H: int, C: int, **settings) -> tuple[GPT2LMHeadModel, GPT]:
    """Hugging Face's model and ours of the same random weights, which nobody may write to."""
    ours = random_gpt(L, H, C, **settings).requires_grad_(False)
    return hugging_face(ours), ours


def texts(T: int, first: int, seed: int = 1) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two texts that differ from `first` on."""
    V = 23  # tokens of the small models
    base = torch.randint(V, (T,), generator=torch.Generator().manual_seed(seed)).tolist()
    source = [(id + 1 + i % 2) % V if i >= first else id for i, id in enumerate(base)]
    return tuple(base), tuple(source)


def difference(logits: torch.Tensor) -> torch.Tensor:
    return logits[..., FOIL] - logits[..., TARGET]


def close(found: torch.Tensor | float, expected: torch.Tensor, atol: float = 1e-4) -> None:
    torch.testing.assert_close(torch.as_tensor(found), expected, atol=atol, rtol=0)


def hook_loop(
    model: GPT2LMHeadModel,
    base: tuple[int, ...],
    source: tuple[int, ...] | str,
    site: str = "resid_post",
    window: int = 0,
    embedding: bool = False,
) -> torch.Tensor:
    """The plain way to patch: one hooked run for each cell of the site's axes, and of each the last
    position's logits, (*axes, V). `source` is a text, or "zero" or "position_mean" to ablate;
    `window` and the `embedding` row are those of `core.engine.sweep.Sweep`."""
    hooked, axes = Hooked(model), SITES[site].axes

    def source_of(site: str) -> dict[int, torch.Tensor]:
        if not isinstance(source, str):
            return hooked.kept(source, site)
        return {layer: ablated(x, source, site) for layer, x in hooked.kept(base, site).items()}

    L = len(hooked.blocks)
    within = [range(max(0, layer - window), min(L, layer + window + 1)) for layer in range(L)]
    new = source_of(site)
    rows = [(site, layers, new) for layers in within]
    if embedding:
        rows.insert(0, ("resid_pre", [0], source_of("resid_pre")))
    positions = range(len(base)) if "position" in axes else [slice(None)]
    heads = [(h,) for h in range(hooked.heads)] if "head" in axes else [()]
    grid = []
    for (where, layers, new), head, position in product(rows, heads, positions):
        at = position, *head
        grid.append(hooked.run(base, [(where, layer, put(at, new[layer])) for layer in layers]))
    sizes = {"layer": len(rows), "head": len(heads), "position": len(positions)}
    return torch.stack(grid).view(*(sizes[axis] for axis in axes), -1)


def hooked_set(
    model: GPT2LMHeadModel,
    base: tuple[int, ...],
    source: tuple[int, ...] | str,
    components: Iterable[Component],
) -> torch.Tensor:
    """The last position's logits (V,) with all of a set patched in one run; those within others
    first. `source` is that of `hook_loop`."""
    hooked = Hooked(model)
    sites = {"head": "head_z", "attn": "attn_out", "mlp": "mlp_out"}
    sites |= {"resid": "resid_post", "embedding": "resid_pre"}
    edits = []
    for of in sorted(components, key=lambda of: list(sites).index(of.kind)):
        site, layer = sites[of.kind], max(of.layer, 0)
        if isinstance(source, str):
            new = ablated(hooked.kept(base, site)[layer], source, site)
        else:
            new = hooked.kept(source, site)[layer]
        at = slice(None) if of.position is None else of.position
        edits.append((site, layer, put((at, of.head) if of.kind == "head" else (at,), new)))
    return hooked.run(base, edits)


def put(at, new: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """A change of an activation: in the places `at` it becomes `new`."""

    def change(x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        x[at] = new[at]
        return x

    return change


def ablated(x: torch.Tensor, how: str, site: str) -> torch.Tensor:
    """What an ablation puts in for an activation x, positions first."""
    if how == "zero":
        return torch.zeros_like(x)
    mean = x.mean(dim=0, keepdim=True).expand_as(x)
    if site != "head_pattern":
        return mean
    mean = mean.transpose(0, 1).tril()  # (H, T, T), no query sees a later key
    return (mean / mean.sum(dim=-1, keepdim=True)).transpose(0, 1)


class Hooked:
    """Hugging Face's GPT-2 with a function put into any activation of any layer."""

    def __init__(self, model: GPT2LMHeadModel):
        self.model = model
        self.blocks = model.transformer.h
        self.heads = model.config.n_head

    def run(self, ids: tuple[int, ...], edits: Iterable[Edit] = ()) -> torch.Tensor:
        """The last position's logits (V,). An edit (site, layer, change) makes of an activation
        the one to go on with: (T, C), or of a head's site (T, H, D), of its pattern (T, H, T)."""
        hooks = [hook for edit in edits for hook in self._hooks(*edit)]
        logits = self.model(torch.tensor([ids])).logits[0, -1]
        for hook in hooks:
            hook.remove()
        return logits

    def kept(
        self, ids: tuple[int, ...], site: str, edits: Iterable[Edit] = ()
    ) -> dict[int, torch.Tensor]:
        """The activations of a run with `edits`, layer by layer."""
        kept = {}
        keep = [
            (site, layer, lambda x, layer=layer: kept.setdefault(layer, x.clone()))
            for layer in range(len(self.blocks))
        ]
        self.run(ids, [*edits, *keep])
        return kept

    def _hooks(self, site: str, layer: int, change: Callable) -> list:
        block = self.blocks[layer]
        attn, seen = block.attn, []

        def remember(x):
            return seen.append(x) or x

        def by_head(x):
            return change(x.unflatten(-1, (self.heads, -1))).flatten(1)

        def in_qkv(x):
            parts = dict(zip("qkv", x.chunk(3, dim=-1), strict=True))
            parts[site[-1]] = by_head(parts[site[-1]])
            return torch.cat([*parts.values()], dim=-1)

        def from_pattern(_):
            parts = seen[0].chunk(3, dim=-1)
            q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(0, 1) for x in parts)
            scores = q @ k.mT * attn.scaling
            later = torch.ones_like(scores).triu(1) > 0
            pattern = scores.masked_fill(later, -torch.inf).softmax(dim=-1)  # (H, T, T)
            pattern = change(pattern.transpose(0, 1)).transpose(0, 1)
            return (pattern @ v).transpose(0, 1).flatten(1)

        match site:
            case "resid_pre":
                return [_on_input(block, change)]
            case "resid_mid":  # what the attention would have to put out for it
                return [
                    _on_input(block, remember),
                    _on_output(attn, lambda x: change(seen[0] + x) - seen[0]),
                ]
            case "head_q" | "head_k" | "head_v":
                return [_on_output(attn.c_attn, in_qkv)]
            case "head_pattern":
                return [_on_output(attn.c_attn, remember), _on_input(attn.c_proj, from_pattern)]
            case "head_z" | "head_z_position":
                return [_on_input(attn.c_proj, by_head)]
        module = {"resid_post": block, "attn_out": attn, "mlp_out": block.mlp}[site]
        return [_on_output(module, change)]


def _on_input(module, change):
    return module.register_forward_pre_hook(lambda _, args: (change(args[0][0])[None], *args[1:]))


def _on_output(module, change):
    def replace(_, args, out):
        is_tuple = isinstance(out, tuple)
        return (change(out[0][0])[None], *out[1:]) if is_tuple else change(out[0])[None]

    return module.register_forward_hook(replace)
