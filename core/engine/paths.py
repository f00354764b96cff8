"""Path patching: what comes of a sender's patch along its direct path into one receiver, exact.

A sender is a head's z, an MLP's output or the embedding, at all positions; a receiver is what the
last position is unembedded from, a head's query, key or value, or an MLP's input (Wang et al.
2022; Goldowsky-Dill et al. 2023). The plain way takes two hooked runs for each sender. Three facts
make that cheap, without any approximation:

- The stream is a sum. With all between them held at the base's, a sender changes what the receiver
  reads, before its LayerNorm, by exactly the change of what it adds to the stream. With the heads
  alone held, the change passes through the MLPs between, which work position by position.
- A head's new query, key or value changes the stream by what this one head adds to it, from the
  first position on that it reaches; from there on all senders' runs go through the blocks as one
  matrix (`core.engine.suffix`, `core.engine.last`). These are D directions of the stream's C, and
  LayerNorm but divides by one number what is linear in them: of the layer's own MLP the first
  product, too, is one of D numbers a row.
- Before the first position at which the texts differ nothing changes.

Shapes: T tokens, L layers, C channels, H heads of D = C / H channels; N senders; W positions of
the receiver's input, and S positions from the first of them to the end.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import torch
from torch.nn import functional as F

from core.engine import last, plan, suffix
from core.engine.layer import Ablated, Layer
from core.engine.runs import Run, check_ready, not_finite
from core.engine.sweep import sizes_of
from core.engine.work import block_work
from core.question.receivers import Receiver
from mingpt.model import GPT, Block, merge_heads, split_heads

Frozen = Literal["all", "heads"]
FROZEN: tuple[Frozen, ...] = get_args(Frozen)


class Paths:
    """`source`'s activations sent into `receiver` on `base`, one sender at a time.

    `source` is a run of as many tokens, or "zero" or "position_mean" to ablate, as in a `Sweep`.
    `frozen` says what is held at the base's values between the two: "all", or only the "heads".

    Of each sender's run the last position after the final LayerNorm: `heads` (L, H, C), `mlps`
    (L, C) and `embedding` (C,), views of `states`, of which the first `senders` come in time; NaN
    where it is not known yet and, for good, of senders that come too late for the receiver.
    Iterating computes them, and yields the fraction of the work that is done; whoever stops
    iterating cancels. Raises UserError for a model in training mode and, while iterating, for
    numbers that are not finite; ValueError for texts of unequal length, and for a receiver that
    the model or the text does not have.
    """

    def __init__(
        self,
        model: GPT,
        base: Run,
        source: Run | str,
        receiver: Receiver,
        frozen: Frozen = "all",
    ):
        check_ready(model)
        if frozen not in FROZEN:
            raise ValueError(f'frozen is "all" or "heads", not {frozen!r}')
        self.sizes, self.T = sizes_of(model), len(base.ids)
        _check(receiver, self.sizes, self.T)
        self.model, self.base, self.source = model, base, source
        self.receiver, self.frozen = receiver, frozen
        differ = 0 if isinstance(source, str) else plan.first_difference(base.ids, source.ids)
        self.positions = _positions(receiver, differ, self.T, self.sizes.L)
        # Senders in the order in which the network computes them, so that those which come before
        # the receiver are the first: the embedding, then of each layer the heads and the MLP.
        L, H = self.sizes.L, self.sizes.H
        self.layer = L if receiver.layer is None else receiver.layer
        self.senders: int = 1 + self.layer * (H + 1) + (H if receiver.kind == "mlp" else 0)
        self.states = base.state.new_full((1 + L * (H + 1), len(base.state)), torch.nan)
        if not self.positions:
            self.states[: self.senders] = base.state

    @property
    def embedding(self) -> torch.Tensor:
        return self.states[0]

    @property
    def heads(self) -> torch.Tensor:
        return self._by_layer[:, :-1]

    @property
    def mlps(self) -> torch.Tensor:
        return self._by_layer[:, -1]

    @property
    def _by_layer(self) -> torch.Tensor:
        return self.states[1:].view(self.sizes.L, self.sizes.H + 1, -1)

    def __iter__(self) -> Iterator[float]:
        return together([self])

    @property
    def reach(self) -> range:
        """The positions at which the stream after the receiver's layer changes; of the last layer
        what is read of them."""
        start, stop = self.positions.start, self.positions.stop
        if self.receiver.kind in ("k", "v", "qkv"):  # which later queries attend to
            stop = self.T
        return range(self.T - 1 if self.layer == self.sizes.L - 1 else start, stop)

    @property
    def passing(self) -> int:
        """How many rows go through MLPs between senders and receiver."""
        if self.frozen == "all":
            return 0
        H = self.sizes.H
        return len(self.positions) * sum((layer + 1) * (H + 1) for layer in range(self.layer))

    @property
    def rows(self) -> int:
        """How many go through a block, the receiver's or a later one."""
        S = self.T - self.reach.start
        return self.senders * S * max(1, self.sizes.L - self.layer) if self.positions else 0

    @property
    def work(self) -> int:
        """Floating-point operations, at the least (see `core.engine.work`)."""
        if not self.positions:
            return 0
        (L, C, M, H, _), new, T, S = self.sizes, len(self.reach), self.T, self.T - self.reach.start
        inside = 2 * C**2 * T + 4 * C * T**2  # what attention puts out on one run, all weights
        before = self.layer * (2 * inside + 2 * C**2 * len(self.positions))
        after = 0
        if self.receiver.kind != "logits":
            first = C // H if self.receiver.head is not None else C  # numbers that change in a row
            after = 2 * (first + C) * M * new
            for layer in range(self.layer + 1, L - 1):
                new_here = new if layer == self.layer + 1 else S
                after += block_work(C, M, T, self.reach.start, new_here)
            if self.layer < L - 1:
                after += last.work(C, M, H, T, S)
            before += inside
        if self.receiver.head is not None:
            before += 2 * C * M * (C // H + new + 1)
        return before + 4 * C * M * self.passing + self.senders * after

    def group(self) -> tuple:
        """What paths have in common of which the same arrives at the receivers."""
        source = self.source if isinstance(self.source, str) else id(self.source)
        return id(self.base), source, self.frozen, self.layer, self.senders, self.positions

    @property
    def memory(self) -> tuple[int, int]:
        """What the tensors take above the weights and the plain runs, in bytes: what stays to the
        end of all steps, and what is made in one of them."""
        (_, C, _, H, itemsize), T, W = self.sizes, self.T, len(self.positions)
        if not W:
            return self.states.nbytes, 0
        N = len(self.chunks(plan.WORKING_MEMORY)[0])
        mlp = 3 * itemsize * N * W * C + 8 * self.sizes.M * min(suffix.ROWS_IN_CACHE, N * W)
        changes = itemsize * W * C * (3 if self.frozen == "heads" else 2) * self.layer
        stays = self.states.nbytes + changes + itemsize * N * (self.buffer_size + W * C)
        inside = 4 * itemsize * T * C + (4 + 3 * itemsize) * H * T**2  # of base and source
        return stays, max(inside, mlp, N * self._step_bytes)

    @property
    def buffer_size(self) -> int:
        """How many numbers the largest tensors hold for each sender (see `core.engine.suffix`)."""
        S = self.T - self.positions.start
        return suffix.buffer_size(S, 1, self.T, self.sizes.C, self.sizes.M)

    @property
    def _step_bytes(self) -> int:
        """What the rest of a step takes for each sender, its stream included."""
        (_, C, _, H, itemsize), first = self.sizes, self.positions.start
        S, D = self.T - first, C // H
        # At the receiver the stream and what its LayerNorm and its MLP put out; or one head's
        # queries, keys and values, and its scores.
        here = 3 * itemsize * S * C + (4 * itemsize * D + 8 * S) * self.T
        if self.layer >= self.sizes.L - 1:  # there is no later block
            return here
        blocks = suffix.step_bytes(S, 1, first, self.T, C, H, itemsize)
        return max(here, itemsize * S * C + max(blocks, last.step_bytes(S, 1, self.T, C, H)))

    def chunks(self, budget: int) -> list[range]:
        """The senders in parts that take up `budget` bytes at the most, but one at least."""
        arriving = len(self.positions) * self.sizes.C
        own = self.sizes.itemsize * (arriving + self.buffer_size) + self._step_bytes
        some = max(1, budget // own)
        return [range(self.senders)[i : i + some] for i in range(0, self.senders, some)]

    def inside(self, layer: int) -> tuple[Layer, Layer | Ablated]:
        """What base and source hold inside a layer."""
        base = self.base.layer(self.model, layer)
        if isinstance(self.source, str):
            return base, Ablated(base, self.source)
        return base, self.source.layer(self.model, layer)


def together(paths: Sequence[Paths], budget: int | None = None) -> Iterator[float]:
    """Compute paths of one model, and yield the fraction of all their work that is done. What
    arrives at several receivers at the same place (a head's query, key and value) is computed
    once. `budget` is that of `plan.chunks`."""
    budget = plan.WORKING_MEMORY if budget is None else budget
    groups: dict[tuple, list[Paths]] = {}
    for each in paths:
        if each.positions:
            groups.setdefault(each.group(), []).append(each)
    total = sum(
        group[0].passing * 2 / 3 + sum(each.rows for each in group) for group in groups.values()
    )
    done = 0.0
    for group in groups.values():
        yield done / total
        for step in _group(group, budget):
            done += step
            yield min(done / total, 1.0)
    yield 1.0


def _group(group: list[Paths], budget: int) -> Iterator[float]:
    """Compute paths into receivers at one place, and yield how many rows each step took through a
    block, an MLP being two thirds of one."""
    changes, chunks = _Changes(group[0]), group[0].chunks(budget)
    buffer = group[0].base.state.new_empty(group[0].buffer_size * len(chunks[0]))
    for layer in range(len(changes.z)):
        changes.gather(layer)
        yield 0.0
    heads = {_head_of(each): each for each in group if each.receiver.head is not None}
    hidden = {key: _hidden(each) for key, each in heads.items()}
    for chunk in chunks:
        arriving = changes.embedding(chunk)
        for layer in range(len(changes.z)):
            yield changes.join(layer, chunk, arriving, buffer)
        for each in group:
            rows = float(len(chunk) * (each.T - each.reach.start))
            x, changed = _received(each, arriving, hidden.get(_head_of(each)), buffer)
            for layer in range(each.layer + 1, each.sizes.L):
                yield rows
                x = _step(each, layer, x, changed, buffer)
                changed = x.shape[1]
            _read(each, chunk, x)
            yield rows


class _Changes:
    """How the source's activations of all senders differ from the base's at the positions of a
    receiver's input, and what that makes of it."""

    @torch.inference_mode()
    def __init__(self, of: Paths):
        self._of = of
        W, (L, C, *_) = len(of.positions), of.sizes
        self._at = slice(of.positions.start, of.positions.stop)
        new = of.base.resid.new_empty
        self.z = new(min(L, of.layer + (of.receiver.kind == "mlp")), W, C)
        self.mlp_out = new(of.layer, W, C)
        self.mid = new(of.layer if of.frozen == "heads" else 0, W, C)  # the base's

    @torch.inference_mode()
    def gather(self, layer: int) -> None:
        base, source = self._of.inside(layer)
        self.z[layer] = merge_heads((source.z - base.z)[None, :, self._at])[0]
        if layer < len(self.mlp_out):
            self.mlp_out[layer] = (source.mlp_out - base.mlp_out)[self._at]
        if layer < len(self.mid):
            self.mid[layer] = base.resid_mid[self._at]

    @torch.inference_mode()
    def embedding(self, chunk: range) -> torch.Tensor:
        """Room for the changes of the stream by some senders, (N, W, C), with the embedding's."""
        changes = self.z.new_empty(len(chunk), *self.z.shape[1:])
        if 0 in chunk:
            base, source = self._of.inside(0)
            changes[0] = (source.resid_pre - base.resid_pre)[self._at]
        return changes

    @torch.inference_mode()
    def join(self, layer: int, chunk: range, changes: torch.Tensor, buffer: torch.Tensor) -> float:
        """Take changes (N, W, C) of the stream before a layer through it, and put in those of the
        senders in it. Gives how many rows of a block that took."""
        of, block = self._of, self._of.model.transformer.h[layer]
        first = 1 + layer * (of.sizes.H + 1)
        mlp = first + of.sizes.H
        begin, end = max(first, chunk.start), min(mlp, chunk.stop)
        if begin < end:
            z = split_heads(self.z[layer][None], of.sizes.H)[0]  # (H, W, D)
            weight = split_heads(block.attn.c_proj.weight[None], of.sizes.H)[0]  # (H, C, D)
            added = z @ weight.mT  # (H, W, C)
            changes[begin - chunk.start : end - chunk.start] = added[begin - first : end - first]
        passing = changes[: max(0, end - chunk.start)]
        work = 0.0
        if layer < len(self.mid) and len(passing):
            after = _after_mlp(block, passing + self.mid[layer], buffer)
            torch.sub(after, of.base.resid[layer + 1, self._at], out=passing)
            work = 2 / 3 * passing.shape[0] * passing.shape[1]
        if mlp in chunk and layer < len(self.mlp_out):
            changes[mlp - chunk.start] = self.mlp_out[layer]
        return work


@torch.inference_mode()
def _read(of: Paths, chunk: range, x: torch.Tensor) -> None:
    """Keep what the runs of some senders, whose stream after the last block is x, end in."""
    ends = of.model.transformer.ln_f(x[:, -1])
    if not ends.isfinite().all():
        raise not_finite(ends.dtype, "a patch")
    of.states[chunk.start : chunk.stop] = ends


@torch.inference_mode()
def _received(
    of: Paths, arrived: torch.Tensor, hidden: torch.Tensor | None, buffer: torch.Tensor
) -> tuple[torch.Tensor, int]:
    """The stream after the receiver's layer if its input has changed by `arrived` (N, W, C), from
    its first position to the end, (N, S, C), and at how many of these it has changed. `hidden` is
    what `_hidden` says of a head."""
    base, layer, at = of.base, of.layer, slice(of.positions.start, of.positions.stop)
    if of.receiver.kind == "logits":
        return base.resid[layer, at] + arrived, 1
    inside, block = base.layer(of.model, layer), of.model.transformer.h[layer]
    if hidden is None:
        x = block.ln_2(inside.resid_mid[at] + arrived).flatten(0, 1)
        new = suffix.mlp(block.mlp, x, buffer).view_as(arrived).add_(inside.resid_mid[at])
    else:
        new = _after_head(of, _change_of_z(of, arrived, inside), inside, hidden, buffer)
    if of.reach.stop == of.T:
        return new, new.shape[1]
    x = base.resid[layer + 1, of.reach.start :].repeat(len(arrived), 1, 1)
    x[:, : new.shape[1]] = new
    return x, new.shape[1]


def _change_of_z(of: Paths, arrived: torch.Tensor, inside: Layer) -> torch.Tensor:
    """By how much one head's output differs where the change of its query, key or value reaches:
    (N, reach, D)."""
    head, reach = of.receiver.head, of.reach
    at = slice(of.positions.start, of.positions.stop)
    attn = inside.block.attn
    D = inside.q.shape[-1]
    parts = [part[head][None, None] for part in (inside.q, inside.k, inside.v)]  # (1, 1, T, D)

    def z() -> torch.Tensor:
        N = max(map(len, parts))
        q, k, v = (part[:, :, : reach.stop].expand(N, -1, -1, -1) for part in parts)
        return suffix.mix(q[:, :, reach.start :], k, v, attn.scale)[:, 0]  # (N, reach, D)

    before = z()
    x = inside.block.ln_1(inside.resid_pre[at] + arrived)
    for kind in of.receiver.kind:
        number = "qkv".index(kind)
        row = number * len(attn.c_proj.weight) + head * D  # of query, key, value side by side
        new = F.linear(x, attn.c_attn.weight[row : row + D], attn.c_attn.bias[row : row + D])
        parts[number] = parts[number].repeat(len(x), 1, 1, 1)
        parts[number][:, 0, at] = new
    return z() - before


def _head_of(of: Paths) -> tuple:
    """What `_hidden` depends on, of paths that have the same arrive at one place."""
    return of.receiver.head, of.reach


@torch.inference_mode()
def _hidden(of: Paths) -> torch.Tensor:
    """What the MLP's hidden layer gets, (D + reach + 1, M): up to LayerNorm's division from each of
    a head's D directions, and from the base's stream in each position of the reach; and what is
    added after it."""
    block, inside = of.model.transformer.h[of.layer], of.base.layer(of.model, of.layer)
    ln, fc = block.ln_2, block.mlp.c_fc
    x = torch.cat([_written_by(of, block).T, inside.resid_mid[of.reach.start : of.reach.stop]])
    x = x.sub_(x.mean(-1, keepdim=True)).mul_(ln.weight)
    made = F.linear(torch.cat([x, ln.bias[None]]), fc.weight)
    made[-1] += fc.bias
    return made


def _written_by(of: Paths, block: Block) -> torch.Tensor:
    """What the receiver, a head, makes of its output z: (C, D)."""
    D = of.sizes.C // of.sizes.H
    return block.attn.c_proj.weight[:, of.receiver.head * D :][:, :D]


def _after_head(
    of: Paths, change: torch.Tensor, inside: Layer, hidden: torch.Tensor, buffer: torch.Tensor
) -> torch.Tensor:
    """The stream after the layer where one head's output has a `change` (N, reach, D):
    (N, reach, C)."""
    block, (N, S, D) = inside.block, change.shape
    M, eps = hidden.shape[1], block.ln_2.eps
    x = (change @ _written_by(of, block).T).add_(inside.resid_mid[of.reach.start : of.reach.stop])
    scale = torch.native_layer_norm(x, x.shape[2:], None, None, eps)[2].to(x.dtype)  # (N, reach, 1)
    out = buffer[: N * S * M].view(N * S, M)
    torch.addmm(hidden[-1], (change * scale).flatten(0, 1), hidden[:D], out=out)
    out.view(N, S, M).addcmul_(hidden[D:-1], scale)
    suffix.activate_(block.mlp.act, out)
    return x.add_(block.mlp.c_proj(out).view_as(x))


@torch.inference_mode()
def _step(
    of: Paths, layer: int, x: torch.Tensor, changed: int, buffer: torch.Tensor
) -> torch.Tensor:
    """The stream (N, S, C) after a block, of the last one that of the last position."""
    N, S, C = x.shape
    device, R = x.device, N * S
    run = torch.arange(N, device=device).repeat_interleave(S)
    position = torch.arange(of.T - S, of.T, device=device).repeat(N)
    new, before = slice(R), N
    if changed < S:  # the queries of the others are the base's
        new, before = (position < of.T - S + changed).nonzero()[:, 0], 0
    rows = suffix.Rows(run, position, None, N, before, of.T - S, new, slice(R))
    bases, block = of.base.qkv[layer][:, None], of.model.transformer.h[layer]
    if layer < of.sizes.L - 1:
        return suffix.step(block, x.view(R, C), rows, bases, buffer).view(N, S, C)
    z = last.attend(block.attn, block.ln_1(x).view(R, C), rows, bases)
    return suffix.after(block, x[:, -1], z, buffer)[:, None]


def _after_mlp(block: Block, x: torch.Tensor, buffer: torch.Tensor) -> torch.Tensor:
    """The stream after a block from that before its MLP, x (N, S, C), overwritten."""
    mlp_out = suffix.mlp(block.mlp, block.ln_2(x).flatten(0, 1), buffer)
    return x.add_(mlp_out.view_as(x))


def _positions(receiver: Receiver, differ: int, T: int, L: int) -> range:
    """Those at which the receiver's input can change, and a change of it the last position."""
    first, stop = differ, T
    if receiver.position is not None:
        first, stop = max(first, receiver.position), receiver.position + 1
    if receiver.kind == "logits" or (receiver.layer == L - 1 and receiver.kind in ("q", "mlp")):
        first = max(first, T - 1)  # nothing else is read
    return range(first, max(first, stop))


def _check(receiver: Receiver, sizes: plan.Sizes, T: int) -> None:
    given = (receiver.layer, sizes.L), (receiver.head, sizes.H), (receiver.position, T)
    if any(number is not None and not 0 <= number < size for number, size in given):
        raise ValueError(f"there is no {receiver} in this model and text")
