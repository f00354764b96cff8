"""The sweep is one hooked run of Hugging Face's GPT-2 for every cell, only quicker."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from core.checks.plain_loop import PlainLoop
from core.engine import plan
from core.engine.runs import Run, record
from core.engine.sweep import Sweep, together
from core.errors import UserError
from core.question.sites import SITES
from mingpt.model import GPT
from tests.builders import UNUSUAL, random_gpt, swept
from tests.hooked_gpt2 import both_kinds, close, hook_loop, texts, twins
from tests.live_bytes import LiveBytes

# layers, heads, channels, tokens, first differing position
CASES = [
    pytest.param(3, 2, 12, 7, 2, id="a difference in the middle"),
    pytest.param(2, 5, 20, 6, 0, id="five heads, a difference at the first position"),
    pytest.param(4, 1, 8, 5, 4, id="one head, a difference at the last position"),
    pytest.param(1, 2, 8, 1, 0, id="one layer, one token"),
    pytest.param(3, 3, 24, 16, 3, id="as many tokens as the model reads"),
]


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize(("L", "H", "C", "T", "first"), CASES)
@both_kinds
def test_a_sweep_is_a_hooked_run_for_each_cell(settings, site, L, H, C, T, first):
    """Directions, ablations, windows and the embedding: in test_study."""
    theirs, ours = twins(L, H, C, **settings)
    base, source = texts(T, first)
    expected = hook_loop(theirs, base, source, site)
    sweep = Sweep(ours, *record(ours, base, source), site)
    assert sweep.shape == expected.shape[:-1]
    close(swept(sweep) @ ours.lm_head.weight.T, expected)
    if "position" in sweep.plan.site.axes:  # nothing can have moved, and nothing was computed
        assert (sweep.states[..., :first, :] == sweep.base.state).all()


@pytest.mark.parametrize(("dtype", "apart"), [(torch.float, 1e-4), (torch.bfloat16, 0.1)])
def test_the_plain_loop_of_our_own_model_says_the_same(dtype, apart):
    """Where heads attend sharply: scores rounded to three digits would be off by tenths."""
    model = random_gpt(3, 2, 32).requires_grad_(False)
    for block in model.transformer.h:
        block.attn.c_attn.weight.mul_(5)
    loop = PlainLoop(model.to(dtype), *texts(8, 2))
    states = swept(Sweep(model, *record(model, *texts(8, 2))))
    for cell in loop.cells:
        close(model.lm_head.weight @ states[cell], loop.logits(*cell), apart)


def test_a_text_patched_with_itself_is_its_own_run_in_every_cell_and_no_work(gpt):
    (run,) = record(gpt, (1, 2, 3))
    sweep = Sweep(gpt, run, run, embedding=True)
    assert sweep.work == 0
    assert torch.equal(sweep.states, run.state.expand(4, 3, -1))
    assert list(sweep) == [1.0]


def test_a_patch_whose_numbers_are_not_finite_is_one_clear_line(gpt):
    base, source = record(gpt, *texts(6, 1))
    far = replace(source, resid=source.resid.clone().fill_(torch.inf))
    with pytest.raises(UserError, match="The model's numbers are not finite after a patch; the we"):
        swept(Sweep(gpt, base, far))


# --- The patched run of one cell ----------------------------------------------------------------

OPTIONS = [*({"site": site} for site in SITES), {"window": 1, "embedding": True}]
OPTIONS += [{"site": site, "window": 1} for site in ("attn_out", "mlp_out")]


@pytest.mark.parametrize("source", ["run", "zero", "position_mean"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_recorded_run_ends_as_its_cell(options, source):
    """What it is on the way is claimed of the trace."""
    _, ours = twins(3, 2, 12, **UNUSUAL)
    base, other = record(ours, *texts(6, 1))
    sweep = Sweep(ours, base, other if source == "run" else source, **options)
    swept(sweep)
    for index in product(*map(range, sweep.shape)):
        close(sweep.record(*index).state, sweep.states[index], atol=1e-5)


# --- Several sweeps together --------------------------------------------------------------------


def mixture(model: GPT) -> list[Sweep]:
    """Sweeps of several pairs, each with its own base, at several sites."""
    a, b = record(model, *texts(7, 1, seed=1))
    c, d = record(model, *texts(7, 4, seed=2))
    return [
        Sweep(model, a, b),
        Sweep(model, c, d, "head_z"),
        Sweep(model, d, c, window=1, embedding=True),
        Sweep(model, a, a),
        Sweep(model, b, "position_mean", "resid_pre"),
        Sweep(model, b, a, window=2),
        Sweep(model, c, "zero", "head_z_position"),
        Sweep(model, a, d, "mlp_out"),
        Sweep(model, b, d, "mlp_out", window=1),
        Sweep(model, d, "position_mean", "attn_out", window=2),
    ]


@pytest.mark.parametrize("budget", [1, 4_000, 7_000, 11_000, 30_000, plan.WORKING_MEMORY])
@pytest.mark.parametrize("turn", [1, -1])
def test_sweeps_together_are_each_alone_however_they_are_cut(monkeypatch, budget, turn):
    _, model = twins(4, 2, 12)
    alone = [swept(sweep) for sweep in mixture(model)]
    monkeypatch.setattr(plan, "WORKING_MEMORY", budget)
    sweeps = mixture(model)
    fractions = list(together(sweeps[::turn]))
    assert fractions[-1] == 1 and fractions == sorted(set(fractions))
    for sweep, expected in zip(sweeps, alone, strict=True):
        close(sweep.states, expected, atol=1e-5)


# --- In steps -----------------------------------------------------------------------------------


@pytest.fixture
def in_steps(monkeypatch):
    """Many small steps, of one run each."""
    monkeypatch.setattr(plan, "WORKING_MEMORY", 1)


def runs_of(model: GPT, seed: int = 1) -> list[Run]:
    return record(model, *texts(6, 1, seed))


def test_the_fraction_is_that_of_the_positions_to_be_run_through_blocks(gpt, in_steps):
    fractions = list(Sweep(gpt, *runs_of(gpt)))
    work = sorted(6 - p for layer in (0, 1) for _ in range(2 - layer) for p in range(1, 6))
    np.testing.assert_allclose(sorted(np.diff(fractions)), np.array(work) / sum(work))
    assert (fractions[0], fractions[-1]) == (0, 1)


def test_states_are_nan_until_they_are_known_and_then_final(gpt, in_steps):
    final = swept(Sweep(gpt, *runs_of(gpt)))
    sweep = Sweep(gpt, *runs_of(gpt))
    known = sweep.states.isfinite().all(dim=-1)
    assert known[:, 0].all() and not known[:, 1:].any()  # what is known at once needs no work
    for _ in sweep:
        before, known = known, sweep.states.isfinite().all(dim=-1)
        assert torch.equal(sweep.states.isnan().any(dim=-1), ~known)
        assert torch.equal(sweep.states[known], final[known])
        assert (known >= before).all()
    assert known.all()


def test_a_closed_sweep_leaves_everything_as_it_was(gpt, in_steps):
    expected = swept(Sweep(gpt, *runs_of(gpt)))
    sweep = Sweep(gpt, *runs_of(gpt))
    for _ in range(3):  # as often as somebody changes their mind
        steps = iter(sweep)
        next(steps), next(steps), steps.close()
    assert torch.equal(swept(sweep), expected)


def test_a_sweep_writes_nothing_to_the_model_nor_to_how_the_caller_computes(gpt, in_steps):
    def everything():
        modules = [
            {key: value for key, value in vars(module).items() if key[0] != "_" or "hooks" in key}
            for module in gpt.modules()
        ]
        writes = [parameter._version for parameter in gpt.parameters()]
        return str(modules), writes, torch.is_inference_mode_enabled()

    before = everything()
    for _ in Sweep(gpt, *runs_of(gpt), embedding=True):  # also in the middle of a sweep
        assert everything() == before
        assert torch.is_grad_enabled()
    assert gpt.layer_activations == {} and gpt.last_token_logits is None


def test_sweeps_at_once_are_the_same_sweeps_in_turn(gpt, in_steps):
    """In threads of their own, and step by step in turns."""
    seeds = range(8)
    in_turn = [swept(Sweep(gpt, *runs_of(gpt, seed))) for seed in seeds]
    with ThreadPoolExecutor(max_workers=4) as threads:
        at_once = list(threads.map(lambda seed: swept(Sweep(gpt, *runs_of(gpt, seed))), seeds))
    mixed = [Sweep(gpt, *runs_of(gpt, seed)) for seed in seeds]
    list(zip(*mixed, strict=True))
    for one, other, expected in zip(at_once, mixed, in_turn, strict=True):
        close(one, expected, atol=1e-6)
        close(other.states, expected, atol=1e-6)


# --- Memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float, torch.bfloat16])
@pytest.mark.parametrize("budget", [600_000, plan.WORKING_MEMORY])
@pytest.mark.parametrize("site", ["resid_post", "mlp_out", "head_z"])
@pytest.mark.parametrize(
    ("H", "C", "M", "T", "first"),
    [(16, 128, 512, 32, 0), (2, 128, 512, 32, 20), (1, 128, 512, 8, 5), (1, 128, 1024, 8, 5)],
    ids=["attention takes most", "the texts part late", "the MLP takes most", "a wider MLP"],
)
def test_a_sweep_takes_the_memory_it_says(monkeypatch, H, C, M, T, first, site, budget, dtype):
    model = random_gpt(4, H, C, n_inner=M, block_size=T).to(dtype)
    runs = record(model, *texts(T, first))
    monkeypatch.setattr(plan, "WORKING_MEMORY", budget)
    with LiveBytes() as live:
        sweep = Sweep(model, *runs, site)
        swept(sweep)
        assert live.now == sweep.states.nbytes
    assert 0.75 * sum(sweep.memory) < live.peak < 1.15 * sum(sweep.memory)
