"""Joint patches: of a run any set of components at once as they are on another, exact.

All else is computed anew from the first component on. While both texts have the same tokens, both
have the same activations, so that only positions from the first difference on are computed; before
it, a run attends to the base's keys and values. All runs under way go through a block as one
matrix.

Shapes: T tokens, S of them from the first difference on; N runs; C channels, H heads of D = C / H
channels.
"""

from collections.abc import Collection, Iterator, Sequence

import torch

from core.engine import plan, suffix
from core.engine.layer import Ablated, Layer
from core.engine.runs import Run, check_ready, not_finite
from core.engine.sweep import sizes_of
from core.engine.work import block_work
from core.question.components import Component
from mingpt.model import GPT, merge_heads, split_heads


class Joint:
    """`source`'s activations put into `base`, a set of components at a time, all of a set at once.

    `source` is a run of as many tokens, or "zero" or "mean" to ablate, as in a `Sweep`. Of each
    set's run `states` (N, C) has the last position after the final LayerNorm, NaN where it is not
    known yet. Where a set holds a cell of the stream and components after it, all of them hold.
    What is `held` of each set's run, if anything is, stays as on the base whatever is put in.

    Iterating computes them, and yields the fraction of the work that is done. Raises UserError for
    a model in training mode and, while iterating, for numbers that are not finite; ValueError for
    texts of unequal length.
    """

    def __init__(
        self,
        model: GPT,
        base: Run,
        source: Run | str,
        sets: Sequence[Collection[Component]],
        held: Sequence[Collection[Component]] = (),
    ):
        check_ready(model)
        self.sizes, self.T = sizes_of(model), len(base.ids)
        self.model, self.base, self.source, self.sets = model, base, source, list(sets)
        self.held = list(held) or [()] * len(self.sets)
        ablation = isinstance(source, str)
        self.first = 0 if ablation else plan.first_difference(base.ids, source.ids)
        self.states = base.state.new_full((len(self.sets), len(base.state)), torch.nan)
        # The layer in which each run begins; until then it is the base. Those under way are the
        # first rows of the matrix.
        differ = self.first < self.T
        self._starts = {
            i: min(component.layer for component in components)
            for i, components in enumerate(self.sets)
            if differ and components
        }
        self._order = sorted(self._starts, key=self._starts.__getitem__)
        self.states[[i for i in range(len(self.sets)) if i not in self._starts]] = base.state

    @property
    def work(self) -> int:
        """Floating-point operations, at the least (see `core.engine.work`)."""
        (L, C, M, _, _), S = self.sizes, self.T - self.first
        return sum(
            block_work(C, M, self.T, self.first, S, last=layer == L - 1)
            for start in self._starts.values()
            for layer in range(start, L)
        )

    @property
    def memory(self) -> tuple[int, int]:
        """What stays to the end, and what the largest chunk takes, in bytes."""
        some = max((len(chunk) for chunk in self._chunks()), default=0)
        return self.states.nbytes, some * self._bytes_a_run

    @property
    def _bytes_a_run(self) -> int:
        (_, C, M, H, itemsize), S, T = self.sizes, self.T - self.first, self.T
        stream = itemsize * S * (4 * C + max(3 * C, M)) + itemsize * 2 * T * C
        return stream + suffix.step_bytes(S, 1, self.first, T, C, H, itemsize)

    def _chunks(self) -> list[list[int]]:
        some = max(1, plan.WORKING_MEMORY // self._bytes_a_run)
        return [self._order[i : i + some] for i in range(0, len(self._order), some)]

    def __iter__(self) -> Iterator[float]:
        L, done = self.sizes.L, 0
        total = sum(L - start for start in self._starts.values()) or 1
        for chunk in self._chunks():
            x = self.base.resid[0, self.first :].new_empty(0)
            for layer in range(self._starts[chunk[0]], L):
                yield done / total
                under_way = [i for i in chunk if self._starts[i] <= layer]
                with torch.inference_mode():
                    x = self._joined(x, under_way, layer)
                    x = self._block(x, under_way, layer)
                done += len(under_way)
            with torch.inference_mode():
                ends = self.model.transformer.ln_f(x[:, -1])
                if not ends.isfinite().all():
                    raise not_finite(ends.dtype, "a patch")
                self.states[chunk] = ends
        yield 1.0

    def _joined(self, x: torch.Tensor, under_way: list[int], layer: int) -> torch.Tensor:
        """The stream before a layer (N, S, C) with that of the runs that begin there."""
        new = under_way[len(x) :]
        stream = self.base.resid[layer, self.first :].expand(len(new), -1, -1).clone()
        if layer == 0:
            base, source = self._inside(0)
            self._put(stream, new, "embedding", 0, base.resid_pre, source.resid_pre)
        return torch.cat([x, stream]) if len(x) else stream

    def _block(self, x: torch.Tensor, under_way: list[int], layer: int) -> torch.Tensor:
        block, (base, source) = self.model.transformer.h[layer], self._inside(layer)
        attn, N, first, H = block.attn, len(x), self.first, self.sizes.H
        is_last = layer == self.sizes.L - 1
        read = slice(-1, None) if is_last else slice(None)  # of the last block the last position
        qkv = attn.c_attn(block.ln_1(x))  # (N, S, 3 C)
        q, *kv = (split_heads(part, H) for part in qkv.chunk(3, dim=-1))  # (N, H, S, D)
        before = (part[None, :, :first].expand(N, -1, -1, -1) for part in (base.k, base.v))
        k, v = (torch.cat(both, dim=2) for both in zip(before, kv, strict=True))  # (N, H, T, D)
        z = suffix.mix(q[:, :, read], k, v, attn.scale)  # (N, H, S, D)
        for i, one, at, is_held in self._components(under_way, "head", layer, read):
            z[i, one.head, at[0]] = (base if is_held else source).z[one.head, at[1]]
        attn_out = attn.c_proj(merge_heads(z))
        if self._has(under_way, "attn", layer):
            self._put(attn_out, under_way, "attn", layer, base.attn_out, source.attn_out, read)
        x = x[:, read] + attn_out  # resid_mid
        mlp_out = block.mlp(block.ln_2(x))
        if self._has(under_way, "mlp", layer):
            self._put(mlp_out, under_way, "mlp", layer, base.mlp_out, source.mlp_out, read)
        x = x + mlp_out
        if self._has(under_way, "resid", layer):
            self._put(x, under_way, "resid", layer, base.resid_post, source.resid_post, read)
        return x

    def _put(
        self,
        x: torch.Tensor,
        runs: list[int],
        kind: str,
        layer: int,
        old: torch.Tensor,
        new: torch.Tensor,
        read: slice = slice(None),
    ) -> None:
        """Into x (N, S', C) of the positions that are read, what the source has, new (T, C), or of
        what is held the base, old (T, C)."""
        for i, _, at, is_held in self._components(runs, kind, layer, read):
            x[i, at[0]] = (old if is_held else new)[at[1]]

    def _components(
        self, runs: list[int], kind: str, layer: int, read: slice
    ) -> Iterator[tuple[int, Component, tuple[slice, slice], bool]]:
        """The components of a kind in a layer that are computed: the number of the run, the
        component, where it is among the positions that are read and among all, and whether it is
        held."""
        positions = range(self.first, self.T)[read]
        for i, number in enumerate(runs):
            for components, is_held in ((self.sets[number], False), (self.held[number], True)):
                for one in components:
                    if (one.kind, one.layer) != (kind, layer):
                        continue
                    if one.position is None:
                        at = slice(None), slice(positions.start, positions.stop)
                        yield i, one, at, is_held
                    elif one.position in positions:
                        within = one.position - positions.start
                        at = slice(within, within + 1), slice(one.position, one.position + 1)
                        yield i, one, at, is_held

    def _has(self, runs: list[int], kind: str, layer: int) -> bool:
        asked = (kind, layer)
        of = (c for number in runs for c in (*self.sets[number], *self.held[number]))
        return any((one.kind, one.layer) == asked for one in of)

    def _inside(self, layer: int) -> tuple[Layer, Layer | Ablated]:
        """What base and source hold inside a layer."""
        base = self.base.layer(self.model, layer)
        if isinstance(self.source, str):
            return base, Ablated(base, self.source)
        return base, self.source.layer(self.model, layer)
