"""A joint run is one hooked run of Hugging Face's GPT-2 for every set, only quicker."""

import random
from itertools import product

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from core.engine import plan
from core.engine.joint import Joint, memory, together
from core.engine.runs import Run, record
from core.engine.sweep import Sweep
from core.errors import UserError
from core.question.components import Component, all_but, everything, parse
from tests.builders import random_gpt, swept
from tests.hooked_gpt2 import both_kinds, close, hooked_set, texts, twins
from tests.live_bytes import LiveBytes

# layers, heads, channels, tokens, first differing position
CASES = [
    pytest.param(3, 2, 8, 5, 2, id="a difference in the middle"),
    pytest.param(2, 3, 12, 6, 0, id="three heads, a difference at the first position"),
    pytest.param(1, 1, 8, 1, 0, id="one layer, one head, one token"),
    pytest.param(2, 2, 12, 40, 29, id="forty tokens"),
]
EMBEDDING = Component("embedding")


def done(joint: Joint) -> torch.Tensor:
    for _ in joint:
        assert not torch.is_inference_mode_enabled()
    return joint.states


def sets_of(L: int, H: int, T: int, seed: int = 0) -> list[tuple[Component, ...]]:
    """One of every kind alone, everywhere and at one position, and others at random; some grow one
    out of the other, and one is there twice."""
    whole = [*everything(L, H), EMBEDDING]
    whole += [Component(kind, layer) for kind in ("attn", "resid") for layer in range(L)]
    parts = [Component(of.kind, of.layer, of.head, p) for of, p in product(whole, range(T))]
    draw, last = random.Random(seed), L - 1
    some = [draw.sample(whole + parts, k=min(k, len(whole))) for k in (2, 3, 5, 8, 8)]
    order = draw.sample(whole, k=len(whole))
    some += [order[:k] for k in range(len(order))]
    some += [some[0], [*order[:2], Component("mlp", last, position=T - 1)]]
    alone = draw.sample(parts, k=min(12, len(parts)))
    return [(), *((of,) for of in whole + alone), *map(tuple, some)]


@pytest.mark.parametrize("how", ["there", "back", "zero", "position_mean"])
@pytest.mark.parametrize(("L", "H", "C", "T", "first"), CASES)
@both_kinds
def test_a_set_is_patched_as_with_hooks(settings, L, H, C, T, first, how):
    theirs, ours = twins(L, H, C, block_size=40, **settings)
    ids, other = texts(T, first)[:: -1 if how == "back" else 1]
    base, source = record(ours, ids, other)
    if how in ("zero", "position_mean"):
        other = source = how
    sets = sets_of(L, H, T)
    states = done(Joint(ours, base, source, sets))
    for components, state in zip(sets, states, strict=True):
        close(state @ ours.lm_head.weight.T, hooked_set(theirs, ids, other, components))


@pytest.fixture(scope="module")
def case():
    """A model, base and source."""
    _, ours = twins(4, 3, 12)
    return ours, *record(ours, *texts(9, 2))


def test_nothing_is_the_base_and_everything_the_source(case):
    model, base, source = case
    whole = everything(4, 3)
    early = Component("resid", 2, position=1)  # where both texts are the same still
    states = done(Joint(model, base, source, [(), (early,), (*whole, EMBEDDING), (EMBEDDING,)]))
    assert torch.equal(states[:2], base.state.expand(2, -1))
    close(states[2:], source.state.expand(2, -1), atol=1e-5)
    last = Component("resid", 3)
    close(done(Joint(model, base, source, [(last,)]))[0], source.state, atol=1e-5)


def test_a_layers_attention_is_all_its_heads_and_one_head_a_cell_of_the_map(case):
    model, base, source = case
    sets = [
        (Component("attn", layer), *(Component("head", layer, h) for h in range(3)))
        for layer in range(4)
    ]
    whole = done(Joint(model, base, source, [of[:1] for of in sets]))
    close(done(Joint(model, base, source, [of[1:] for of in sets])), whole, atol=1e-5)
    heads = [(of,) for of in everything(4, 3) if of.kind == "head"]
    cells = swept(Sweep(model, base, source, "head_z"))
    close(done(Joint(model, base, source, heads)), cells.flatten(0, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("site", "kind"), [("resid_post", "resid"), ("attn_out", "attn"), ("mlp_out", "mlp")]
)
@pytest.mark.parametrize("window", [0, 1])
def test_a_cell_is_a_cell_of_the_map_and_a_window_a_set(case, site, kind, window):
    model, base, source = case
    sets = [
        tuple(
            Component(kind, of, position=p)
            for of in range(max(0, layer - window), min(4, layer + window + 1))
        )
        for layer, p in product(range(4), range(9))
    ]
    cells = swept(Sweep(model, base, source, site, window=window)).flatten(0, 1)
    close(done(Joint(model, base, source, sets)), cells, atol=1e-5)


def test_all_but_a_set_and_the_set_are_everything(case):
    model, base, source = case
    rest = all_but(parse("2.1 mlp0@3 attn1 resid1@8", 4, 3, 9), 4, 3, 9)
    parts = [Component(of.kind, of.layer, of.head) for of in everything(4, 3)]
    parts = {Component(of.kind, of.layer, of.head, p) for of, p in product(parts, range(9))}
    there = {
        Component(of.kind, of.layer, of.head, p)
        for of in rest
        for p in ([of.position] if of.position is not None else range(9))
    }
    assert there < parts and len(there) < len(parts)
    taken = tuple(parts - there)
    states = done(Joint(model, base, source, [(*rest, *taken), (*everything(4, 3),)]))
    close(states[0], states[1], atol=1e-5)


@pytest.mark.parametrize("budget", [1, 20_000, 100_000, plan.WORKING_MEMORY])
def test_a_set_is_the_same_in_whatever_company(case, monkeypatch, budget):
    model, base, source = case
    sets = sets_of(4, 3, 9, seed=1)
    expected = torch.cat([done(Joint(model, base, source, [of])) for of in sets])
    monkeypatch.setattr(plan, "WORKING_MEMORY", budget)
    turned = [of[::-1] for of in sets[::-1]]
    joint = Joint(model, base, source, turned)
    fractions = list(joint)
    assert (fractions[0], fractions[-1]) == (0, 1) and fractions == sorted(fractions)
    close(joint.states.flip(0), expected, atol=1e-5)
    if budget == 1:  # one set in a step
        assert len(fractions) > 2 * len(sets)


def mixture(model, sets) -> list[Joint]:
    """Joints of several bases, that begin to differ at several positions, or nowhere."""
    a, b, c, d = record(model, *texts(9, 2, seed=1), *texts(9, 6, seed=2))
    ways = [(a, b), (b, a), (c, d), (a, a), (d, "position_mean"), (c, a), (a, b)]
    return [Joint(model, *way, sets[i::2]) for i, way in enumerate(ways)]


@pytest.mark.parametrize("budget", [1, 100_000, plan.WORKING_MEMORY])
def test_joints_together_are_each_alone_however_they_are_cut(case, budget):
    model, *_ = case
    sets = sets_of(4, 3, 9, seed=2)[::3]
    alone, joints = mixture(model, sets), mixture(model, sets)
    fractions = list(together(joints, budget))
    assert (fractions[0], fractions[-1]) == (0, 1) and fractions == sorted(fractions)
    for found, expected in zip(joints, alone, strict=True):
        close(found.states, done(expected), atol=1e-5)


def test_what_sets_share_is_run_once(case, monkeypatch):
    model, base, source = case
    heads = [of for of in everything(4, 3) if of.kind == "head"]
    curve = Joint(model, base, source, [heads[: k + 1] for k in range(12)])
    # After layer l there are 3 (l + 1) runs of 7 rows, of the 12 that there are in the end.
    rows = 7 * (3 + 6 + 9 + 12)
    assert curve.rows == rows
    # A run that begins has the base's queries, keys and values.
    alone = Joint(model, base, source, [(of,) for of in heads])
    for joint in (curve, alone):
        with FlopCounterMode(display=False) as counter:
            done(joint)
        assert joint.work < counter.get_total_flops() < 1.2 * joint.work
    # What goes together is what is alike, in whatever order it is asked for.
    monkeypatch.setattr(plan, "WORKING_MEMORY", 30_000)
    sets = [heads[: k + 1] for k in range(12)]
    turned = [sets[5 * k % 12] for k in range(12)]
    one, other = (Joint(model, base, source, of) for of in (sets, turned))
    assert one.rows == other.rows > rows
    nothing = Joint(model, base, source, [()])
    assert (nothing.rows, nothing.work, list(nothing)) == (0, 0, [1.0])


def test_what_cannot_be(case):
    model, base, source = case
    for of in ("9.0", "0.9", "mlp0@99"):
        with pytest.raises(ValueError, match=f"there is no {of} in this model and text"):
            Joint(model, base, source, [parse(of, 99, 99, 999)])
    far = Run(source.ids, source.resid.clone().fill_(torch.inf), source.qkv, source.state)
    with pytest.raises(UserError, match="The model's numbers are not finite after a patch; the we"):
        done(Joint(model, base, far, [parse("resid1", 4, 3, 9)]))


@pytest.mark.parametrize("dtype", [torch.float, torch.bfloat16])
@pytest.mark.parametrize("budget", [1_000_000, plan.WORKING_MEMORY])
@pytest.mark.parametrize(("T", "first"), [(32, 0), (32, 20)])
def test_joint_runs_take_the_memory_they_say(monkeypatch, T, first, budget, dtype):
    model = random_gpt(4, 8, 128, block_size=T).to(dtype)
    base, source = record(model, *texts(T, first))
    monkeypatch.setattr(plan, "WORKING_MEMORY", budget)
    sets = [everything(4, 8)[:k] for k in range(1, 36)]
    with LiveBytes() as live:
        joint = Joint(model, base, source, sets)
        done(joint)
    assert 0.8 * sum(joint.memory) < live.peak < 1.15 * sum(joint.memory)
    with LiveBytes() as live:
        both = [Joint(model, base, source, sets), Joint(model, source, base, sets)]
        list(together(both))
    assert 0.7 * sum(memory(both)) < live.peak < 1.15 * sum(memory(both))
