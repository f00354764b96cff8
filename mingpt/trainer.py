"""The training loop: any torch Dataset of (x, y) pairs, any model that returns (logits, loss).

It knows nothing of GPTs beyond `model.configure_optimizers`. What happens around a step (logging,
a learning-rate schedule, checkpoints) hangs on the `on_batch_end` event. A run can be stopped and
resumed without changing its outcome: see `state_dict`.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import torch
from torch.utils.data import Dataset
from torch.utils.data.dataloader import DataLoader

from mingpt.utils import CfgNode as CN


class RandomBatches:
    """Endless batches of indices drawn with replacement; batch i depends on (seed, i) alone.

    That is what lets a resumed run see exactly the batches it would have seen.
    """

    def __init__(self, dataset_size: int, batch_size: int, seed: int, start: int):
        self.dataset_size = dataset_size
        self.batch_size = batch_size
        self.seed = seed
        self.start = start

    def __iter__(self) -> Iterator[list[int]]:
        iteration = self.start
        while True:
            generator = torch.Generator().manual_seed(hash((self.seed, iteration)) % 2**63)
            size = (self.batch_size,)
            yield torch.randint(self.dataset_size, size, generator=generator).tolist()
            iteration += 1


class Trainer:
    """Trains `model` on random batches of `train_dataset` until `config.max_iters`.

    During callbacks `iter_num`, `iter_dt` (seconds), `loss`, `optimizer` and `device` are current.
    """

    @staticmethod
    def get_default_config() -> CN:
        config = CN()
        config.device = "auto"  # "auto" takes a GPU when there is one
        config.num_workers = 4  # processes that prepare batches
        config.max_iters = None  # None: until interrupted
        config.batch_size = 64
        config.learning_rate = 3e-4
        config.betas = (0.9, 0.95)
        config.weight_decay = 0.1  # on the weights of linear layers only
        config.grad_norm_clip = 1.0
        return config

    def __init__(self, config: CN, model: torch.nn.Module, train_dataset: Dataset):
        self.config = config
        self.train_dataset = train_dataset
        self.callbacks: dict[str, list[Callable[[Trainer], None]]] = defaultdict(list)
        self.device = config.device
        if self.device == "auto":
            self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = model.to(self.device)
        self.optimizer = None
        self.loss = None
        self.seed = torch.initial_seed()
        self.iter_num = 0
        self.iter_time = 0.0
        self.iter_dt = 0.0

    def add_callback(self, onevent: str, callback: Callable[["Trainer"], None]) -> None:
        self.callbacks[onevent].append(callback)

    def set_callback(self, onevent: str, callback: Callable[["Trainer"], None]) -> None:
        self.callbacks[onevent] = [callback]

    def trigger_callbacks(self, onevent: str) -> None:
        for callback in self.callbacks.get(onevent, []):
            callback(self)

    def state_dict(self) -> dict:
        """What, with the model's own state_dict, continues this run as if it had not stopped.

        Taken inside `on_batch_end` it describes the run after that batch. Dropout draws from
        torch's global generator, which is not part of it.
        """
        return {
            "next_iter": self.iter_num + 1,
            "seed": self.seed,
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Continue from `state_dict()`: `run` then starts at the batch after it."""
        self.iter_num = state["next_iter"]
        self.seed = state["seed"]
        self.optimizer = self.model.configure_optimizers(self.config)
        self.optimizer.load_state_dict(state["optimizer"])

    def run(self) -> None:
        """Train from `iter_num` on; returns once `max_iters` batches have been seen."""
        model, config = self.model, self.config
        if self.optimizer is None:
            self.optimizer = model.configure_optimizers(config)
        size = len(self.train_dataset)
        batches = DataLoader(
            self.train_dataset,
            batch_sampler=RandomBatches(size, config.batch_size, self.seed, self.iter_num),
            num_workers=config.num_workers,
            pin_memory=str(self.device).startswith("cuda"),
        )
        model.train()
        self.iter_time = time.time()
        for batch in batches:
            if config.max_iters is not None and self.iter_num >= config.max_iters:
                break
            x, y = (tensor.to(self.device) for tensor in batch)
            _, self.loss = model(x, y)
            model.zero_grad(set_to_none=True)
            self.loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_norm_clip)
            self.optimizer.step()

            self.trigger_callbacks("on_batch_end")
            self.iter_num += 1
            now = time.time()
            self.iter_dt, self.iter_time = now - self.iter_time, now
