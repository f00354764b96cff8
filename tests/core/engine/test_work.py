"""What a sweep has to compute, counted row by row, and by torch while it is computed."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from core.engine import plan, work
from core.engine.runs import record
from core.engine.sweep import Sweep
from core.question.sites import SITES
from tests.builders import random_gpt
from tests.hooked_gpt2 import texts

# layers, heads, channels, those inside an MLP, tokens, first differing position
CASES = [(3, 2, 8, 32, 6, 2), (3, 2, 8, 11, 6, 0), (2, 2, 8, 32, 6, 5), (2, 5, 15, 60, 7, 1)]
CASES += [(1, 1, 4, 16, 5, 1), (2, 2, 8, 32, 1, 0)]
OPTIONS = [*({"site": site} for site in SITES), {"window": 1, "embedding": True}]
OPTIONS += [{"site": site, "window": 1} for site in ("attn_out", "mlp_out")]


def by_hand(sweep: Sweep, *, at_least: bool) -> int:
    """The operations of all runs: those that no way of computing them can do without, or those that
    this one does without the attention. It has a query for every row that differs from the base,
    also for those of the last block that are not read."""
    (L, C, M, _, _), T = sweep.plan.sizes, sweep.plan.T
    total = 0
    for cell in sweep.plan.cells:
        alone = "position" in sweep.plan.site.axes  # of p; else of all that lie behind it too
        for block in range(cell.start, L):
            for position in range(cell.p, T):
                is_own = position == cell.p or block > cell.start or not alone
                is_read = block < L - 1 or position == T - 1
                total += is_own * 2 * C**2 * (2 + (is_read or not at_least))  # key, value; query
                total += is_read * (2 * C**2 + 4 * C * M)  # output projection and MLP
                total += at_least * is_read * 4 * C * (position + 1)  # scores, and mix of values
    return total


def counted(compute) -> int:
    """By torch, which does not count its attention."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        compute()
    return counter.get_total_flops()


@pytest.mark.parametrize("one_by_one", [True, False])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("L, H, C, M, T, first", CASES)
def test_the_work_of_a_sweep_is_that_of_its_runs(
    monkeypatch, L, H, C, M, T, first, options, one_by_one
):
    """Above all in the block before which a run begins, the base has all but what was patched."""
    model = random_gpt(L, H, C, n_inner=M)
    sweep = Sweep(model, *record(model, *texts(T, first)), **options)
    site = sweep.plan.site_name
    assert sweep.work == by_hand(sweep, at_least=True)
    if one_by_one:
        monkeypatch.setattr(plan, "WORKING_MEMORY", 1)
    with torch.inference_mode():  # what the site makes of its layers is no part of the runs
        streams = [sweep.patched_stream(block) for block in range(L + (site != "resid_pre"))]
        sources = [sweep.source_of_window(layer) for layer in range(L) if sweep.plan.site.window]
    monkeypatch.setattr(sweep, "patched_stream", streams.__getitem__)
    monkeypatch.setattr(sweep, "source_of_window", sources.__getitem__)
    assert counted(lambda: list(sweep)) == by_hand(sweep, at_least=False)


@pytest.mark.parametrize("L, H, C, M, T, first", CASES)
def test_a_plain_run_is_a_run_of_all_positions_from_block_0_on(L, H, C, M, T, first):
    model = random_gpt(L, H, C, n_inner=M)
    products = counted(lambda: record(model, texts(T, 0)[0]))
    attention = 4 * C * ((L - 1) * T * (T + 1) // 2 + T)
    unread = (4 * C**2 + 4 * C * M) * (T - 1)  # of the last block
    assert work.run_work(L, C, M, T, 0, 0, T) == products + attention - unread


def test_the_rate_is_measured_once_and_says_how_long_work_takes():
    assert work.rate("cpu") == work.rate("cpu") > 1e8
    assert 1 < work.seconds_for(2 * work.rate("cpu"), "cpu") < 3


def test_a_rate_that_other_work_slowed_down_is_measured_again_before_work_is_called_long(
    monkeypatch,
):
    monkeypatch.setattr(work, "_rates", {"cpu": 1e9})
    monkeypatch.setattr(work, "_measured_rate", lambda device: 8e9)
    assert work.seconds_for(2e9, "cpu") == 2e9 / (0.8 * 1e9)  # not worth it
    assert work.seconds_for(8e9, "cpu") == 8e9 / (0.8 * 8e9)
    monkeypatch.setattr(work, "_measured_rate", lambda device: 1e9)
    assert work.seconds_for(80e9, "cpu") == 80e9 / (0.8 * 8e9)  # the best that was seen


def test_the_memory_that_is_left_is_less_than_the_machine_has():
    left = work.available_memory()
    assert left is None or 0 < left < 2**50
