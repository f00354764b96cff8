"""Does the map of each example show a hand-over? First a position before the last carries the
effect, and in later layers the last position does.

    python -m core.checks.handover [--model NAME-OR-FOLDER]
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from core import catalogue, models, presets
from core.errors import UserError
from core.models import LoadedModel
from core.presets import Preset
from core.result import Result
from core.study import Study

CARRIES = 0.8  # of the recovery
LAYERS = 2  # in which a position must carry before the last one does


@dataclass(frozen=True)
class HandOver:
    """Which position before the last carries the effect in the most layers, and until when. The
    embedding is no layer; a map in which none does names position 0 and no layers."""

    position: int
    layers: tuple[int, ...]  # in which it carries, before the last position does
    taken_over: int  # the layer from which on the last position carries

    @property
    def is_shown(self) -> bool:
        return len(self.layers) >= LAYERS


def hand_over(result: Result) -> HandOver | None:
    """What a map by layer and position, with its embedding row, shows. None where there is nothing
    to hand over: the texts are answered alike, or differ in the last token alone."""
    recovery = result.grids.get("recovery")
    clean, corrupted = ([token.id for token in text] for text in (result.clean, result.corrupted))
    if recovery is None or clean[:-1] == corrupted[:-1]:
        return None
    carries = recovery[1:] >= CARRIES  # (L, T)
    taken_over = len(carries)
    while taken_over and carries[taken_over - 1, -1]:
        taken_over -= 1
    before = carries[:taken_over, :-1]
    position = int(before.sum(axis=0).argmax())
    return HandOver(position, tuple(before[:, position].nonzero()[0].tolist()), taken_over)


def examples(model: LoadedModel) -> Iterator[tuple[Preset, Result]]:
    """Every example that is offered on a model, and its map."""
    for preset in presets.offered(model.entry, model.encoder):
        experiment = preset.experiment(model.entry.name)
        study = Study(experiment, model)
        for _ in study:
            pass
        yield preset, study.read(experiment, metrics=("recovery",))


def line(title: str, result: Result) -> str:
    """In words: the verdict, and what carries the effect in which layers."""
    found = hand_over(result)
    if found is None:
        answered = "recovery" in result.grids
        why = "differ in the last token alone" if answered else "are answered alike"
        return f"  --   {title}: the texts {why}"
    held = "no other position carries before it"
    if found.layers:
        recovery = result.grids["recovery"][[layer + 1 for layer in found.layers], found.position]
        held = (
            f"{result.clean[found.position].label} (position {found.position}) carries at least"
            f" {recovery.min():.2f} in layers {', '.join(map(str, found.layers))}"
        )
    verdict = "  ok" if found.is_shown else "FAILED"
    return f"{verdict:<6} {title}: {held}; the last position from layer {found.taken_over} on"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the hand-over in every example's map.")
    parser.add_argument("--model", default="teaching", help="teaching (default), gpt2, or a folder")
    try:
        model = models.load(catalogue.find(parser.parse_args().model))
        for preset, result in examples(model):
            print(line(preset.title, result))
    except UserError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
