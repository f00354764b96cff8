"""Training: it learns, it repeats, and a stopped run goes on as if it had not stopped."""

import copy

import pytest
import torch
from torch.utils.data import Dataset

from mingpt.trainer import RandomBatches, Trainer
from tests.builders import random_gpt


class Successors(Dataset):
    """Every token is followed by the next one: learned within a few steps."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        text = (index + torch.arange(6)) % 10
        return text[:-1], text[1:]


def trainer(max_iters: int, seed: int = 0, learning_rate: float = 1e-2) -> Trainer:
    config = Trainer.get_default_config()
    config.merge_from_dict({"device": "cpu", "num_workers": 0, "batch_size": 4})
    config.merge_from_dict({"max_iters": max_iters, "learning_rate": learning_rate})
    torch.manual_seed(seed)
    return Trainer(config, random_gpt(2, 2, 16, vocab_size=10, block_size=5), Successors())


def losses(made: Trainer) -> list[float]:
    seen = []
    made.add_callback("on_batch_end", lambda trainer: seen.append(trainer.loss.item()))
    made.run()
    return seen


def test_the_loss_falls():
    seen = losses(trainer(80))
    assert len(seen) == 80
    assert sum(seen[-5:]) < 0.2 * sum(seen[:5])


def test_training_changes_every_parameter():
    made = trainer(2)
    before = copy.deepcopy(made.model.state_dict())
    made.run()
    after = made.model.state_dict()
    assert not [name for name in after if torch.equal(before[name], after[name])]


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    assert losses(trainer(6, seed=1)) == losses(trainer(6, seed=1))
    assert losses(trainer(6, seed=1)) != losses(trainer(6, seed=2))


def test_a_stopped_run_goes_on_bit_for_bit():
    whole = trainer(9)
    whole_losses = losses(whole)

    first = trainer(9)
    kept = {}

    def keep(made: Trainer) -> None:
        if made.iter_num == 3:
            kept.update(model=copy.deepcopy(made.model.state_dict()))
            kept.update(trainer=copy.deepcopy(made.state_dict()))

    first.add_callback("on_batch_end", keep)
    first.run()

    second = trainer(9, seed=5)  # another process, which had another seed
    second.model.load_state_dict(kept["model"])
    second.load_state_dict(kept["trainer"])
    assert losses(second) == whole_losses[4:]
    for name, parameter in second.model.state_dict().items():
        assert torch.equal(parameter, whole.model.state_dict()[name]), name


def test_a_finished_run_can_be_prolonged():
    made = trainer(3)
    seen = losses(made)
    assert len(seen) == 3
    made.config.max_iters = 5
    made.run()  # `seen` goes on growing
    assert seen == losses(trainer(5))


def test_batch_i_depends_on_the_seed_and_i_alone():
    def take(count: int, seed: int, start: int) -> list[list[int]]:
        batches = iter(RandomBatches(100, 8, seed, start))
        return [next(batches) for _ in range(count)]

    assert take(5, seed=1, start=0)[3:] == take(2, seed=1, start=3)
    assert take(2, seed=1, start=0) != take(2, seed=2, start=0)
    drawn = [index for indices in take(200, seed=1, start=0) for index in indices]
    assert set(drawn) == set(range(100))


def test_callbacks_see_the_run_in_order_and_setting_one_replaces_the_others():
    made, seen = trainer(3), []
    made.add_callback("on_batch_end", lambda trainer: seen.append(("replaced", trainer.iter_num)))
    made.set_callback("on_batch_end", lambda trainer: seen.append(("set", trainer.iter_num)))
    made.add_callback("on_batch_end", lambda trainer: seen.append(("added", trainer.iter_num)))
    made.trigger_callbacks("nothing hangs on this")
    made.run()
    assert seen == [(who, number) for number in range(3) for who in ("set", "added")]


def test_gradients_are_clipped_to_their_norm():
    made, norms = trainer(1), []
    made.config.grad_norm_clip = 1e-3

    def measure(trainer: Trainer) -> None:
        gradients = [parameter.grad.flatten() for parameter in trainer.model.parameters()]
        norms.append(torch.cat(gradients).norm().item())

    made.add_callback("on_batch_end", measure)
    made.run()
    assert norms == [pytest.approx(1e-3, rel=1e-2)]
