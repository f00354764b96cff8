"""The examples: good on the models that know their words, and offered on no other."""

import pytest

from core.models import Entry, load_tokenizer, named
from core.presets import PRESETS, Preset, offered
from mingpt.bpe import load_encoder
from tests.builders import CLEAN, CORRUPTED, tiny_encoder

OPEN = Entry("open", "Open", "Reads anything.")
CLOSED = Entry("closed", "Closed", "Knows its own words.", closed_vocabulary=True)
MICHELLE = "Michelle Jones was a top-notch student. Michelle"


def test_there_are_enough_examples_each_with_what_to_look_for():
    assert len({preset.title for preset in PRESETS}) == len(PRESETS) >= 8
    assert len({(preset.clean, preset.corrupted) for preset in PRESETS}) == len(PRESETS)
    assert all(preset.look_for.endswith((".", "?")) for preset in PRESETS)


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
