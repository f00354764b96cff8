"""What a sweep has to compute, counted run by run and row by row."""

import os

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from core import patching, suffix, work
from mingpt.model import GPT
from tests.builders import random_gpt

# layers, heads, channels, tokens, first differing position
CASES = [(3, 2, 8, 6, 2), (3, 2, 8, 6, 0), (2, 2, 8, 6, 5), (2, 5, 15, 7, 1), (1, 1, 4, 5, 1)]
CASES += [(2, 2, 8, 1, 0)]
RESID_POST = {"site": "resid_post", "embedding": False, "window": 0}


def runs(model: GPT, T: int, first: int) -> list[patching.Run]:
    clean = tuple(range(T))
    corrupted = (*clean[:first], *(token + 1 for token in clean[first:]))
    return patching.record(model, clean, corrupted)


def operations(*layers: tuple[torch.nn.Module, torch.Tensor]) -> int:
    """What torch says it did, for one row."""
    with FlopCounterMode(display=False) as counter:
        for layer, row in layers:
            layer(row)
    return counter.get_total_flops()


def by_hand(model: GPT, T: int, first: int) -> int:
    L, C = model.config.n_layer, model.config.n_embd
    attn, mlp, row = model.transformer.h[0].attn, model.transformer.h[0].mlp, torch.zeros(1, C)
    qkv, after = operations((attn.c_attn, row)), operations((attn.c_proj, row), (mlp, row))

    def attention(position: int) -> int:
        keys = position + 1
        return 2 * C * keys + 2 * C * keys  # of all heads: the scores, and the mix of values

    total = 0
    for layer in range(L):
        for p in range(first, T):
            for _ in range(layer + 1, L - 1):
                total += sum(qkv + attention(position) + after for position in range(p, T))
            if layer < L - 1:  # the last block: keys and values of all, the rest of the end
                total += (T - p) * qkv * 2 // 3 + qkv // 3 + attention(T - 1) + after
    return total


@pytest.mark.parametrize("L, H, C, T, first", CASES)
def test_the_work_of_a_sweep_is_that_of_its_runs(L, H, C, T, first):
    model = random_gpt(L, H, C)
    base, source = runs(model, T, first)
    assert patching.sweep_work(model, base, source, **RESID_POST) == by_hand(model, T, first)


def test_texts_of_the_same_tokens_are_no_work():
    model = random_gpt()
    (run,) = patching.record(model, (1, 2, 3))
    assert patching.sweep_work(model, run, run, **RESID_POST) == 0


@pytest.mark.parametrize("memory", [1, 20_000, 48 << 20], ids="{} bytes at once".format)
def test_rows_are_packed_as_was_said(monkeypatch, memory):
    model = random_gpt(4, 2, 8)
    base, source = runs(model, 9, 2)
    monkeypatch.setattr(patching, "WORKING_MEMORY", memory)
    packed, step = [], suffix.step

    def counted(block, x, *rest, **options):
        packed.append(len(x))
        return step(block, x, *rest, **options)

    monkeypatch.setattr(suffix, "step", counted)
    for _ in patching.sweep(model, base, source):
        pass
    said = patching.packed_rows(model, base, source, **RESID_POST)
    assert [rows for chunk in said for rows in chunk if rows] == packed


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
