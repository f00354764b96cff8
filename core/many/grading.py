"""Where a set of components meets many pairs: joint runs of each, summed up by `core.many.grades`.
Those of pairs of one length go through the model together; what a pair gives depends on it alone.

grading = Grading(*pairs.read(content, "pairs.csv"), model, asked, "9.9 9.6 mlp0")
found = finish(grading.run())
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from core.engine.joint import Joint, Most, taken, together
from core.engine.plan import first_difference, plan_of
from core.engine.runs import Run, record, run_bytes
from core.engine.sweep import sizes_of
from core.engine.work import run_work, seconds_for
from core.errors import UserError
from core.many.fitting import Fitted, fit
from core.many.grades import ManyGrades
from core.many.pairs import Dropped, Pair, place
from core.many.sweeping import PACK_MEMORY, recording_bytes, screenings
from core.models import LoadedModel
from core.question import components
from core.question.components import all_but
from core.question.experiment import SIDES, Experiment
from core.reading.states import States, measure
from core.reading.unembed import Unembedding
from core.result import ASKED_OF_SETS
from core.steps import Steps, within
from core.study import sides

_SECONDS_A_PAIR = 0.004  # for what is no product: measured with a small model


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
        seconds += _SECONDS_A_PAIR * len(self.pairs)
        return seconds, max(map(self._bytes, self._batches()))

    def _batches(self) -> Iterator[list[Fitted]]:
        return screenings(sorted(self.pairs, key=lambda of: len(of.clean)), self.model)

    def _bytes(self, batch: Sequence[Fitted]) -> int:
        """What a batch takes at the most above the weights: the plain runs and what recording them
        makes, then their joint runs and what these end in."""
        sizes, T, n = sizes_of(self.model.gpt), len(batch[0].clean), len(batch)
        L, C, _, _, itemsize = sizes
        differ = [
            0 if self._ablates else first_difference(pair.clean, pair.corrupted) for pair in batch
        ]
        first, of_one = min(differ), len(ASKED_OF_SETS)
        N, R = of_one * n, of_one * sum(T - p for p in differ)
        one, all_runs = (
            sum(taken(sizes, T, Most(N, R, (N, R), P), first))
            for N, R, P in ((1, T - first, 1), (N, R, len(SIDES) * n))
        )
        joint = N * C * itemsize + max(one, min(PACK_MEMORY, all_runs))
        recording = len(SIDES) * n * recording_bytes(plan_of(sizes, T, first))
        return len(SIDES) * n * run_bytes(L, T, C, itemsize) + max(recording, joint)

    @property
    def _ablates(self) -> bool:
        return sides(self.asked.direction)[1] not in SIDES

    def run(self) -> Steps[ManyGrades]:
        found: dict[str, np.ndarray] = {}
        for batch in self._batches():
            steps = self._grade(batch)
            values = yield from within(
                steps, len(found) / len(self.pairs), len(batch) / len(self.pairs)
            )
            found |= zip((pair.pair.id for pair in batch), values, strict=True)
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

    def _grade(self, batch: Sequence[Fitted]) -> Steps[list[np.ndarray]]:
        """What `_read` says of each pair."""
        yield 0.0
        texts = (ids for pair in batch for ids in (pair.clean, pair.corrupted))
        runs = record(self.model.gpt, *texts)
        ends = list(zip(runs[::2], runs[1::2], strict=True))
        joints = [self._joints(pair, *of) for pair, of in zip(batch, ends, strict=True)]
        yield from together([of for own in joints for of in own], PACK_MEMORY)
        every = zip(batch, ends, joints, strict=True)
        return [self._read(pair, *of, *own) for pair, of, own in every]

    def _joints(self, pair: Fitted, clean: Run, corrupted: Run) -> tuple[Joint, Joint]:
        """What answers ASKED_OF_SETS of a pair: the set, or nothing where an ablation has none,
        from the clean run; the set and all else into it."""
        gpt, rest = self.model.gpt, all_but(self.members, *self.sizes, len(pair.clean))
        back = Joint(gpt, corrupted, clean, [() if self._ablates else self.members])
        source = sides(self.asked.direction)[1] if self._ablates else corrupted
        return back, Joint(gpt, clean, source, [self.members, rest])

    def _read(
        self, pair: Fitted, clean: Run, corrupted: Run, back: Joint, away: Joint
    ) -> np.ndarray:
        """The metric of a pair, of a recovery the logit difference: on both plain runs and as
        ASKED_OF_SETS, (5,), NaN for what an ablation has not."""
        metric = self.asked.metric
        unembedding = Unembedding(self.model.gpt.lm_head.weight)
        ends = torch.stack([clean.state, corrupted.state])
        both = (States(end, unembedding) for end in ends)
        states = States(torch.cat([ends, back.states, away.states]), unembedding)
        read = "logit_diff" if metric == "recovery" else metric
        values = measure(read, states, *both, pair.target, pair.foil).astype(np.float64)
        values[2:3] = np.nan if self._ablates else values[2:3]
        return values
