"""The small rest: seeds, settings, and the record of a training run."""

import json
import random

import numpy as np
import pytest
import torch

from mingpt.utils import CfgNode, set_seed, setup_logging


def nested() -> CfgNode:
    return CfgNode(
        system=CfgNode(seed=1, work_dir="out"),
        model=CfgNode(n_layer=2, inner=CfgNode(rate=0.1)),
        name="first",
    )


def test_settings_are_attributes_and_plain_dictionaries_and_print_nested():
    config = nested()
    assert config.model.inner.rate == 0.1
    assert config.to_dict() == {
        "system": {"seed": 1, "work_dir": "out"},
        "model": {"n_layer": 2, "inner": {"rate": 0.1}},
        "name": "first",
    }
    assert str(config) == (
        "system:\n    seed: 1\n    work_dir: out\n"
        "model:\n    n_layer: 2\n    inner:\n        rate: 0.1\n"
        "name: first\n"
    )


def test_merging_a_dictionary_sets_known_and_new_keys():
    config = nested()
    config.model.merge_from_dict({"n_layer": 6, "new": True})
    assert (config.model.n_layer, config.model.new) == (6, True)
    assert config.system.seed == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10),
        ("3e-4", 3e-4),
        ("(0.9, 0.95)", (0.9, 0.95)),
        ("'a=b'", "a=b"),
        ("gpt-mini", "gpt-mini"),
        ("", ""),
    ],
)
def test_a_command_line_value_is_a_literal_or_else_a_string_at_every_depth(text, value):
    config = nested()
    config.merge_from_args([f"--name={text}", f"--model.inner.rate={text}"])
    assert config.name == config.model.inner.rate == value
    assert config.system.to_dict() == nested().system.to_dict()


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("model.n_layer=3", "expected --name=value, got 'model.n_layer=3'"),
        ("--model.n_layer", "expected --name=value, got '--model.n_layer'"),
        ("--model.depth=3", "'model.depth' is not a setting of this configuration"),
        ("--nothing.n_layer=3", "'nothing.n_layer' is not a setting of this configuration"),
        ("--name.n_layer=3", "'name.n_layer' is not a setting of this configuration"),
    ],
)
def test_an_argument_that_is_no_setting_says_so(argument, text):
    config = nested()
    with pytest.raises(ValueError, match=text):
        config.merge_from_args([argument])
    assert config.to_dict() == nested().to_dict()


def test_a_seed_makes_all_three_generators_repeat():
    def draw():
        return random.random(), np.random.rand(), torch.rand(()).item()

    set_seed(3)
    first = draw()
    assert draw() != first
    set_seed(3)
    assert draw() == first
    set_seed(4)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_logging_records_the_command_line_and_the_settings(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py", "--model.n_layer=2"])
    config = nested()
    config.system.work_dir = str(tmp_path / "runs" / "first")
    setup_logging(config)
    setup_logging(config)  # a second run into the same folder is no mistake
    folder = tmp_path / "runs" / "first"
    assert (folder / "args.txt").read_text() == "train.py --model.n_layer=2"
    assert json.loads((folder / "config.json").read_text()) == config.to_dict()
