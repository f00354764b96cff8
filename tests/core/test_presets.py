"""The examples: good on the models that know their words, and offered on no other."""

import pytest

from core.catalogue import Entry, named
from core.models import load_tokenizer
from core.presets import PRESETS, Preset, offered, word_groups
from mingpt.bpe import load_encoder
from tests.builders import CLEAN, CORRUPTED, tiny_encoder

OPEN = Entry("open", "Open", "Reads anything.")
CLOSED = Entry("closed", "Closed", "Knows its own words.", closed_vocabulary=True)
MICHELLE = "Michelle Jones was a top-notch student. Michelle"


def test_there_are_enough_examples_each_with_a_question():
    assert len({preset.title for preset in PRESETS}) == len(PRESETS) >= 8
    assert len({(preset.clean, preset.corrupted) for preset in PRESETS}) == len(PRESETS)
    assert all(preset.asks.endswith((".", "?")) for preset in PRESETS)


def test_the_michelle_pair_and_its_variants_are_there():
    assert {preset.corrupted for preset in PRESETS if preset.clean == MICHELLE} == {
        MICHELLE.replace("Jones", "Smith"),
        MICHELLE.replace("Michelle Jones", "Jessica Jones"),
        MICHELLE.replace(". Michelle", ". Jessica"),
    }


def test_the_teaching_model_is_offered_what_it_knows():
    entry = named("teaching")
    shown = offered(entry, load_tokenizer(entry))
    assert shown[0].clean == MICHELLE
    hidden = [preset.title for preset in PRESETS if preset not in shown]
    assert hidden == ["A bottle of milk", "The Eiffel Tower"]


def test_every_example_fits_gpt2(gpt2_tokenizer_folder):
    assert offered(OPEN, load_encoder(gpt2_tokenizer_folder)) == PRESETS


@pytest.mark.parametrize(
    ("clean", "corrupted", "target", "foil", "on_open", "on_closed"),
    [
        (CLEAN, CORRUPTED, " Lee", " Poe", True, True),
        ("abc", "abd", " Lee", " Poe", True, False),
        (CLEAN, CORRUPTED + " Lee", " Lee", " Poe", False, False),
        (CLEAN, CORRUPTED, " Lou", " Poe", False, False),
        (CLEAN, CORRUPTED, " Lee", " Poes", False, False),
    ],
)
def test_an_example_is_offered_where_it_fits(
    monkeypatch, clean, corrupted, target, foil, on_open, on_closed
):
    preset = Preset("Title", "Look.", clean, corrupted, target, foil)
    monkeypatch.setattr("core.presets.PRESETS", (preset,))
    for entry, fits in ((OPEN, on_open), (CLOSED, on_closed)):
        assert offered(entry, tiny_encoder()) == ((preset,) if fits else ())


def test_an_example_becomes_an_experiment_on_the_chosen_model():
    asked = PRESETS[0].experiment("gpt2")
    assert (asked.model, asked.clean, asked.target) == ("gpt2", MICHELLE, " Jones")


def test_words_to_put_in_are_one_token_each_in_groups_that_a_tokenizer_has(monkeypatch):
    entry = named("teaching")
    encoder = load_tokenizer(entry)
    groups = word_groups(encoder)
    assert "Jones" in groups["Surnames"] and "Paris" in groups["Cities"]
    assert "Months" not in groups  # which are none of its words
    for group in groups.values():
        assert len(set(group)) == len(group) >= 3
        assert all(word.isalpha() and len(encoder.encode(f" {word}")) == 1 for word in group)
    monkeypatch.setattr("core.presets._WORD_GROUPS", {"Some": ["Lee", "Lee", "Lou", "Po-e"]})
    assert word_groups(tiny_encoder()) == {"Some": ("Lee",)}


def test_gpt2_has_words_of_every_group(gpt2_tokenizer_folder):
    groups = word_groups(load_encoder(gpt2_tokenizer_folder))
    assert {"Surnames", "Months", "Numbers"} < groups.keys()
    assert min(map(len, groups.values())) >= 3
