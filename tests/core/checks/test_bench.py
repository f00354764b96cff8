"""What the bench says is what was measured, and its ratios are those of its numbers."""

import json

import pytest
from torch.utils.flop_counter import FlopCounterMode

from core.__main__ import main
from core.checks import bench
from core.engine.plan import Plan
from core.engine.sweep import Sweep, sizes_of
from core.engine.work import run_work
from core.errors import UserError
from mingpt.model import GPT
from tests.builders import random_gpt


@pytest.fixture(scope="module")
def gpt() -> GPT:
    return random_gpt(3, 2, 8).requires_grad_(False)


def test_it_measures_the_sweep_of_its_texts_beside_a_plain_loop(gpt):
    numbers, sizes = bench.measure(gpt, tokens=7, budget=0), sizes_of(gpt)
    plain = sum(run_work(*sizes[:3], 7, 0, p, 7 - p) for p in (0, 1))  # they part at position 1
    assert numbers["operations"] == Plan(sizes, 7, differ=1).work + plain
    assert numbers["cells"] == 3 * 7
    assert (numbers["tokens"], numbers["rounds"], numbers["device"]) == (7, 1, "cpu")
    assert 0 <= numbers["largest_logit_difference"] < 1e-4
    assert numbers["plain_cells_timed"] > 0
    for ratio, one, other in (
        ("rate", "operations", "sweep_seconds"),
        ("fraction_of_large_rate", "rate", "large_rate"),
        ("fraction_of_own_shapes_rate", "rate", "own_shapes_rate"),
        ("times_faster_than_plain_loop", "plain_loop_seconds", "sweep_seconds"),
    ):
        assert numbers[ratio] == pytest.approx(numbers[one] / numbers[other])


def test_a_sweep_of_other_cells_is_told_apart(gpt, monkeypatch):
    """So that the difference of logits is one of the same cells."""
    sweep = Sweep.__iter__

    def shifted(self):
        yield from sweep(self)
        self.states = self.states.roll(1, dims=1)

    monkeypatch.setattr(Sweep, "__iter__", shifted)
    assert bench.measure(gpt, tokens=7, budget=0.05)["largest_logit_difference"] > 1e-2


def test_its_own_products_are_as_many_operations_as_it_says(gpt):
    said, multiply = bench._own_products(gpt, [(5, 7), (3, 2), (0, 0), (4, 4)])
    with FlopCounterMode(display=False) as counter:
        multiply()
    assert counter.get_total_flops() == said


def test_the_plain_loop_is_scaled_to_all_cells(gpt, monkeypatch):
    monkeypatch.setattr(bench, "_seconds", lambda work, device: 0.5)
    numbers = bench.measure(gpt, tokens=7, budget=0)
    assert numbers["plain_loop_seconds"] == 0.5 * 3 * 7
    assert numbers["times_faster_than_plain_loop"] == 3 * 7


@pytest.mark.parametrize("site", ["mlp_out", "head_z", "head_z_position"])
def test_other_sites_are_measured_without_a_plain_loop(gpt, site):
    numbers = bench.measure(gpt, tokens=4, site=site, budget=0)
    assert numbers["site"] == site and numbers["sweep_seconds"] > 0
    assert "plain_loop_seconds" not in numbers


@pytest.mark.parametrize("tokens, parted", [(1, 0), (2, 1), (11, 1)])
def test_its_texts_part_early_and_once(tokens, parted):
    clean, corrupted = bench.texts(random_gpt(), tokens)
    assert len(clean) == len(corrupted) == tokens
    assert [i for i in range(tokens) if clean[i] != corrupted[i]] == [parted]


def test_a_random_model_has_the_shape_of_its_size_and_lies_in_memory_as_a_loaded_one():
    gpt = bench.random_model("gpt-nano")
    assert (gpt.config.vocab_size, gpt.block_size, len(gpt.transformer.h)) == (50257, 1024, 3)
    weights = [p for p in gpt.transformer.h.parameters() if p.dim() == 2]
    assert all(weight.t().is_contiguous() for weight in weights)


def test_a_length_the_model_cannot_read_and_a_size_there_is_not_are_refused(gpt):
    for tokens in (0, 17):
        with pytest.raises(UserError, match=f"This model reads 1 to 16 tokens, not {tokens}"):
            bench.measure(gpt, tokens)
    with pytest.raises(UserError, match="There is no size 'gpt3': choose gpt2, gpt2-medium"):
        bench.random_model("gpt3")


def test_the_command_prints_every_number(model_folder, tmp_path, capsys):
    file = tmp_path / "numbers.json"
    command = ["bench", "--model", str(model_folder), "--tokens", "5", "--budget", "0", "--json"]
    assert main([*command, str(file)]) == 0
    printed = capsys.readouterr().out
    numbers = json.loads(file.read_text())
    for key, shown in [
        ("cells", "{:,} cells"),
        ("threads", "{} threads"),
        ("sweep_seconds", "{:.4f} s"),
        ("plain_loop_seconds", "{:.2f} s"),
        ("plain_cells_timed", "{} timed runs"),
        ("fraction_of_large_rate", "achieved {:.0%}"),
        ("fraction_of_own_shapes_rate", "achieved {:.0%}"),
    ]:
        assert shown.format(numbers[key]) in printed
    assert main([*command, "-"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == 5  # and nothing else
