"""The checkpoints along the training of the teaching model, small enough to be shipped.

A checkpoint of a seed after some steps is `weights/seed<S>/step<N>.npz`. Of every matrix it keeps
whole numbers: each row divided by a 32nd of its root mean square, and rounded. That is an error of
1 % of a typical weight, and the file holds 7 bits of a weight instead of 32. What this changes in a
map is measured by `python -m tests.benchmarks.checkpoints`: 0.05 of recovery at the most.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
import torch

from core.teaching import WEIGHTS
from mingpt.model import GPT

SEEDS = (0, 1)  # the shipped runs; the first one's end is the teaching model itself
FINENESS = 32  # roundings to the root mean square of a row
_LARGEST = 127  # in a signed byte
_NAME = re.compile(r"seed([0-9]{1,9})-step([0-9]{1,9})")


@dataclass(frozen=True, order=True)
class Checkpoint:
    """A moment of a training run."""

    seed: int
    step: int

    @property
    def name(self) -> str:
        return f"seed{self.seed}-step{self.step}"

    @classmethod
    def named(cls, name: str) -> Self:
        """The inverse of `name`. Raises ValueError for any other text."""
        found = _NAME.fullmatch(name)
        if not found:
            raise ValueError(f"{name!r} is no name of a checkpoint")
        return cls(*map(int, found.groups()))

    def path(self, out: Path = WEIGHTS) -> Path:
        """Its file under the folder of all of them."""
        return out / f"seed{self.seed}" / f"step{self.step}.npz"


def steps_of(steps: int, count: int = 9) -> tuple[int, ...]:
    """After which steps of a run of `steps` a checkpoint is kept: at the beginning, and so often
    that each is about the square root of two times the one before, in round numbers."""
    spaced = (steps / 2 ** (i / 2) for i in range(count))
    return tuple(sorted({0} | {int(float(f"{step:.2g}")) for step in spaced} - {steps} | {steps}))


@cache
def shipped(out: Path = WEIGHTS) -> tuple[Checkpoint, ...]:
    """All that there are, by seed and step."""
    files = out.glob("seed*/step*.npz")
    found = {Checkpoint.named(f"{file.parent.name}-{file.stem}") for file in files}
    return tuple(sorted(found | {end(found)})) if found else ()


def end(checkpoints: Iterable[Checkpoint]) -> Checkpoint:
    """Which of them is the model itself."""
    return Checkpoint(SEEDS[0], max(checkpoint.step for checkpoint in checkpoints))


def save(model: GPT, path: Path) -> None:
    """Keep a model as a checkpoint; the folder is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().float().cpu().contiguous()
        if name == "lm_head.weight":  # the token embedding once more
            continue
        if tensor.dim() == 1:
            arrays[name] = tensor.numpy().astype(np.float16)
            continue
        step = tensor.square().mean(dim=1).sqrt() / FINENESS
        step = torch.maximum(step, tensor.abs().amax(dim=1) / _LARGEST).half().float()  # (rows,)
        whole = (tensor / step[:, None].clamp_min(1e-12)).round()
        arrays[name] = whole.clamp(-_LARGEST, _LARGEST).numpy().astype(np.int8)
        arrays[f"{name}.step"] = step.numpy().astype(np.float16)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    partial.replace(path)


def load(checkpoint: Checkpoint, out: Path = WEIGHTS) -> GPT:
    """The model as it was then, in float32 and in evaluation mode, on the CPU."""
    model = GPT.from_pretrained(out)
    if checkpoint == end(shipped(out)):
        return model
    with np.load(checkpoint.path(out), allow_pickle=False) as arrays:
        state = {
            name: _restored(arrays, name) for name in arrays.files if not name.endswith(".step")
        }
    state["lm_head.weight"] = state["transformer.wte.weight"]
    model.load_state_dict(state)
    return model


def _restored(arrays: np.lib.npyio.NpzFile, name: str) -> torch.Tensor:
    values = arrays[name].astype(np.float32)
    if values.ndim == 2:
        values *= arrays[f"{name}.step"].astype(np.float32)[:, None]
    return torch.from_numpy(values)
