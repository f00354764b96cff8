"""How fast is the sweep here? Measured on the user's own machine, against what is possible on it.

Everything is timed in turns in one process, since machines are noisy, and compared by ratios: the
sweep, both plain runs in it, the plain loop of one forward pass for each cell, and this machine's
rate of float32 matrix products, for the products a sweep is made of and for large square ones.
"""

import random
import statistics
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import torch
from torch.nn import functional as F

from core.checks.plain_loop import PlainLoop
from core.engine import plan
from core.engine.pack import Pack
from core.engine.plan import Plan
from core.engine.runs import record, run_bytes
from core.engine.sweep import Sweep, sizes_of
from core.engine.work import plain_work
from core.errors import UserError
from mingpt.model import GPT, MODEL_TYPES

_GPT2_VOCABULARY, _GPT2_BLOCK = 50257, 1024
_LARGE = 2048  # rows and columns of a large product
_PLAIN_CELLS_A_ROUND = 2


def random_model(size: str) -> GPT:
    """A model of a released size with random weights, to measure without a download."""
    if size not in MODEL_TYPES:
        raise UserError(f"There is no size {size!r}: choose {', '.join(MODEL_TYPES)}.", "model")
    config = GPT.get_default_config()
    config.model_type = size
    config.vocab_size, config.block_size = _GPT2_VOCABULARY, _GPT2_BLOCK
    gpt = GPT(config).eval().requires_grad_(False)
    for parameter in gpt.transformer.h.parameters():
        if parameter.dim() == 2:  # in memory as the released files have it, the input first
            parameter.data = parameter.data.t().contiguous().t()
    return gpt


def texts(gpt: GPT, tokens: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Random clean and corrupted ids that part at position 1, or 0 if there is no other. Raises
    UserError for a number of tokens the model cannot read."""
    if not 1 <= tokens <= gpt.block_size:
        raise UserError(f"This model reads 1 to {gpt.block_size} tokens, not {tokens}.", "tokens")
    vocabulary, parted = gpt.config.vocab_size, min(1, tokens - 1)
    clean = random.Random(0).choices(range(vocabulary), k=tokens)
    corrupted = list(clean)
    corrupted[parted] = (clean[parted] + 1) % vocabulary
    return tuple(clean), tuple(corrupted)


def swept(
    gpt: GPT, clean: tuple[int, ...], corrupted: tuple[int, ...], site: str = "resid_post"
) -> torch.Tensor:
    """Both plain runs and the whole sweep: the states of every cell."""
    source, base = record(gpt, clean, corrupted)
    sweep = Sweep(gpt, base, source, site)
    for _ in sweep:
        pass
    return sweep.states


@torch.inference_mode()
def measure(gpt: GPT, tokens: int, site: str = "resid_post", budget: float = 20.0) -> dict:
    """Sweep random texts for about `budget` seconds, twice at least, and say how it went.

    Times are medians in seconds, rates operations per second, sizes bytes above the weights. The
    plain loop is timed for resid_post only, scaled up from as many of its cells as fitted in.
    """
    clean, corrupted = texts(gpt, tokens)

    def sweep() -> torch.Tensor:
        return swept(gpt, clean, corrupted, site)

    before = _resident_bytes("VmRSS")
    _forget_peak()
    states = sweep()
    peak = _resident_bytes("VmHWM")

    sizes, differ = sizes_of(gpt), plan.first_difference(clean, corrupted)
    planned = Plan(sizes, tokens, differ, site)
    L, C, M, _, itemsize = sizes
    operations = planned.work + plain_work(L, C, M, tokens, differ)
    own_operations, own_products = _own_products(gpt, _packed_rows(planned, states.device))
    a, b = torch.randn(2, _LARGE, _LARGE, device=states.device)
    loop = PlainLoop(gpt, corrupted, clean)
    cells = cycle(loop.cells)

    ours, own, large, plain, apart = [], [], [], [], 0.0
    started = time.perf_counter()
    while not ours or time.perf_counter() - started < budget:
        ours.append(_seconds(sweep, states.device))
        own.append(_seconds(own_products, states.device))
        large.append(_seconds(lambda: a @ b, states.device))
        for _ in range(_PLAIN_CELLS_A_ROUND if site == "resid_post" else 0):
            cell = next(cells)
            plain.append(_seconds(lambda cell=cell: loop.logits(*cell), states.device))
            logits = gpt.lm_head.weight @ states[cell]
            apart = max(apart, (logits - loop.logits(*cell)).abs().max().item())

    seconds = statistics.median(ours)
    own_rate = own_operations / statistics.median(own)
    large_rate = 2 * _LARGE**3 / statistics.median(large)
    report = {
        "tokens": tokens,
        "site": site,
        "cells": states[..., 0].numel(),
        "device": str(states.device),
        "threads": torch.get_num_threads(),
        "rounds": len(ours),
        "sweep_seconds": seconds,
        "operations": operations,
        "rate": operations / seconds,
        "own_shapes_rate": own_rate,
        "large_rate": large_rate,
        "fraction_of_own_shapes_rate": operations / seconds / own_rate,
        "fraction_of_large_rate": operations / seconds / large_rate,
        "peak_bytes": peak - before if peak and before else None,
        "peak_bytes_predicted": _predicted_bytes(
            4 * C * M, 2 * run_bytes(L, tokens, C, itemsize), *planned.memory
        ),
    }
    if plain:
        report["plain_cells_timed"] = len(plain)
        report["plain_loop_seconds"] = statistics.median(plain) * report["cells"]
        report["times_faster_than_plain_loop"] = report["plain_loop_seconds"] / seconds
        report["largest_logit_difference"] = apart
    return report


def table(numbers: dict) -> str:
    """What was measured, in words."""
    n = numbers
    lines = [
        f"{n['model']}, {n['site']}, {n['tokens']} tokens, {n['cells']:,} cells,"
        f" {n['device']}, {n['threads']} threads; medians, rounds: {n['rounds']}",
        f"sweep                  {n['sweep_seconds']:.4f} s, both plain runs included",
    ]
    if "plain_loop_seconds" in n:
        lines.append(
            f"plain loop             {n['plain_loop_seconds']:.2f} s, scaled to all cells from"
            f" {n['plain_cells_timed']} timed runs:"
            f" {n['times_faster_than_plain_loop']:.1f} times as long,"
            f" logits at most {n['largest_logit_difference']:.1e} apart"
        )
    lines += [
        f"least operations       {n['operations'] / 1e9:.2f} GFLOP",
        f"achieved               {n['rate'] / 1e9:.1f} GFLOP/s",
        f"bare products, own     {n['own_shapes_rate'] / 1e9:.1f} GFLOP/s:"
        f" achieved {n['fraction_of_own_shapes_rate']:.0%}",
        f"bare products, large   {n['large_rate'] / 1e9:.1f} GFLOP/s:"
        f" achieved {n['fraction_of_large_rate']:.0%}",
    ]
    if n["peak_bytes"] is not None:
        lines.append(
            f"peak memory            {n['peak_bytes'] / 1e6:.0f} MB above the weights,"
            f" {n['peak_bytes_predicted'] / 1e6:.0f} MB predicted"
        )
    return "\n".join(lines)


def _packed_rows(planned: Plan, device: torch.device) -> list[tuple[int, int]]:
    """How many rows go together through each block of a sweep, chunk by chunk: through its product
    for query, key and value, and through those after the attention. The plain runs come first."""
    L, T = planned.sizes.L, planned.T
    counts = [(2 * T, 2 * T)] * L
    for chunk in plan.chunks([planned]):
        pack = Pack(chunk, [planned], device)
        for r in range(L):
            rows = pack.rows(r, is_last=r == L - 1)
            counts.append((len(rows.run[rows.new]), len(rows.run[rows.wanted])))
    return counts


def _own_products(gpt: GPT, packed: list[tuple[int, int]]) -> tuple[int, Callable[[], None]]:
    """Bare matrix products of the sizes a sweep does, one after another and nothing between: how
    many operations, and a function that does them. `packed` are the rows of each block, for query,
    key and value and after the attention."""
    products, device = [], gpt.lm_head.weight.device
    for (new, read), block in zip(packed, cycle(gpt.transformer.h)):
        parts = block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj
        products += zip((new, read, read, read), parts, strict=True)
    sizes = {(n, part.in_features) for n, part in products}
    inputs = {size: torch.randn(size, device=device) for size in sizes}

    def multiply() -> None:
        for n, part in products:
            F.linear(inputs[n, part.in_features], part.weight, part.bias)

    return sum(2 * n * part.weight.numel() for n, part in products), multiply


def _predicted_bytes(largest: int, runs: int, kept: int, step: int) -> int:
    """The peak of the process above the weights. Steps grow from block to block, and an allocator
    cannot give a larger one what smaller ones gave back; the matrix library rearranges the larger
    weights of a block, `largest` bytes each; and its code is read when first used. The three
    figures are measured, on the teaching model, GPT-2 small and medium."""
    return round(runs + kept + 1.6 * step + 2.2 * largest + 9e6)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter() - started


def _resident_bytes(which: str) -> int | None:
    """This process's memory now ("VmRSS") or at its peak ("VmHWM"); None where Linux's /proc is
    not to be had."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    line = next(line for line in status.splitlines() if line.startswith(which))
    return int(line.split()[1]) * 1024


def _forget_peak() -> None:
    """Let the peak begin anew."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # then the peak is that of the whole process, weights' loading included
