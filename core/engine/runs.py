"""Plain runs: a forward pass that keeps what patched runs of it need.

Shapes: B texts of T tokens, L layers, C channels, H heads of D = C / H channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple, Self

import torch

from core.engine.layer import Ablated, Layer
from core.engine.suffix import Edit, no_edit
from core.errors import UserError
from core.steps import Steps, finish
from mingpt.model import GPT, Block, merge_heads


@dataclass(frozen=True, eq=False)
class Run:
    """A forward pass, kept. Of a patched one the ids have None where the patch was."""

    ids: tuple[int | None, ...]
    resid: torch.Tensor  # (L + 1, T, C) the residual stream before each block and after the last
    qkv: torch.Tensor  # (L, 3, H, T, D) queries, keys and values of every block
    state: torch.Tensor  # (C,) the last position after the final LayerNorm

    @property
    def nbytes(self) -> int:
        return self.resid.nbytes + self.qkv.nbytes + self.state.nbytes

    def layer(self, model: GPT, layer: int) -> Layer:
        """What the run holds inside a layer."""
        block = model.transformer.h[layer]
        return Layer(block, self.resid[layer], self.resid[layer + 1], self.qkv[layer])


@dataclass(frozen=True, eq=False)
class Replacement:
    """One kind of activation, and in each layer what is put in for it at some positions of a base.

    `layers` (L, ..., K, X) has it at K columns, whichever runs it is from; `at` says which of these
    a position takes, and at all others the base keeps its own. With `embedding` (K, C) the input of
    block 0 is replaced as well.
    """

    base: Run
    name: str  # as `Layer` calls it
    layers: torch.Tensor
    embedding: torch.Tensor | None
    at: dict[int, int]  # position -> column

    @property
    def first(self) -> int:
        """The position before which it changes nothing."""
        return min(self.at)

    def layer(self, model: GPT, layer: int) -> SimpleNamespace:
        """A layer of which there is what is replaced alone."""
        own = self.base.layer(model, layer)
        found = {self.name: self._put(getattr(own, self.name), self.layers[layer])}
        if layer == 0 and self.embedding is not None:
            found["resid_pre"] = self._put(own.resid_pre, self.embedding)
        return SimpleNamespace(**found)

    def _put(self, own: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        positions, from_columns = map(list, zip(*self.at.items(), strict=True))
        new = own.clone()  # (..., T, X)
        new[..., positions, :] = columns[..., from_columns, :].to(new)
        return new


def layer_of(
    model: GPT, base: Run, source: Run | Replacement | str, layer: int
) -> Layer | Ablated | SimpleNamespace:
    """What a source holds inside a layer: a run, a replacement, or "zero" or "position_mean", an
    ablation of the base."""
    if isinstance(source, str):
        return Ablated(base.layer(model, layer), source)
    return source.layer(model, layer)


def run_bytes(L: int, T: int, C: int, itemsize: int) -> int:
    """What a `Run` takes up, in bytes."""
    return itemsize * C * ((L + 1) * T + 3 * L * T + 1)


def run_block(
    block: Block, x: torch.Tensor, edit: Edit = no_edit
) -> tuple[tuple[torch.Tensor, ...], torch.Tensor, torch.Tensor]:
    """One block over whole texts, with its inside: from the stream (B, T, C) before it the
    queries, keys, values, and z, (B, H, T, D) each, and the stream after it (B, T, C). `edit`
    may write to each of them, to the stream between the two halves of the block, and to what these
    add to it."""
    qkv = block.attn.qkv(block.ln_1(x))
    for name, part in zip("qkv", qkv, strict=True):
        edit(name, part)
    z = block.attn.mix(*qkv)
    edit("z", z)
    return qkv, z, _after(block, x, merge_heads(z), edit)


def _after(block: Block, x: torch.Tensor, z: torch.Tensor, edit: Edit = no_edit) -> torch.Tensor:
    """The stream after a block, from that before it and its heads' outputs side by side: (..., C)
    each."""
    attn_out = block.attn.c_proj(z)
    edit("attn_out", attn_out)
    x = x + attn_out
    edit("resid_mid", x)
    mlp_out = block.mlp(block.ln_2(x))
    edit("mlp_out", mlp_out)
    x = x + mlp_out
    edit("resid_post", x)
    return x


class Beginnings(NamedTuple):
    """Texts that begin alike are alike inside as long as they do: R of their B T positions stand
    for all of them."""

    of: torch.Tensor  # (B, T) which of the R each position is as
    text: torch.Tensor  # (R,) the first text that has it
    position: torch.Tensor  # (R,)

    @classmethod
    def found(cls, texts: Sequence[tuple[int, ...]], device: torch.device) -> Self:
        known: dict[tuple[int, int], int] = {}  # what a token comes after, and the token
        of, first = [], []
        for text, ids in enumerate(texts):
            row = -1
            for position, id in enumerate(ids):
                row = known.setdefault((row, id), len(known))
                of.append(row)
                if row == len(first):
                    first.append((text, position))
        of = torch.tensor(of, device=device).view(len(texts), -1)
        return cls(of, *torch.tensor(first, device=device).T)


def record(model: GPT, *texts: tuple[int, ...]) -> list[Run]:
    """Run texts of equally many token ids through `model` together, keeping what a sweep needs.

    Raises UserError for a model in training mode, and for runs whose numbers are not finite.
    """
    return finish(recording(model, *texts))


def recording(model: GPT, *texts: tuple[int, ...]) -> Steps[list[Run]]:
    """`record`, block by block."""
    check_ready(model)
    with torch.inference_mode():
        x = model.embed(torch.tensor(texts, device=model.lm_head.weight.device))
        _check_finite("the embedding", x)
        resid, qkv = empty_runs(model, x, model.config.n_layer)
        resid[:, 0] = x
        alike = Beginnings.found(texts, x.device)
        x = x[alike.text, alike.position]  # (R, C)
    for layer, block in enumerate(model.transformer.h):
        yield layer / len(model.transformer.h)
        with torch.inference_mode():
            own = block.attn.c_attn(block.ln_1(x))  # (R, 3 C)
            heads = own.unflatten(-1, qkv.shape[2:4] + qkv.shape[5:])  # (R, 3, H, D)
            qkv[:, layer] = heads[alike.of].permute(0, 2, 3, 1, 4)
            z = block.attn.mix(*qkv[:, layer].unbind(1))  # (B, H, T, D)
            x = _after(block, x, z[alike.text, :, alike.position].flatten(1))
            resid[:, layer + 1] = x[alike.of]
            # The stream alone does not tell: torch's attention makes zeros of a query that is NaN.
            _check_finite(f"layer {layer}", x, own)
    with torch.inference_mode():
        states = model.transformer.ln_f(resid[:, -1, -1])
        _check_finite("the final LayerNorm", states)
        return [Run(*parts) for parts in zip(texts, resid, qkv, states, strict=True)]


def empty_runs(model: GPT, x: torch.Tensor, blocks: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where to keep the streams, and the queries, keys and values, of some blocks for texts whose
    stream is x (B, T, C): (B, blocks + 1, T, C) and (B, blocks, 3, H, T, D)."""
    (B, T, C), H = x.shape, model.config.n_head
    return x.new_empty(B, blocks + 1, T, C), x.new_empty(B, blocks, 3, H, T, C // H)


def check_ready(model: GPT) -> None:
    """Raise UserError for a model in training mode."""
    if model.training:
        raise UserError(
            "The model is in training mode, in which dropout makes every run another one: call"
            " model.eval() first.",
            "model",
        )


def _check_finite(where: str, *tensors: torch.Tensor) -> None:
    # A sum is finite only if all of it is, and takes a third of the time.
    if not all(tensor.sum(dtype=torch.float).isfinite() for tensor in tensors):
        raise not_finite(tensors[0].dtype, where)


def not_finite(dtype: torch.dtype, where: str) -> UserError:
    """What to say of numbers that are not finite, first seen in `where`."""
    if dtype == torch.float16:
        reason = "float16 reaches no further than 65,504: load the model in bfloat16 or float32."
    else:
        reason = "the weights are damaged, or hold values that are no numbers: load another copy."
    return UserError(f"The model's numbers are not finite after {where}; {reason}", "model")
