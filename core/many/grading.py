"""Where a set of components meets many pairs: joint runs of each, summed up by `core.many.grades`.

grading = Grading(*pairs.read(content, "pairs.csv"), model, asked, "9.9 9.6 mlp0")
found = finish(grading.run())
"""

from collections.abc import Sequence

import numpy as np
import torch

from core.engine.joint import Joint
from core.engine.runs import Run, record
from core.engine.sweep import sizes_of
from core.engine.work import run_work, seconds_for
from core.errors import UserError
from core.many.fitting import Fitted, fit
from core.many.grades import ManyGrades
from core.many.pairs import Dropped, Pair, place
from core.many.sweeping import BATCH_MEMORY, screenings
from core.models import LoadedModel
from core.question import components
from core.question.components import all_but
from core.question.experiment import Experiment
from core.reading.states import States, measure
from core.reading.unembed import Unembedding
from core.result import ASKED_OF_SETS
from core.steps import Steps
from core.study import SIDES

_SECONDS_A_PAIR = 0.02  # for what is no product: measured with a small model


class Grading:
    """Grading a set, written as `core.question.components` reads it, over pairs; of `asked` the
    texts, target, foil and site do not matter. `draws` is what the bootstrap with the `seed` draws,
    a key of `core.many.answer.DRAWS`.

    Raises UserError where no pair can be used, for a set that is none, and for one with a position
    where the texts have not all as many tokens.
    """

    def __init__(
        self,
        given: Sequence[Pair],
        dropped: Sequence[Dropped],
        model: LoadedModel,
        asked: Experiment,
        text: str,
        seed: int = 0,
        draws: str = "groups",
    ):
        self.model, self.asked, self.seed, self.draws = model, asked, seed, draws
        fitted, unfit = fit(given, model.encoder, model.gpt.block_size, asked.bos)
        self.given = len(given) + len(dropped)
        self.dropped = tuple(sorted((*dropped, *unfit), key=place))
        if not fitted:
            why = "".join(f" Line {row.line:,}: {row.reason}" for row in self.dropped[:1])
            raise UserError(
                f"None of {self.given:,} pairs can be used with this model.{why}", "file"
            )
        self.pairs = sorted(fitted, key=lambda of: place(of.pair))
        self.lengths = sorted(len(of.clean) for of in fitted)
        config = model.gpt.config
        self.sizes = config.n_layer, config.n_head
        self.members = components.parse(text, *self.sizes, self.lengths[-1])
        fixed = next((of for of in self.members if of.position is not None), None)
        if fixed and self.lengths[0] < self.lengths[-1]:
            raise UserError(
                f"{fixed} is at one position, and these texts have {self.lengths[0]} to"
                f" {self.lengths[-1]} tokens, so that it is another place in each: leave the"
                " position out, or take pairs of one length.",
                "components",
            )

    @property
    def estimate(self) -> tuple[float, int]:
        """About how long it takes here in seconds, and how many bytes of memory."""
        L, C, M, _, _ = sizes_of(self.model.gpt)
        runs = len(SIDES) + len(ASKED_OF_SETS)
        operations = sum(runs * run_work(L, C, M, T, 0, 0, T) for T in self.lengths)
        seconds = seconds_for(operations, self.model.gpt.lm_head.weight.device.type)
        return seconds + _SECONDS_A_PAIR * len(self.pairs), 2 * BATCH_MEMORY

    def run(self) -> Steps[ManyGrades]:
        found: dict[str, np.ndarray] = {}
        for batch in screenings(sorted(self.pairs, key=lambda of: len(of.clean)), self.model):
            texts = (ids for pair in batch for ids in (pair.clean, pair.corrupted))
            runs = record(self.model.gpt, *texts)
            for pair, clean, corrupted in zip(batch, runs[::2], runs[1::2], strict=True):
                yield len(found) / len(self.pairs)
                found[pair.pair.id] = self._grade(pair, clean, corrupted)
        return ManyGrades.of(
            np.stack([found[pair.pair.id] for pair in self.pairs]),
            [pair.pair for pair in self.pairs],
            experiment=self.asked,
            model=self.model.card,
            components=tuple(map(str, self.members)),
            given=self.given,
            dropped=self.dropped,
            seed=self.seed,
            draws=self.draws,
        )

    def _grade(self, pair: Fitted, clean: Run, corrupted: Run) -> np.ndarray:
        """The metric of a pair, of a recovery the logit difference: on both plain runs and as
        ASKED_OF_SETS, (5,), NaN for what an ablation has not."""
        gpt, direction, metric = self.model.gpt, self.asked.direction, self.asked.metric
        ablates = direction not in ("denoise", "noise")
        rest = all_but(self.members, *self.sizes, len(pair.clean))
        back = Joint(gpt, corrupted, clean, [() if ablates else self.members])
        away = Joint(gpt, clean, direction if ablates else corrupted, [self.members, rest])
        for joint in (back, away):
            for _ in joint:
                pass
        unembedding = Unembedding(gpt.lm_head.weight)
        ends = torch.stack([clean.state, corrupted.state])
        sides = (States(end, unembedding) for end in ends)
        states = States(torch.cat([ends, back.states, away.states]), unembedding)
        read = "logit_diff" if metric == "recovery" else metric
        values = measure(read, states, *sides, pair.target, pair.foil).astype(np.float64)
        values[2:3] = np.nan if ablates else values[2:3]
        return values
