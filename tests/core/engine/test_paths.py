"""Path patching is three hooked passes of Hugging Face's GPT-2 for every sender, only quicker."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from core.engine import plan
from core.engine.paths import FROZEN, Paths, together
from core.engine.runs import Run, record
from core.errors import UserError
from core.question.receivers import Receiver, parse
from mingpt.model import GPT
from tests.builders import random_gpt
from tests.hooked_gpt2 import both_kinds, close, texts, twins
from tests.hooked_paths import by_sender, hooked_paths
from tests.live_bytes import LiveBytes

# layers, heads, channels, tokens, first differing position
CASES = [
    pytest.param(3, 2, 8, 5, 2, id="a difference in the middle"),
    pytest.param(2, 3, 12, 6, 0, id="three heads, a difference at the first position"),
    pytest.param(2, 1, 8, 1, 0, id="one token"),
    pytest.param(2, 2, 12, 40, 29, id="forty tokens"),
]
each_way = pytest.mark.parametrize("frozen", FROZEN)


def done(paths: Paths) -> Paths:
    for _ in paths:
        assert not torch.is_inference_mode_enabled()
    return paths


@each_way
@pytest.mark.parametrize("how", ["there", "back", "zero", "position_mean"])
@pytest.mark.parametrize(("L", "H", "C", "T", "first"), CASES)
@both_kinds
def test_a_path_is_patched_as_with_hooks(settings, L, H, C, T, first, how, frozen):
    theirs, ours = twins(L, H, C, block_size=40, **settings)
    ids, other = texts(T, first)[:: -1 if how == "back" else 1]
    base, source = record(ours, ids, other)
    if how in ("zero", "position_mean"):
        other = source = how
    at, last = T // 2, L - 1
    names = ["logits", "mlp0", f"mlp{last}", f"mlp1@{at}", f"{last}.0", f"1.0@{at}"]
    names += [f"1.{H - 1}.{part}" for part in "qkv"] + [f"1.0.{part}@{at}" for part in "qkv"]
    for receiver in (parse(name, L, H, T) for name in names):
        expected = hooked_paths(theirs, ids, other, receiver, frozen)
        for sender, state in by_sender(done(Paths(ours, base, source, receiver, frozen))).items():
            if sender in expected:
                close(state @ ours.lm_head.weight.T, expected[sender])
            else:  # it comes too late
                assert state.isnan().all()


def test_with_the_last_layernorms_scale_held_all_senders_sum_to_the_whole_change():
    """Beside so large an epsilon no variance counts, and what is left is linear."""
    model = random_gpt(3, 2, 12).requires_grad_(False)
    model.transformer.ln_f.eps, model.transformer.ln_f.bias[:] = 1e6, 0
    base, source = record(model, *texts(7, 2))
    states = done(Paths(model, base, source, Receiver("logits"))).states
    close(1e3 * (states - base.state).sum(0), 1e3 * (source.state - base.state))


@each_way
@pytest.mark.parametrize("name", ["logits", "2.1", "1.0.k@2", "mlp1", "1.1.q@0"])
def test_what_does_not_differ_is_the_base_and_no_work(gpt, name, frozen):
    base, source = record(gpt, *texts(5, 1))
    if name != "1.1.q@0":  # where the two texts are the same still
        source = base
    paths = Paths(gpt, base, source, parse(name, 3, 2, 5), frozen)
    assert paths.work == 0 and list(paths) == [1.0]
    assert torch.equal(paths.states[: paths.senders], base.state.expand(paths.senders, -1))
    assert paths.states[paths.senders :].isnan().all()


# --- In steps and together ----------------------------------------------------------------------


def mixture(model: GPT) -> list[Paths]:
    a, b, c, d = record(model, *texts(7, 1, seed=1), *texts(7, 4, seed=2))
    parts = [Receiver(part, 2, 1) for part in "qkv"]
    return [
        *(Paths(model, a, b, receiver, "heads") for receiver in parts),
        *(Paths(model, a, b, receiver) for receiver in parts),
        Paths(model, c, d, parts[0], "heads"),
        Paths(model, a, a, parts[1]),
        Paths(model, a, c, parts[0], "heads"),
        Paths(model, a, "position_mean", Receiver("mlp", 2)),
        Paths(model, a, "zero", Receiver("mlp", 2)),
        Paths(model, a, b, Receiver("logits")),
        Paths(model, b, a, Receiver("qkv", 3, 0)),
        Paths(model, b, a, Receiver("k", 2, 1, 3)),
    ]


@pytest.mark.parametrize("budget", [1, 11_000, 30_000, plan.WORKING_MEMORY])
def test_paths_together_are_each_alone_however_they_are_cut(budget):
    _, model = twins(4, 2, 12)
    alone, paths = [done(each) for each in mixture(model)], mixture(model)
    fractions = list(together(paths, budget))
    assert fractions[0] == 0 and fractions[-1] == 1 and fractions == sorted(fractions)
    assert fractions[-2] == pytest.approx(1)
    for found, expected in zip(paths, alone, strict=True):
        torch.testing.assert_close(found.states, expected.states, atol=1e-5, rtol=0, equal_nan=True)


def test_whoever_stops_cancels_and_nothing_is_written_to_the_model(gpt, monkeypatch):
    monkeypatch.setattr(plan, "WORKING_MEMORY", 1)
    writes = [parameter._version for parameter in gpt.parameters()]
    modules = str([{k: v for k, v in vars(m).items() if "hooks" in k} for m in gpt.modules()])
    base, source = record(gpt, *texts(6, 1))
    copies = [run.resid.clone() for run in (base, source)]
    receiver = Receiver("v", 2, 0)
    final = done(Paths(gpt, base, source, receiver, "heads")).states
    paths = Paths(gpt, base, source, receiver, "heads")
    for fraction in paths:
        known = paths.states.isfinite().all(-1)
        assert torch.equal(paths.states[known], final[known])
        if fraction > 0.5:
            break
    assert 0 < known.sum() < paths.senders
    assert writes == [parameter._version for parameter in gpt.parameters()]
    assert modules == str(
        [{k: v for k, v in vars(m).items() if "hooks" in k} for m in gpt.modules()]
    )
    for run, copy in zip((base, source), copies, strict=True):
        assert torch.equal(run.resid, copy)


# --- What it says it takes ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def wide() -> tuple[GPT, Run, Run]:
    model = random_gpt(4, 4, 128).requires_grad_(False)
    return model, *record(model, *texts(16, 4))


@each_way
@pytest.mark.parametrize("name", ["logits", "mlp2", "mlp3", "2.0.k", "3.0.v", "2.1.q@9", "1.2"])
def test_paths_take_the_work_and_the_memory_they_say(wide, name, frozen):
    paths = Paths(*wide, parse(name, 4, 4, 16), frozen)
    with LiveBytes() as live:
        found = done(Paths(*wide, paths.receiver, frozen))
        assert live.now == found.states.nbytes
    assert 0.7 * sum(paths.memory) < live.peak < 1.1 * sum(paths.memory)
    with FlopCounterMode(display=False) as counter:
        done(paths)
    counted = counter.get_total_flops()
    assert paths.work <= counted < 1.2 * paths.work


# --- What cannot be --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "receiver",
    [Receiver("mlp", 3), Receiver("q", 0, 2), Receiver("q", 0, 0, 6), Receiver("q", 0, 0, -1)],
    ids=str,
)
def test_a_receiver_that_is_not_there(gpt, receiver):
    base, source = record(gpt, *texts(6, 1))
    with pytest.raises(ValueError, match=f"there is no {receiver} in this model and text"):
        Paths(gpt, base, source, receiver)


def test_other_things_that_cannot_be(gpt):
    base, source = record(gpt, *texts(6, 1))
    far = replace(source, resid=source.resid.clone().fill_(torch.inf))
    with pytest.raises(ValueError, match='frozen is "all" or "heads", not \'mlps\''):
        Paths(gpt, base, source, Receiver("logits"), "mlps")
    with pytest.raises(UserError, match="The model's numbers are not finite after a patch; the we"):
        done(Paths(gpt, base, far, Receiver("logits")))
    with pytest.raises(UserError, match="in training mode"):
        Paths(gpt.train(), base, source, Receiver("logits"))
