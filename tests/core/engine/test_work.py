"""What a sweep has to compute, counted run by run and row by row."""

import os

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from core.engine import patching, suffix, work
from mingpt.model import GPT
from tests.builders import random_gpt

# layers, heads, channels, tokens, first differing position
CASES = [(3, 2, 8, 6, 2), (3, 2, 8, 6, 0), (2, 2, 8, 6, 5), (2, 5, 15, 7, 1), (1, 1, 4, 5, 1)]
CASES += [(2, 2, 8, 1, 0)]
RESID_POST = {"site": "resid_post", "embedding": False, "window": 0}


def texts(T: int, first: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    clean = tuple(range(T))
    return clean, (*clean[:first], *(token + 1 for token in clean[first:]))


def operations(*layers: tuple[torch.nn.Module, torch.Tensor]) -> int:
    """What torch says it did, for one row."""
    with FlopCounterMode(display=False) as counter:
        for layer, row in layers:
            layer(row)
    return counter.get_total_flops()


def by_hand(model: GPT, T: int, begins: list[tuple[int, int]], alone: bool) -> int:
    """Of runs that begin before a block and at a position, (block, p) each; in that block p has a
    query, key and value of its own, and those behind it too unless p was changed `alone`."""
    L, C = model.config.n_layer, model.config.n_embd
    attn, mlp, row = model.transformer.h[0].attn, model.transformer.h[0].mlp, torch.zeros(1, C)
    part, after = operations((attn.c_attn, row)) // 3, operations((attn.c_proj, row), (mlp, row))

    def attention(position: int) -> int:
        keys = position + 1
        return 2 * C * keys + 2 * C * keys  # of all heads: the scores, and the mix of values

    total = 0
    for start, p in begins:
        for block in range(start, L):
            for position in range(p, T):
                is_own = position == p or block > start or not alone
                is_read = block < L - 1 or position == T - 1
                total += is_own * part * (2 + is_read)  # who is not read needs no query
                total += is_read * (attention(position) + after)
    return total


@pytest.mark.parametrize("L, H, C, T, first", CASES)
def test_the_work_of_a_sweep_is_that_of_its_runs(L, H, C, T, first):
    model = random_gpt(L, H, C)
    base, source = patching.record(model, *texts(T, first))
    patched = [(layer + 1, p) for layer in range(L) for p in range(first, T)]
    expected = by_hand(model, T, patched, alone=True)
    assert patching.sweep_work(model, base, source, **RESID_POST) == expected


@pytest.mark.parametrize("L, H, C, T, first", CASES)
def test_a_patch_of_all_positions_changes_them_all(L, H, C, T, first):
    model = random_gpt(L, H, C)
    base, source = patching.record(model, *texts(T, first))
    patched = [(layer + 1, first) for layer in range(L) for _ in range(H)]
    options = RESID_POST | {"site": "head_z"}
    expected = by_hand(model, T, patched, alone=False)
    assert patching.sweep_work(model, base, source, **options) == expected


@pytest.mark.parametrize("L, H, C, T, first", CASES)
def test_plain_runs_to_be_computed_add_the_base_and_what_of_the_other_differs(L, H, C, T, first):
    model = random_gpt(L, H, C)
    recorded = patching.sweep_work(model, *patching.record(model, *texts(T, first)), **RESID_POST)
    begun = patching.sweep_work(model, *patching.begin(model, *texts(T, first)), **RESID_POST)
    assert begun - recorded == by_hand(model, T, [(0, 0), (0, first)], alone=False)


def test_texts_of_the_same_tokens_are_no_work():
    model = random_gpt()
    (run,) = patching.record(model, (1, 2, 3))
    assert patching.sweep_work(model, run, run, **RESID_POST) == 0


@pytest.mark.parametrize("memory", [1, 20_000, 48 << 20], ids="{} bytes at once".format)
@pytest.mark.parametrize("runs", [patching.begin, patching.record])
@pytest.mark.parametrize("site", ["resid_post", "head_z"])
def test_rows_are_packed_as_was_said(monkeypatch, memory, runs, site):
    """As the products see them, whatever said so."""
    model = random_gpt(4, 2, 8)
    base, source = runs(model, *texts(9, 2))
    monkeypatch.setattr(patching, "WORKING_MEMORY", memory)
    said = patching.packed_rows(model, base, source, **RESID_POST | {"site": site})
    packed, step = [], suffix.step

    def counted(block, *arguments):
        seen = []
        parts = block.attn.c_attn, block.attn.c_proj
        hooks = [
            part.register_forward_hook(lambda _, x, __: seen.append(len(x[0]))) for part in parts
        ]
        result = step(block, *arguments)
        for hook in hooks:
            hook.remove()
        packed.append(tuple(seen))
        return result

    monkeypatch.setattr(suffix, "step", counted)
    for _ in patching.sweep(model, base, source, site=site):
        pass
    assert [rows for rows in said if any(rows)] == packed


def test_every_processor_gets_a_thread_unless_told_otherwise(monkeypatch):
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("PATCHBOARD_THREADS", "1")
        work.choose_threads()
        assert torch.get_num_threads() == 1
        monkeypatch.delenv("PATCHBOARD_THREADS")
        work.choose_threads()
        allowed = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count()))
        assert torch.get_num_threads() == len(allowed(0))
    finally:
        torch.set_num_threads(before)


def test_the_rate_is_measured_once():
    work.rate.cache_clear()
    assert work.rate("cpu", 0.01) > 1e8
    assert work.rate("cpu", 0.01) == work.rate("cpu", 0.01)
