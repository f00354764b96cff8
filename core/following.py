"""Following an answer back: which senders reach a receiver along their direct paths, and what that
does to the prediction (path patching).

follow = Follow(experiment, model, ["9.6.q"], "all")
for fraction in follow:
    print(f"{fraction:.0%}")
path_map = follow.read(experiment)["9.6.q"]
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from core.engine.paths import Paths, together
from core.errors import UserError
from core.models import LoadedModel
from core.question import receivers
from core.question.experiment import SIDES, Experiment
from core.question.metrics import METRICS
from core.reading.states import States, measure
from core.result import FROZEN, Baseline, PathMap
from core.study import PlainRuns, draft_for, sides


class Follow:
    """Paths from all senders into some receivers. What is patched is decided by the experiment's
    texts and direction alone; its metric, target and foil matter to `read`.

    Iterating records the plain runs unless they are, then computes the paths, and yields the
    fraction that is done. Raises UserError for texts that cannot be patched and receivers that are
    none.
    """

    def __init__(
        self,
        experiment: Experiment,
        model: LoadedModel,
        into: Sequence[str],
        frozen: str = "all",
        plain: PlainRuns | None = None,
    ):
        if frozen not in FROZEN:
            raise UserError(f"frozen is {' or '.join(FROZEN)}, not {frozen!r}.", "frozen")
        self.plain = plain or PlainRuns(experiment, model)
        self.model, self.frozen, self.direction = model, frozen, experiment.direction
        config = model.gpt.config
        parsed = [receivers.parse(t, config.n_layer, config.n_head, self.plain.T) for t in into]
        self.receivers = {str(receiver): receiver for receiver in parsed}
        self._paths: dict[str, Paths] = {}

    @property
    def paths(self) -> dict[str, Paths]:
        """Made when they are first asked for: they need both plain runs."""
        if not self._paths:
            base, source = sides(self.direction)
            base = self.plain.run(base)
            source = self.plain.run(source) if source in SIDES else source
            gpt = self.model.gpt
            self._paths = {
                name: Paths(gpt, base, source, receiver, self.frozen)
                for name, receiver in self.receivers.items()
            }
        return self._paths

    @property
    def nbytes(self) -> int:
        """What is kept of the paths, without the plain runs."""
        return sum(paths.states.nbytes for paths in self._paths.values())

    @property
    def estimate(self) -> tuple[float, int]:
        """About how many seconds the paths take here, and how many bytes of memory; the plain runs
        have to be there."""
        paths = self.paths.values()
        seconds = self.plain.seconds_for(sum(of.work for of in paths))
        return seconds, max(sum(of.memory) for of in paths)

    def __iter__(self) -> Iterator[float]:
        plain = 0 if self.plain.recorded else self.plain.work
        yield from (0.3 * fraction for fraction in self.plain if plain)
        begun = 0.3 if plain else 0.0
        for fraction in together(list(self.paths.values())):
            yield begun + (1 - begun) * fraction

    def read(
        self, experiment: Experiment, metrics: Sequence[str] = tuple(METRICS)
    ) -> dict[str, PathMap]:
        """The map of each receiver, under the experiment's metric and those of `metrics` that can
        be measured."""
        pair = draft_for(experiment, self.model).pair
        clean, corrupted = (self.plain.state(side) for side in SIDES)
        unembedding = self.plain.unembedding
        found = {}
        for name, paths in self.paths.items():
            grids, embedding, baselines = {}, {}, {}
            states = torch.cat([paths.heads, paths.mlps[:, None]], dim=1)  # (L, H + 1, C)
            of = {"grid": States(states, unembedding), "one": States(paths.embedding, unembedding)}

            def measured(metric: str, states: States) -> np.ndarray:
                return measure(metric, states, clean, corrupted, pair.target.id, pair.foil.id)

            for metric in dict.fromkeys((experiment.metric, "logit_diff", *metrics)):
                try:
                    ends = (measured(metric, end).item() for end in (clean, corrupted))
                    baselines[metric] = Baseline(*ends)
                    grids[metric] = measured(metric, of["grid"])
                    embedding[metric] = measured(metric, of["one"]).item()
                except UserError:
                    if metric == experiment.metric:
                        raise
            found[name] = PathMap(
                experiment=experiment,
                model=self.model.card,
                axes=("layer", "sender"),
                rows=tuple(map(str, range(self.model.card.layers))),
                grids=grids,
                baselines=baselines,
                clean=pair.clean,
                corrupted=pair.corrupted,
                target=pair.target,
                foil=pair.foil,
                receiver=name,
                frozen=self.frozen,
                embedding=embedding,
            )
        return found
