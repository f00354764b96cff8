"""The small rest: seeding, a settings object, and where a training run writes its settings."""

import ast
import json
import random
import sys
from pathlib import Path

import numpy as np
import torch


def set_seed(seed: int) -> None:
    """Seed Python's, NumPy's and torch's generators (all devices)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def setup_logging(config: "CfgNode") -> None:
    """Write the command line and `config` into `config.system.work_dir`, made if missing."""
    work_dir = Path(config.system.work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    (work_dir / "args.txt").write_text(" ".join(sys.argv), encoding="utf-8")
    settings = json.dumps(config.to_dict(), indent=4)
    (work_dir / "config.json").write_text(settings, encoding="utf-8")


class CfgNode:
    """Settings as attributes, nested as deep as needed: `config.model.n_layer = 6`."""

    def __init__(self, **settings):
        self.__dict__.update(settings)

    def __str__(self) -> str:
        return self._as_text(depth=0)

    def _as_text(self, depth: int) -> str:
        lines = []
        for key, value in self.__dict__.items():
            if isinstance(value, CfgNode):
                lines.append(f"{key}:\n{value._as_text(depth + 1)}")
            else:
                lines.append(f"{key}: {value}\n")
        return "".join("    " * depth + line for line in lines)

    def to_dict(self) -> dict:
        """The settings as nested plain dictionaries."""
        return {
            key: value.to_dict() if isinstance(value, CfgNode) else value
            for key, value in self.__dict__.items()
        }

    def merge_from_dict(self, settings: dict) -> None:
        """Set every key of `settings`, known before or not."""
        self.__dict__.update(settings)

    def merge_from_args(self, args: list[str]) -> None:
        """Override settings from a command line such as `--model.n_layer=10 --trainer.lr=3e-4`.

        Values are read as Python literals, and as plain strings where they are none. Raises
        ValueError for an argument of another form, or a setting that does not exist.
        """
        for arg in args:
            name, equals, text = arg.removeprefix("--").partition("=")
            if not arg.startswith("--") or not equals:
                raise ValueError(f"expected --name=value, got {arg!r}")
            try:
                value = ast.literal_eval(text)
            except (ValueError, SyntaxError):
                value = text
            *parents, leaf = name.split(".")
            node = self
            for parent in parents:
                node = getattr(node, parent, None)
            if not isinstance(node, CfgNode) or not hasattr(node, leaf):
                raise ValueError(f"{name!r} is not a setting of this configuration")
            setattr(node, leaf, value)
