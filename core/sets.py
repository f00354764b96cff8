"""How much of a behaviour a set of components carries: joint patches of a text pair, read.

question = Sets(experiment, model)
graded = finish(question.grade(question.parse("4.3 6.3")))
print(graded.shares["sufficient"])
"""

from collections.abc import Collection, Sequence

import numpy as np

from core.engine.joint import Joint
from core.errors import UserError
from core.models import LoadedModel
from core.question import components
from core.question.components import Component
from core.question.experiment import Experiment
from core.question.metrics import SMALLEST_DIFFERENCE
from core.reading.states import States, measure
from core.result import ASKED_OF_SETS, ENOUGH, Baseline, Curve, Graded
from core.steps import Steps, within
from core.study import SIDES, PlainRuns, draft_for


class Sets:
    """Questions about sets of components on one text pair, under the experiment's metric. The
    experiment's direction does not matter: each question has its own.

    Raises UserError for texts, target and foil that cannot be used, and for a metric under which
    the two runs hardly differ, of which nothing is a share.
    """

    def __init__(self, experiment: Experiment, model: LoadedModel, plain: PlainRuns | None = None):
        self.experiment, self.model = experiment, model
        self.plain = plain or PlainRuns(experiment, model)
        self._pair = draft_for(experiment, model).pair
        ends = (self._measured(self.plain.state(side)).item() for side in SIDES)
        self.ends = Baseline(*ends)
        if abs(self.ends.clean - self.ends.corrupted) < SMALLEST_DIFFERENCE:
            raise UserError(
                f"The two runs hardly differ under {experiment.metric}, so that nothing is a share"
                " of their difference: choose another target and foil, or another metric.",
                "metric",
            )

    @property
    def everything(self) -> tuple[Component, ...]:
        """All heads, all MLPs and the embedding."""
        return components.everything(*self._sizes)

    @property
    def heads(self) -> tuple[Component, ...]:
        return tuple(component for component in self.everything if component.kind == "head")

    @property
    def _sizes(self) -> tuple[int, int]:
        config = self.model.gpt.config
        return config.n_layer, config.n_head

    def parse(self, text: str) -> tuple[Component, ...]:
        return components.parse(text, *self._sizes, self.plain.T)

    def grade(self, chosen: Sequence[Component]) -> Steps[Graded]:
        """What the set does, in steps. Raises UserError for an empty one."""
        if not chosen:
            raise UserError("The set is empty: name a component, such as 4.3.", "components")
        into_corrupted = yield from within(
            self._values(
                "clean",
                [chosen, self.everything, *([one] for one in chosen)],
                [(), chosen, *[()] * len(chosen)],
            ),
            *(0.0, 0.8),
        )
        (necessary,) = yield from within(self._values("corrupted", [chosen]), 0.8, 0.2)
        sufficient, complement, *singles = into_corrupted
        values = dict(zip(ASKED_OF_SETS, (sufficient, necessary, complement), strict=True))
        if any(one.kind == "resid" for one in chosen):
            values["complement"] = None
        return Graded(
            tuple(map(str, chosen)),
            self.experiment.metric,
            self.ends,
            values,
            {name: v if v is None else self.share(v) for name, v in values.items()},
            sum(self.share(value) for value in singles),
        )

    def curve(self, order: Sequence[Component]) -> Steps[Curve]:
        """Put into the corrupted run: none, the first, the first two, and so on."""
        nested = [order[:size] for size in range(len(order) + 1)]
        values = yield from self._values("clean", nested)
        return Curve(tuple(map(str, order)), tuple(map(self.share, values)))

    def strongest(self, candidates: Sequence[Component]) -> Steps[list[Component]]:
        """Candidates in the order of how far each alone brings the answer back."""
        values = yield from self._values("clean", [[one] for one in candidates])
        shares = np.array([self.share(value) for value in values])
        return [candidates[i] for i in np.argsort(-shares, kind="stable")]

    def greedy(
        self, candidates: Sequence[Component], most: int = 20, until: float = ENOUGH
    ) -> Steps[Curve]:
        """Each time the candidate that adds most, until so much of the answer is back or so many
        are in: exact, one run for each candidate that is left in each round."""
        chosen: list[Component] = []
        left = list(candidates)
        shares = [0.0]
        while left and len(chosen) < most and shares[-1] < until:
            sets = [[*chosen, one] for one in left]
            done = len(chosen) / most
            values = yield from within(self._values("clean", sets), done, 1 / most)
            found = [self.share(value) for value in values]
            best = int(np.argmax(found))
            chosen.append(left.pop(best))
            shares.append(found[best])
        return Curve(tuple(map(str, chosen)), tuple(shares))

    def minimality(self, chosen: Sequence[Component]) -> Steps[dict[str, float]]:
        """By how much the share of the set falls when each member is left out in turn."""
        sets = [[other for other in chosen if other is not one] for one in chosen]
        whole, *without = yield from self._values("clean", [list(chosen), *sets])
        return {
            str(one): self.share(whole) - self.share(value)
            for one, value in zip(chosen, without, strict=True)
        }

    def share(self, value: float) -> float:
        """How far from the corrupted towards the clean run a value is."""
        return (value - self.ends.corrupted) / (self.ends.clean - self.ends.corrupted)

    def _values(
        self,
        source: str,
        sets: Sequence[Collection[Component]],
        held: Sequence[Collection[Component]] = (),
    ) -> Steps[list[float]]:
        """The metric with each set of the run `source` put into the other one, in which what is
        `held` stays as it is."""
        base = next(side for side in SIDES if side != source)
        runs = self.plain.run(base), self.plain.run(source)
        joint = Joint(self.model.gpt, *runs, sets, held)
        yield from joint
        return self._measured(States(joint.states, self.plain.unembedding)).tolist()

    def _measured(self, states: States) -> np.ndarray:
        ends = (self.plain.state(side) for side in SIDES)
        ids = self._pair.target.id, self._pair.foil.id
        return measure(self.experiment.metric, states, *ends, *ids)
