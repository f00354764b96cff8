"""Hugging Face's GPT-2 with hooks, as an oracle: another model, patched another way."""

from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from mingpt.model import GPT

V = 31


def twins(folder: Path, L: int, H: int, C: int) -> tuple[GPT2LMHeadModel, GPT]:
    """Hugging Face's model and ours of the same random weights, by way of a folder."""
    torch.manual_seed(0)
    config = GPT2Config(n_layer=L, n_head=H, n_embd=C, vocab_size=V, n_positions=16)
    config.bos_token_id = config.eos_token_id = V - 1
    config._attn_implementation = "eager"
    theirs = GPT2LMHeadModel(config).eval().requires_grad_(False)
    for parameter in theirs.parameters():
        parameter.normal_(std=0.3)
    theirs.save_pretrained(folder)
    return theirs, GPT.from_pretrained(folder).requires_grad_(False)


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
        hooks = [self.hook(block, site, layer, change) for layer, block in enumerate(self.blocks)]
        logits = self.model(torch.tensor([ids])).logits[0, -1]
        for hook in hooks:
            hook.remove()
        return logits

    def kept(self, ids: tuple[int, ...], site: str) -> dict[int, torch.Tensor]:
        kept = {}
        self.run(ids, site, lambda layer, x: kept.setdefault(layer, x.clone()))
        return kept

    def hook(self, block, site, layer, change):
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
