"""What commands are asked in common: a pair, what to patch, which model, which files to write."""

import argparse
import math
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from reprlib import repr as brief  # a person may type thousands of digits

from core import catalogue, delivery, models, output
from core.commands.progress import draw_download
from core.errors import UserError
from core.many.cli import WINDOW
from core.question.experiment import OF_ONE, Experiment
from core.question.metrics import METRICS
from core.question.sites import SITES

# What can be written, and the suffix that its file has by custom.
PICTURES = ("png", "svg", "pdf")
_SUFFIXES = {"csv": ".csv", "matrix": ".csv", "png": ".png", "svg": ".svg", "pdf": ".pdf"}
_SUFFIXES |= {"json": ".json"}
OF_PAIR = (
    *(("clean", "TEXT", None), ("corrupted", "TEXT", None)),
    *(("target", "TOKEN", 'e.g. " Jones"'), ("foil", "TOKEN", 'e.g. " Smith"')),
)


def whole(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"{brief(text)} is no whole number below 1,000,000,000")
    return int(text)


def number(text: str) -> float:
    with suppress(ValueError):
        if len(text) < 20 and math.isfinite(float(text)):
            return float(text)
    raise argparse.ArgumentTypeError(f"{brief(text)} is no number")


def seconds(text: str) -> float:
    with suppress(ValueError):
        if len(text) < 20 and 0 <= float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{brief(text)} is no number of seconds")


def pair(command: argparse.ArgumentParser, required: bool = True) -> None:
    """Two texts, the tokens that compete, and how to patch and to measure."""
    for name, metavar, example in OF_PAIR:
        command.add_argument(f"--{name}", required=required, metavar=metavar, help=example)
    command.add_argument("--metric", default="logit_diff", help=", ".join(METRICS))
    command.add_argument("--direction", default="denoise", help=", ".join(OF_ONE))
    command.add_argument("--bos", action="store_true", help="begin both texts with <|endoftext|>")


def site(command: argparse.ArgumentParser) -> None:
    """What of the model is patched."""
    command.add_argument("--site", default="resid_post", help=", ".join(SITES))
    command.add_argument("--window", type=whole, default=0, help=WINDOW)
    command.add_argument("--embedding", action="store_true", help="also patch the input of block 0")


def model(command: argparse.ArgumentParser, seed: str = "--seed") -> None:
    """Which model, and how it is loaded; `seed` is what the option is called that says which of the
    teaching model's training runs."""
    command.add_argument(
        "--model",
        default="teaching",
        help="teaching (default), gpt2 ... gpt2-xl, distilgpt2, a folder, or owner/name or"
        " owner/name@revision of the hub",
    )
    command.add_argument(
        "--step", type=whole, help="of the teaching model: as it was after a step of training"
    )
    command.add_argument(
        seed, dest="training_seed", type=whole, help="which of its training runs: 0 or 1"
    )
    command.add_argument("--device", default="auto", help="auto (default), cpu, cuda, mps")
    command.add_argument("--dtype", help="float32; bfloat16 or float16 for half the memory")


def choose_checkpoint(options: argparse.Namespace) -> None:
    """Let the model be the one after a step of its training, if one is named."""
    if (options.step, options.training_seed) != (None, None):
        options.model = catalogue.at_checkpoint(options.model, options.step, options.training_seed)


def load(options: argparse.Namespace) -> models.LoadedModel:
    entry = catalogue.find(options.model)
    if not entry.location:
        print(delivery.announced(delivery.ask(entry)), file=sys.stderr)
    return models.load(entry, options.device, draw_download, options.dtype)


def experiment(options: argparse.Namespace) -> Experiment:
    names = {field.name for field in fields(Experiment)}
    return Experiment(**{key: v for key, v in vars(options).items() if key in names})


def files(options: argparse.Namespace) -> dict[str, str]:
    """What is to be written, and where to: what cannot be shows before anything runs."""
    given = {kind: getattr(options, kind, None) for kind in _SUFFIXES}
    places = {kind: path for kind, path in given.items() if path is not None}
    output.check_places(places)
    for kind, path in places.items():
        suffix = os.path.splitext(path)[1].lower()
        if suffix in _SUFFIXES.values() and suffix != _SUFFIXES[kind]:
            raise UserError(
                f"--{kind} does not write a {suffix} file: call {path} {_SUFFIXES[kind]}, or use"
                f" --{suffix[1:]}."
            )
    return places


def deliver(
    places: dict[str, str],
    made: dict[str, Callable[[], str | bytes]],
    said: Callable[[], str],
) -> int:
    """Write what is asked for of what can be `made`, JSON with a newline at its end, and print what
    is `said`, but where standard output is for one of the files alone. Gives the exit status."""
    for kind, make in made.items():
        if kind in places:
            output.write(places[kind], make() + "\n" if kind == "json" else make())
    if "-" not in places.values():
        print(said())
    return 0
