"""The packs: pairs by the hundred that the models they are for can all use."""

import re

import pytest

from core.many.fitting import fit, shared_columns
from core.many.packs import PACKS, twin
from core.many.pairs import read, write
from core.presets import PRESETS
from core.teaching import WEIGHTS
from core.teaching.behaviours import BEHAVIOURS
from mingpt.bpe import load_encoder


def named(vocabulary: str):
    packs = [pack for pack in PACKS.values() if pack.vocabulary == vocabulary]
    return pytest.mark.parametrize("pack", packs, ids=lambda pack: pack.name)


def check_all_fit(pack, encoder):
    pairs = pack.make()
    assert 100 <= len(pairs) <= 500
    fitted, dropped = fit(pairs, encoder, 64, rest=True)
    assert not dropped
    _, shared, left_out = shared_columns(fitted)
    assert len(shared) == len(pairs) and not left_out
    assert len({(pair.clean, pair.corrupted) for pair in pairs}) == len(pairs)


def test_a_pack_has_the_one_on_the_same_behaviour_for_the_other_model_if_there_is_one():
    for name in ("ioi", "surname", "capital", "agreement", "gender"):
        pair = PACKS[f"teaching-{name}"], PACKS[f"gpt2-{name}"]
        assert (twin(pair[0]), twin(pair[1])) == pair[::-1]
    assert twin(PACKS["teaching-binding"]) is twin(PACKS["gpt2-greater-than"]) is None


@named("teaching")
def test_the_teaching_model_can_use_every_pair_of_its_packs(pack):
    check_all_fit(pack, load_encoder(WEIGHTS))


@named("gpt2")
def test_gpt2_can_use_every_pair_of_its_packs(pack, gpt2_tokenizer_folder):
    check_all_fit(pack, load_encoder(gpt2_tokenizer_folder))


@pytest.mark.parametrize("name", PACKS)
def test_a_pack_is_the_same_each_time_and_can_be_written_and_read(name):
    pairs = PACKS[name].make()
    assert PACKS[name].make() == pairs
    assert read(write(pairs).encode(), name) == (pairs, [])


def test_there_is_one_of_each_behaviour_called_as_its_example_is():
    titles = {pack.title for pack in PACKS.values() if pack.vocabulary == "teaching"}
    assert titles == {preset.title for preset in PRESETS if preset.behaviour}
    assert len(titles) == len(BEHAVIOURS)


@pytest.mark.parametrize("name", ["teaching-ioi", "gpt2-ioi"])
def test_indirect_objects_come_in_both_orders_and_their_roles_are_what_they_say(name):
    pairs = PACKS[name].make()
    for pair in pairs:
        said, there = (
            {role.name: text[role.start : role.end] for role in roles}
            for text, roles in (
                (pair.clean, pair.clean_roles),
                (pair.corrupted, pair.corrupted_roles),
            )
        )
        assert (f" {said['IO']}",) == pair.target
        assert (f" {said['S1']}",) == pair.foil == (f" {said['S2']}",)
        assert there == said | {"S2": said["IO"]}
        assert re.search(rf"{said['S1']} {re.escape(said['S1+1'])}\b", pair.clean)
        first = next(role.name for role in pair.clean_roles)
        assert pair.group == ("ABBA" if first == "IO" else "BABA")
    orders = [pair.group for pair in pairs]
    assert min(orders.count("ABBA"), orders.count("BABA")) > 100


def test_years_after_are_the_targets():
    for pair in PACKS["gpt2-greater-than"].make():
        year = int(re.search(r"year \d\d(\d\d) ", pair.clean)[1])
        assert [int(text) for text in pair.target] == list(range(year + 1, 100))
        assert [int(text) for text in pair.foil] == list(range(year + 1))


def test_a_surname_is_told_once():
    for name in ("teaching-surname", "gpt2-surname"):
        for pair in PACKS[name].make():
            assert pair.clean.count(pair.target[0]) == pair.corrupted.count(pair.foil[0]) == 1
            assert pair.clean.replace(pair.target[0], pair.foil[0]) == pair.corrupted
