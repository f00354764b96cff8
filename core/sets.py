"""Sets of components: how much of an answer they carry together, exact (joint patching).

sets = Sets(experiment, model)
grade = finish(sets.grade(sets.parse("9.9 9.6 mlp0 resid3@8")))
curve = finish(sets.curve(finish(sets.strongest(everything(12, 12)))))
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from core.engine.joint import Joint
from core.models import LoadedModel
from core.question import components
from core.question.components import Component, all_but
from core.question.experiment import SIDES, Experiment
from core.question.metrics import SMALLEST_DIFFERENCE
from core.question.pair import Pair
from core.reading.states import States, measure
from core.result import Baseline, ComponentMap, Curve, Effect, Grade
from core.steps import Steps, within
from core.study import PlainRuns, draft_for, sides

Set = tuple[Component, ...]


class Sets:
    """Questions about sets of components, in the words of an experiment: its texts, its metric,
    target and foil, and its direction, which says what a set is taken from and put into. Its site
    does not matter.

    Everything is recorded and computed when it is asked for, in steps. Raises UserError for texts
    that cannot be patched; on asking, for a metric that cannot be measured.
    """

    def __init__(self, experiment: Experiment, model: LoadedModel, plain: PlainRuns | None = None):
        self.experiment, self.model = experiment, model
        self.growing: Curve | None = None  # what a greedy search has found so far
        self.plain = plain or PlainRuns(experiment, model)

    def parse(self, text: str) -> Set:
        """The set that `text` names (see `core.question.components`)."""
        config = self.model.gpt.config
        return components.parse(text, config.n_layer, config.n_head, self.plain.T)

    @property
    def everything(self) -> Set:
        """Every head and every MLP, at all positions."""
        config = self.model.gpt.config
        return components.everything(config.n_layer, config.n_head)

    def grade(self, members: Set) -> Steps[Grade]:
        """How much a set explains of what the clean text says and the corrupted one does not.

        - sufficient: the set from the clean run into the corrupted one. None of an ablation, which
          has no second run.
        - necessary: the set from the corrupted run, or ablated, into the clean one.
        - complement: everything but the set, from the corrupted run, or ablated, into the clean
          one: is anything else needed? Everything is all heads and all MLPs at all positions
          (`core.question.components.all_but`). Not the embedding, which is the text itself: what
          the set reads is the clean text.

        Sufficient and complement are the two ends of one statement, that the set carries the
        answer: at one end it alone is given and all else follows from it, at the other all else is
        given and it alone follows from the text. With every head and MLP in the set both are the
        clean run, with none both the corrupted one; but for what the embedding itself adds, where
        the texts differ in the last token too.
        """
        direction = self.experiment.direction
        away = "noise" if direction == "denoise" else direction
        config = self.model.gpt.config
        rest = all_but(members, config.n_layer, config.n_head, self.plain.T)
        alone = [(of,) for of in members]
        without = [tuple(other for other in members if other != of) for of in members]
        asked = {away: [members, rest]}
        if sides(direction)[1] in SIDES:
            asked["denoise"] = [members]
        first = len(asked[direction])
        asked[direction] += [members, *alone, *without]
        found: dict[str, list[Effect]] = {}
        for number, (way, sets) in enumerate(asked.items()):
            steps = self._effects(way, sets)
            found[way] = yield from within(steps, number / len(asked), 1 / len(asked))
        own, n = found[direction][first:], len(members)
        joint, alone, without = own[0], own[1 : 1 + n], own[1 + n :]
        unpatched = self._value(sides(direction)[0])
        shares = [effect.share for effect in alone]
        return Grade(
            **self._about,
            components=tuple(map(str, members)),
            sufficient=found["denoise"][0] if "denoise" in found else None,
            necessary=found[away][0],
            complement=found[away][1],
            joint=joint,
            alone=tuple(alone),
            sum_of_alone=Effect(
                unpatched + sum(effect.value - unpatched for effect in alone),
                None if None in shares else sum(shares),
            ),
            without=tuple(without),
        )

    def alone(self, candidates: Sequence[Component]) -> Steps[tuple[Effect, ...]]:
        """What each does alone, in the experiment's direction."""
        effects = yield from self._effects(self.experiment.direction, [(of,) for of in candidates])
        return tuple(effects)

    def strongest(self, candidates: Sequence[Component]) -> Steps[Set]:
        """Those that alone move the prediction most towards the other run first."""
        effects = yield from self.alone(candidates)
        return self._ranked(candidates, effects)

    def singles(self) -> Steps[ComponentMap]:
        """What every head and every MLP does alone, in the experiment's direction."""
        effects = yield from self.alone(self.everything)
        layers = self.model.card.layers
        values = np.array([effect.value for effect in effects], np.float32).reshape(layers, -1)
        return ComponentMap(
            **self._about,
            axes=("layer", "component"),
            rows=tuple(map(str, range(layers))),
            grids={self.experiment.metric: values},
        )

    def order(self, singles: ComponentMap) -> Set:
        """Every head and every MLP, the strongest of their map first."""
        values = singles.values.ravel().tolist()
        return self._ranked(self.everything, self._told(self.experiment.direction, values))

    def curve(self, order: Sequence[Component], how: str = "given") -> Steps[Curve]:
        """Components added one by one, in this order, which came about as `how` says, a key of
        `core.result.ORDERS`."""
        sets = [tuple(order[:size]) for size in range(len(order) + 1)]
        effects = yield from self._effects(self.experiment.direction, sets)
        return Curve(self.experiment, tuple(map(str, order)), tuple(effects), how)

    def greedy(
        self, candidates: Sequence[Component], most: int = 20, enough: float | None = None
    ) -> Steps[Curve]:
        """Components added one by one, each time the one with which the prediction is moved most
        towards the other run, exact: up to `most`, or until a share of `enough` is reached. Its
        steps are many; `growing` holds what is found so far."""
        self.growing = None
        left, chosen = list(candidates), []
        most = min(most, len(left))
        effects = yield from within(self._effects(self.experiment.direction, [()]), 0, 0)
        while len(chosen) < most:
            sets = [(*chosen, of) for of in left]
            steps = self._effects(self.experiment.direction, sets)
            found = yield from within(steps, len(chosen) / most, 1 / most)
            best = max(range(len(left)), key=lambda i: self._rounded(found[i]))
            chosen.append(left.pop(best))
            effects.append(found[best])
            names = tuple(map(str, chosen))
            self.growing = Curve(self.experiment, names, tuple(effects), "greedy")
            share = effects[-1].share
            if enough is not None and share is not None and share >= enough:
                break
        return Curve(self.experiment, tuple(map(str, chosen)), tuple(effects), "greedy")

    def added(
        self,
        candidates: Sequence[Component],
        order: str,
        most: int = 20,
        enough: float | None = None,
    ) -> Steps[Curve]:
        """Candidates added one by one in an order of `core.result.ORDERS`; greedily up to `most` of
        them, or until a share of `enough` is reached."""
        match order:
            case "greedy":
                return (yield from self.greedy(candidates, most, enough))
            case "single":
                candidates = yield from within(self.strongest(candidates), 0, 0.5)
        return (yield from within(self.curve(candidates, order), 0.5, 0.5))

    @property
    def baselines(self) -> dict[str, Baseline]:
        """The experiment's metric and the logit difference on the two plain runs. Raises UserError
        for a metric that cannot be measured."""
        return {
            metric: Baseline(*(self._value(side, metric) for side in SIDES))
            for metric in (self.experiment.metric, "logit_diff")
        }

    @property
    def _about(self) -> dict:
        """What all that is answered here says of its pair."""
        pair = self._pair
        return {
            "experiment": self.experiment,
            "model": self.model.card,
            "baselines": self.baselines,
            "clean": pair.clean,
            "corrupted": pair.corrupted,
            "target": pair.target,
            "foil": pair.foil,
        }

    def work(self, sets: Sequence[Set]) -> tuple[float, int]:
        """About how many seconds joint runs take here, and how many bytes of memory."""
        joint = self._joint(self.experiment.direction, sets)
        return self.plain.seconds_for(joint.work), sum(joint.memory)

    def _effects(self, direction: str, sets: Sequence[Set]) -> Steps[list[Effect]]:
        if not self.plain.recorded:
            yield from (0.1 * fraction for fraction in self.plain)
        joint = self._joint(direction, sets)
        for fraction in joint:
            yield 0.1 + 0.9 * fraction
        values = self._measured(States(joint.states, self.plain.unembedding)).tolist()
        return self._told(direction, values)

    def _told(self, direction: str, values: Sequence[float]) -> list[Effect]:
        """The metric of patched runs with their shares."""
        base = sides(direction)[0]
        other = next(side for side in SIDES if side != base)
        unpatched, whole = self._value(base), self._value(other) - self._value(base)
        is_known = abs(whole) >= SMALLEST_DIFFERENCE
        return [
            Effect(value, (value - unpatched) / whole if is_known else None) for value in values
        ]

    def _ranked(self, candidates: Sequence[Component], effects: Sequence[Effect]) -> Set:
        order = np.argsort([-self._rounded(effect) for effect in effects], kind="stable")
        return tuple(candidates[i] for i in order)

    def _joint(self, direction: str, sets: Sequence[Set]) -> Joint:
        base, source = sides(direction)
        source = self.plain.run(source) if source in SIDES else source
        return Joint(self.model.gpt, self.plain.run(base), source, sets)

    def _rounded(self, effect: Effect) -> float:
        """The gain without what may be rounding, so that of equals the first one comes first."""
        return round(self._gain(effect), 4)

    def _gain(self, effect: Effect) -> float:
        """How far towards the other run; where the two hardly differ, how far at all."""
        if effect.share is not None:
            return effect.share
        return abs(effect.value - self._value(sides(self.experiment.direction)[0]))

    def _value(self, side: str, metric: str = "") -> float:
        return self._measured(self.plain.state(side), metric).item()

    def _measured(self, states: States, metric: str = "") -> np.ndarray:
        clean, corrupted = (self.plain.state(side) for side in SIDES)
        ids = self._pair.target.id, self._pair.foil.id
        return measure(metric or self.experiment.metric, states, clean, corrupted, *ids)

    @cached_property
    def _pair(self) -> Pair:
        return draft_for(self.experiment, self.model).pair
