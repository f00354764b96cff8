"""The sweep is the plain loop of one forward pass for every cell, only quicker."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.engine import patching, suffix
from mingpt.model import GPT, PatchParams
from tests.builders import oracle, random_gpt
from tests.live_bytes import LiveBytes
from tests.numpy_gpt2 import EMBEDDING

# layers, heads, channels, tokens, first differing position
CASES = [
    pytest.param(3, 2, 8, 6, 2, id="a difference in the middle"),
    pytest.param(3, 2, 8, 6, 0, id="a difference at the first position"),
    pytest.param(3, 2, 8, 6, 5, id="a difference at the last position"),
    pytest.param(2, 2, 8, 1, 0, id="one token"),
    pytest.param(2, 5, 15, 7, 1, id="an odd number of heads"),
    pytest.param(1, 1, 4, 5, 1, id="one layer"),
    pytest.param(5, 3, 24, 16, 3, id="as many tokens as the model reads"),
]
V = 23
ROUNDING = 1e-4


def texts(T: int, first: int, seed: int = 0) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two texts that differ at `first`, and at random from there on."""
    generator = np.random.default_rng(seed)
    clean = generator.integers(V, size=T)
    corrupted = np.where(generator.random(T) < 0.5, clean, generator.integers(V, size=T))
    corrupted[:first] = clean[:first]
    corrupted[first] = (clean[first] + 1) % V
    return tuple(clean.tolist()), tuple(corrupted.tolist())


def swept(
    model: GPT, base: tuple[int, ...], source: tuple[int, ...], runs=patching.begin, **options
) -> torch.Tensor:
    """The finished states of a sweep; `runs` makes the two plain runs."""
    *_, (_, states) = patching.sweep(model, *runs(model, base, source), **options)
    return states


def logits(model: GPT, states: torch.Tensor) -> torch.Tensor:
    """(..., C) -> (..., V)"""
    return states @ model.lm_head.weight.detach().T


@torch.no_grad()
def plain_loop(model: GPT, base: tuple[int, ...], source: tuple[int, ...]) -> torch.Tensor:
    """The last position's logits of one forward pass for every layer and position: (L, T, V)."""
    model(torch.tensor([source]), store_activations=True)
    activations = dict(model.layer_activations)
    grid = []
    for layer, activation in activations.items():
        for position in range(len(base)):
            patch = PatchParams(layer, position, activation[0, position])
            model(torch.tensor([base]), patch_params=patch)
            grid.append(model.last_token_logits[0])
    return torch.stack(grid).view(len(activations), len(base), -1)


def last_logits(model: GPT, ids: tuple[int, ...]) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor([ids]))[0][0, -1]


@pytest.mark.parametrize("runs", [patching.begin, patching.record])
@pytest.mark.parametrize(("L", "H", "C", "T", "first"), CASES)
def test_the_sweep_is_the_plain_loop(L, H, C, T, first, runs):
    """Whether the plain runs were computed before or are computed along with it."""
    model = random_gpt(L, H, C)
    clean, corrupted = texts(T, first)
    for base, source in ((corrupted, clean), (clean, corrupted)):
        expected = plain_loop(model, base, source)
        found = logits(model, swept(model, base, source, runs))
        torch.testing.assert_close(found, expected, atol=ROUNDING, rtol=0)
        moved = (expected - last_logits(model, base)).abs().amax()
        assert moved > 100 * ROUNDING  # there was something to get wrong


@pytest.mark.parametrize(("L", "H", "C", "T", "first"), CASES)
def test_the_embedding_row_patches_the_input_of_block_0(L, H, C, T, first):
    model = random_gpt(L, H, C)
    base, source = texts(T, first)
    states = swept(model, base, source, embedding=True)
    assert states.shape == (L + 1, T, C)
    _, stream = oracle(model).forward(source)
    for position in range(T):
        patches = {(EMBEDDING, position): stream[EMBEDDING][position]}
        expected, _ = oracle(model).forward(base, patches)
        found = logits(model, states[0, position])
        np.testing.assert_allclose(found.numpy(), expected[-1], atol=ROUNDING)
    torch.testing.assert_close(states[1:], swept(model, base, source), atol=1e-5, rtol=0)


def test_half_precision_loses_no_more_than_its_own_plain_loop():
    """Where heads attend sharply: scores rounded to three digits would be off by tenths."""
    model = random_gpt(3, 2, 32)
    with torch.no_grad():
        for block in model.transformer.h:
            block.attn.c_attn.weight.mul_(5)
    model.bfloat16()
    base, source = texts(T=8, first=2)
    # Plain runs rounded otherwise than the loop's would be far from it by themselves.
    found = logits(model, swept(model, base, source, patching.record))
    torch.testing.assert_close(found, plain_loop(model, base, source), atol=0.1, rtol=0)


def bytes_of(R: int, N: int, first: int, T: int, C: int, H: int) -> int:
    """What R rows of N runs that begin at `first` take up: stream, room and step."""
    return 4 * (R * C + suffix.room_for(R, N, T, C) + suffix.floats(R, N, first, T, C, H))


def bytes_of_runs(number: int, T: int, C: int, H: int) -> int:
    """What so many runs that begin at position 0 take up."""
    return bytes_of(number * T, number, 0, T, C, H)


@pytest.mark.parametrize("runs_at_once", [0, 1, 2, 3, 4, 5, 7, 11])
@pytest.mark.parametrize("embedding", [False, True])
@pytest.mark.parametrize("runs", [patching.begin, patching.record])
def test_cutting_the_work_into_chunks_changes_nothing(monkeypatch, runs_at_once, embedding, runs):
    """Whether the chunks divide the 6 runs of a layer or not."""
    model = random_gpt(4, 2, 8)
    base, source = texts(T=7, first=1)
    whole = swept(model, base, source, embedding=embedding)
    monkeypatch.setattr(patching, "WORKING_MEMORY", bytes_of_runs(runs_at_once, 7, 8, 2))
    cut = swept(model, base, source, runs, embedding=embedding)
    torch.testing.assert_close(cut, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("H", "C", "T", "first"),
    [
        pytest.param(2, 8, 32, 0, id="attention takes most"),
        pytest.param(2, 8, 32, 20, id="before the texts part there are the plain runs alone"),
        pytest.param(1, 64, 8, 5, id="the MLP takes most"),
    ],
)
def test_the_work_of_one_step_stays_within_the_working_memory(monkeypatch, H, C, T, first):
    model = random_gpt(4, H, C, block_size=T)
    base, source = texts(T, first)
    monkeypatch.setattr(patching, "WORKING_MEMORY", bytes_of_runs(3, T, C, H))
    packed, step = [], suffix.step

    def measured(block, x, rows, *rest, **options):
        packed.append((len(x), rows.runs, rows.first))
        return step(block, x, rows, *rest, **options)

    monkeypatch.setattr(suffix, "step", measured)
    swept(model, base, source)
    assert max(runs for _, runs, _ in packed) >= 3  # and uses it
    takes = (bytes_of(*rows_runs_first, T, C, H) for rows_runs_first in packed)
    assert max(takes) <= bytes_of_runs(3, T, C, H)


@pytest.mark.parametrize(
    ("H", "C", "T", "first"),
    [
        pytest.param(2, 128, 32, 0, id="attention takes most"),
        pytest.param(2, 128, 32, 20, id="the texts part late"),
        pytest.param(1, 128, 8, 5, id="the MLP takes most"),
    ],
)
@pytest.mark.parametrize("runs_at_once", [3, 1000])
def test_a_sweep_takes_the_memory_it_says(monkeypatch, H, C, T, first, runs_at_once):
    model = random_gpt(4, H, C, block_size=T)
    base, source = texts(T, first)
    allowed = bytes_of_runs(runs_at_once, T, C, H)
    monkeypatch.setattr(patching, "WORKING_MEMORY", allowed)
    with LiveBytes() as live:
        runs = patching.begin(model, base, source)
        options = {"site": "resid_post", "embedding": False, "window": 0}
        said = sum(patching.memory(model, *runs, **options))
        *_, (_, states) = patching.sweep(model, *runs)
    assert live.peak == pytest.approx(said, rel=0.1)
    both_runs = 2 * (runs[0].resid.nbytes + runs[0].qkv.nbytes)
    # Chunks of few long runs and of many short ones share a room that fits either.
    assert live.peak - both_runs - states.nbytes < 1.4 * allowed


def test_identical_texts_give_the_baseline_in_every_cell(gpt):
    ids, _ = texts(T=6, first=0)
    states = swept(gpt, ids, ids, embedding=True)
    torch.testing.assert_close(
        logits(gpt, states), last_logits(gpt, ids).expand(4, 6, -1), atol=ROUNDING, rtol=0
    )


def test_a_cell_before_the_first_difference_is_the_baseline(gpt):
    base, source = texts(T=6, first=3)
    runs = patching.begin(gpt, base, source)
    *_, (_, states) = patching.sweep(gpt, *runs, embedding=True)
    assert torch.equal(states[:, :3], runs[0].state.expand(4, 3, -1))


def test_the_last_layer_moves_the_last_position_alone_and_there_all_the_way(gpt):
    base, source = texts(T=6, first=1)
    last_row = logits(gpt, swept(gpt, base, source)[-1])
    baseline, goal = last_logits(gpt, base), last_logits(gpt, source)
    torch.testing.assert_close(last_row[:-1], baseline.expand(5, -1), atol=ROUNDING, rtol=0)
    torch.testing.assert_close(last_row[-1], goal, atol=ROUNDING, rtol=0)
    assert (goal - baseline).abs().max() > 0.1


def test_patching_the_only_differing_embedding_makes_the_whole_other_run(gpt):
    """All positions of a row are patched when all others are the same anyway."""
    source = texts(T=6, first=2)[0]
    base = (*source[:2], (source[2] + 1) % V, *source[3:])
    states = swept(gpt, base, source, embedding=True)
    goal = last_logits(gpt, source)
    torch.testing.assert_close(logits(gpt, states[0, 2]), goal, atol=ROUNDING, rtol=0)


def test_when_the_last_tokens_alone_differ_every_layer_restores_the_run_there(gpt):
    """At the last position all earlier ones are the same in both runs, at every layer."""
    base, source = texts(T=6, first=5)
    states = swept(gpt, base, source, embedding=True)
    goal = last_logits(gpt, source).expand(4, -1)
    torch.testing.assert_close(logits(gpt, states[:, -1]), goal, atol=ROUNDING, rtol=0)


def along(model: GPT, *both: tuple[int, ...]) -> list[patching.Run]:
    """Plain runs that were computed along with a sweep."""
    runs = patching.begin(model, *both)
    *_, _ = patching.sweep(model, *runs)
    return runs


@pytest.mark.parametrize("how", [patching.record, along])
def test_a_run_records_the_stream_of_gpt2(gpt, how):
    both = texts(T=6, first=0)
    for run, ids in zip(how(gpt, *both), both, strict=True):
        expected, stream = oracle(gpt).forward(ids)
        assert run.ids == ids
        for row in range(4):
            np.testing.assert_allclose(run.resid[row].numpy(), stream[row - 1], atol=1e-5)
        np.testing.assert_allclose(logits(gpt, run.state).numpy(), expected[-1], atol=1e-5)


@pytest.mark.parametrize("first", [0, 3, 5])
def test_a_run_is_the_same_computed_alone_or_along_with_a_sweep(gpt, first):
    both = texts(T=6, first=first)
    for one, other in zip(along(gpt, *both), patching.record(gpt, *both), strict=True):
        assert one.finished and other.finished
        for kept in ("resid", "qkv", "state"):
            torch.testing.assert_close(getattr(one, kept), getattr(other, kept), atol=1e-5, rtol=0)


def test_a_text_patched_with_itself_is_computed_along_with_nothing(gpt):
    run, itself = along(gpt, *texts(T=6, first=0)[:1] * 2)
    assert run.finished and torch.equal(run.state, itself.state)


def test_what_is_computed_already_is_not_computed_again(gpt, monkeypatch):
    runs = along(gpt, *texts(T=6, first=1))
    monkeypatch.setattr(patching, "_record_from", None)
    patching.finish(gpt, *runs)


def test_runs_finished_while_they_are_swept_change_nothing(gpt, in_steps):
    base, source = texts(T=6, first=1)
    expected = swept(gpt, base, source)
    runs = patching.begin(gpt, base, source)
    steps = patching.sweep(gpt, *runs)
    next(steps), next(steps)  # in the middle of the plain runs
    assert not runs[0].finished
    patching.finish(gpt, *runs)
    *_, (_, states) = steps
    torch.testing.assert_close(states, expected, atol=1e-5, rtol=0)


def test_texts_of_unequal_length_cannot_be_swept(gpt):
    runs = [patching.record(gpt, ids)[0] for ids in ((1, 2, 3), (1, 2))]
    with pytest.raises(ValueError, match="shorter"):
        next(patching.sweep(gpt, *runs))


# --- A sweep in steps ---------------------------------------------------------------------------


@pytest.fixture
def in_steps(monkeypatch):
    """Many small steps, of one run each."""
    monkeypatch.setattr(patching, "WORKING_MEMORY", 1)


def runs_of(model: GPT, T: int = 6, first: int = 1) -> list[patching.Run]:
    return [patching.record(model, ids)[0] for ids in texts(T, first)]


def test_fractions_rise_from_0_to_1(gpt, in_steps):
    fractions = [fraction for fraction, _ in patching.sweep(gpt, *runs_of(gpt))]
    assert fractions[0] == 0
    assert fractions[-1] == 1
    assert fractions == sorted(set(fractions))
    assert len(fractions) == (2 + 1) * 5 + 1  # 2 blocks after layer 0 and 1 after layer 1, 5 times


def test_the_fraction_is_that_of_the_positions_to_be_run_through_blocks(gpt, in_steps):
    fractions = [fraction for fraction, _ in patching.sweep(gpt, *runs_of(gpt))]
    work = sorted(6 - p for layer in (0, 1) for _ in range(2 - layer) for p in range(1, 6))
    np.testing.assert_allclose(sorted(np.diff(fractions)), np.array(work) / sum(work))


def test_plain_runs_to_be_computed_are_part_of_the_work(gpt, in_steps):
    work = sorted(6 - p for layer in (0, 1) for _ in range(2 - layer) for p in range(1, 6))
    runs = patching.begin(gpt, *texts(6, 1))
    fractions, before = zip(
        *((fraction, runs[0].finished) for fraction, _ in patching.sweep(gpt, *runs)), strict=True
    )
    np.testing.assert_allclose(
        sorted(np.diff(fractions)), np.array([*work, 12, 12, 12]) / (sum(work) + 36)
    )
    assert before.index(True) == 3  # they come first: all else needs them


def test_a_sweep_without_work_is_done_at_once(gpt):
    run = runs_of(gpt)[0]
    assert [fraction for fraction, _ in patching.sweep(gpt, run, run)] == [1.0]


def test_states_are_nan_until_they_are_known_and_then_final(gpt, in_steps):
    final = list(patching.sweep(gpt, *runs_of(gpt)))[-1][1]
    known_before = torch.zeros(3, 6, dtype=torch.bool)
    for fraction, states in patching.sweep(gpt, *runs_of(gpt)):
        known = states.isfinite().all(dim=-1)
        assert torch.equal(states.isnan().any(dim=-1), ~known)
        assert torch.equal(states[known], final[known])
        assert (known >= known_before).all()
        if fraction == 0:  # what is known is what needs no work
            assert known[:, 0].all() and not known[:, 1:].any()
        known_before = known.clone()
    assert known_before.all()


def test_a_closed_sweep_leaves_everything_as_it_was(gpt, in_steps):
    expected = swept(gpt, *texts(6, 1))
    cancelled = patching.sweep(gpt, *runs_of(gpt))
    next(cancelled), next(cancelled)
    cancelled.close()
    assert torch.equal(swept(gpt, *texts(6, 1)), expected)


def test_a_paused_sweep_does_not_change_how_the_caller_computes(gpt, in_steps):
    for _ in patching.sweep(gpt, *runs_of(gpt)):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()


def test_the_model_is_not_written_to(gpt, in_steps):
    def everything():
        modules = {
            name: {key: value for key, value in vars(module).items() if key[0] != "_"}
            for name, module in gpt.named_modules()
        }
        hooks = [
            len(getattr(module, kind))
            for module in gpt.modules()
            for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
        ]
        writes = {name: parameter._version for name, parameter in gpt.named_parameters()}
        return str(modules), hooks, writes

    before = everything()
    weights = {name: tensor.clone() for name, tensor in gpt.state_dict().items()}
    steps = patching.sweep(gpt, *runs_of(gpt), embedding=True)
    for _ in steps:  # also in the middle of a sweep
        assert everything() == before
    assert gpt.layer_activations == {}
    assert gpt.last_token_logits is None
    for name, tensor in gpt.state_dict().items():
        assert torch.equal(tensor, weights[name])


def test_sweeps_in_many_threads_are_the_same_sweeps_in_turn(gpt, in_steps):
    asked = [texts(T=8, first=seed % 3, seed=seed) for seed in range(12)]
    in_turn = [swept(gpt, *pair) for pair in asked]
    with ThreadPoolExecutor(max_workers=4) as threads:
        at_once = list(threads.map(lambda pair: swept(gpt, *pair), asked))
    for one, other in zip(at_once, in_turn, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_interleaved_sweeps_do_not_see_each_other(gpt, in_steps):
    first = [patching.record(gpt, ids)[0] for ids in texts(6, 1, seed=1)]
    second = [patching.record(gpt, ids)[0] for ids in texts(6, 1, seed=2)]
    expected = [list(patching.sweep(gpt, *runs))[-1][1] for runs in (first, second)]
    for (_, one), (_, other) in zip(
        patching.sweep(gpt, *first), patching.sweep(gpt, *second), strict=True
    ):
        found = one, other
    assert all(map(torch.equal, found, expected))


# --- The tests' own oracle ----------------------------------------------------------------------


def test_the_plain_loop_sees_a_wrong_state(gpt):
    """Had the sweep used another run's activations, the comparison above would fail."""
    base, source = texts(T=6, first=1)
    wrong_run = replace(patching.record(gpt, source)[0], resid=patching.record(gpt, base)[0].resid)
    *_, (_, states) = patching.sweep(gpt, patching.record(gpt, base)[0], wrong_run)
    expected = plain_loop(gpt, base, source)
    assert (logits(gpt, states) - expected).abs().max() > 100 * ROUNDING
