"""Joint patches, against hooks on another model and against what a set must be."""

import random

import pytest
import torch

from core.engine import plan
from core.engine.joint import Joint
from core.engine.runs import record
from core.engine.sweep import Sweep
from core.question.components import Component, everything
from tests.builders import swept
from tests.hooked_gpt2 import Hooked, ablated, both_kinds, close, put, texts, twins

L, H, C = 3, 2, 8
_SITES = {"head": "head_z", "attn": "attn_out", "mlp": "mlp_out", "resid": "resid_post"}


def joint(model, base, source, *sets) -> torch.Tensor:
    made = Joint(model, base, source, sets)
    fractions = list(made)
    assert fractions == sorted(fractions) and fractions[-1] == 1
    return made.states


def runs_of(model, T: int, first: int, ablation: str | None = None):
    ids = texts(T, first)
    base, other = record(model, *ids)
    return ids, base, ablation or other


def hooked(theirs, ids, ablation, components) -> torch.Tensor:
    """The last position's logits of Hugging Face's model with all of the components put in, those
    of the stream last."""
    of = Hooked(theirs)
    edits = []
    for one in sorted(components, key=lambda one: one.kind == "resid"):
        site = "resid_pre" if one.kind == "embedding" else _SITES[one.kind]
        kept = of.kept(ids[0] if ablation else ids[1], site)[one.layer]
        new = ablated(kept, ablation, site) if ablation else kept
        at = slice(None) if one.position is None else one.position
        place = (at,) if one.head is None else (at, one.head)
        edits.append((site, one.layer, put(place, new)))
    return of.run(ids[0], edits)


def random_set(rng: random.Random, T: int) -> list[Component]:
    """Some of everything, and cells of the stream, at all positions or at one."""
    candidates = [*everything(L, H), *(Component("attn", layer) for layer in range(L))]
    chosen = {}
    for one in rng.sample(candidates, rng.randint(1, 4)):
        position = rng.choice([None, rng.randrange(T)])
        chosen[one.kind, one.layer, one.head] = Component(one.kind, one.layer, one.head, position)
    kinds = {(kind, layer) for kind, layer, _ in chosen}
    # An attention output beside heads of its layer covers them, whatever the order.
    found = [c for c in chosen.values() if c.kind != "head" or ("attn", c.layer) not in kinds]
    if rng.random() < 0.5:
        found.append(Component("resid", rng.randrange(L), position=rng.randrange(T)))
    return found


@both_kinds
@pytest.mark.parametrize("ablation", [None, "zero", "mean"])
@pytest.mark.parametrize(("T", "first"), [(1, 0), (5, 2), (9, 8), (12, 4)])
def test_any_set_is_what_hooks_on_another_model_say(settings, T, first, ablation):
    theirs, ours = twins(L, H, C, **settings)
    ids, base, other = runs_of(ours, T, first, ablation)
    rng = random.Random(T)
    sets = [random_set(rng, T) for _ in range(6)]
    states = joint(ours, base, other, *sets)
    for state, components in zip(states, sets, strict=True):
        close(ours.lm_head(state), hooked(theirs, ids, ablation, components))


def test_no_component_is_the_base_and_everything_is_the_other_run():
    _, ours = twins(L, H, C)
    _, base, other = runs_of(ours, 6, 2)
    nothing, whole = joint(ours, base, other, [], everything(L, H))
    assert torch.equal(nothing, base.state)
    close(whole, other.state)
    same = joint(ours, base, base, everything(L, H), [Component("mlp", 1)])
    close(same, base.state.expand_as(same))


def test_a_set_of_one_is_the_sweeps_cell_and_all_heads_of_a_layer_are_its_attention():
    _, ours = twins(L, H, C)
    _, base, other = runs_of(ours, 6, 2)
    heads, cells = (swept(Sweep(ours, base, other, of)) for of in ("head_z", "resid_post"))
    for layer in range(L):
        one = joint(
            ours,
            base,
            other,
            [Component("head", layer, 1)],
            [Component("resid", layer, position=4)],
        )
        close(one[0], heads[layer, 1])
        close(one[1], cells[layer, 4])
        all_heads, attention = joint(
            ours,
            base,
            other,
            [Component("head", layer, head) for head in range(H)],
            [Component("attn", layer)],
        )
        close(all_heads, attention)


def test_what_is_held_stays_as_on_the_base_which_is_the_same_seen_from_the_other_end():
    _, ours = twins(L, H, C)
    _, base, other = runs_of(ours, 6, 2)
    whole = everything(L, H)
    some = [Component("head", 1, 0), Component("mlp", 2), Component("head", 0, 1, 4)]
    rest = [one for one in whole if one not in (*some, Component("head", 0, 1))]
    rest += [Component("head", 0, 1, p) for p in range(6) if p != 4]
    made = Joint(ours, base, other, [whole], [some])
    seen = Joint(ours, other, base, [some], [rest])
    for each in (made, seen):
        list(each)
    close(made.states, seen.states)
    assert not torch.allclose(made.states[0], other.state, atol=1e-2)


def test_a_set_depends_neither_on_those_beside_it_nor_on_the_packing(monkeypatch):
    _, ours = twins(L, H, C)
    _, base, other = runs_of(ours, 8, 3)
    rng = random.Random(1)
    sets = [random_set(rng, 8) for _ in range(9)]
    together = joint(ours, base, other, *sets)
    close(joint(ours, base, other, *sets[::-1]).flip(0), together, atol=1e-5)
    monkeypatch.setattr(plan, "WORKING_MEMORY", 1)
    close(joint(ours, base, other, *sets), together, atol=1e-5)
    assert Joint(ours, base, other, sets).memory[1] < 2e6


def test_what_a_run_costs_is_what_comes_after_its_first_component():
    _, ours = twins(L, H, C)
    _, base, other = runs_of(ours, 6, 2)
    early, late = (Joint(ours, base, other, [[Component("mlp", of)]]).work for of in (0, L - 1))
    assert early > 2 * late > 0
    assert Joint(ours, base, other, [[]]).work == 0
