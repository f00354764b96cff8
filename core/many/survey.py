"""Where many pairs meet a model: fitted and screened once, swept for each question, read often.

sample = Sample(*pairs.read(content, "pairs.csv"), model)
survey = Survey(sample, asked)
for fraction in survey:
    print(f"{fraction:.0%}")
answer = survey.read(asked)
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from core.engine.plan import first_difference
from core.engine.sweep import sizes_of
from core.engine.work import plain_work, seconds_for
from core.errors import UserError
from core.many import sweeping
from core.many.answer import KEEPS, Answer
from core.many.fitting import Fitted, commonest_tokens, fit, shared_columns
from core.many.mends import UnlikeLengths
from core.many.others import Others, Source
from core.many.pairs import Dropped, Pair, Share, counted, place
from core.many.side_by_side import most_on, side_by_side
from core.many.store import Store, digest
from core.many.values import LeftOut, Screened, Swept
from core.models import LoadedModel
from core.question.experiment import DIRECTIONS, Experiment
from core.question.metrics import METRICS
from core.question.sites import SITES
from core.question.tokens import token
from core.result import EMBEDDING
from core.steps import Steps, within
from core.weight import weigh

ALL = Share()
# Operations for a pair: of less most is what Python does between products, on one thread at a time.
_LARGE = 2e9
_SECONDS_A_PAIR = 0.004  # for what is no product: measured, and most of it with a small model


class Sample:
    """The pairs of a file as a model reads them, with the columns of the map they share, and what
    the model says to their plain runs. It can be asked many questions.

    Iterating screens the pairs, and yields the fraction that is done. Raises UserError where no
    pair can be used, and where they share no map.
    """

    def __init__(
        self,
        given: Sequence[Pair],
        dropped: Sequence[Dropped],
        model: LoadedModel,
        bos: bool = False,
        reduce: str = "last",
        rest: bool = False,
        share: Share = ALL,
    ):
        self.model = model
        fitted, unfit = fit(given, model.encoder, model.gpt.block_size, bos, reduce, rest)
        if unfit and not fitted:
            raise UserError(
                f"None of {counted(len(unfit), 'pair')} can be used with this model. Line"
                f" {unfit[0].line:,}: {unfit[0].reason}",
                "file",
            )
        try:
            self.columns, pairs, others = shared_columns(fitted)
        except UserError as error:
            if not fitted:
                raise
            raise UnlikeLengths(given, dropped, fitted) from error
        self.has_roles = pairs[0].has_roles
        most = commonest_tokens(pairs)
        self.tokens = tuple((token(id, model.encoder), count) for id, count in most)
        # Of all rows every share finds the same columns, and every row is in one share.
        rows = sorted((*given, *dropped), key=place)[share.i - 1 :: share.n]
        own = {row.id for row in rows if isinstance(row, Pair)}
        self.given = len(rows)
        self.pairs = sorted((p for p in pairs if p.pair.id in own), key=lambda p: place(p.pair))
        left_out = [row for row in rows if isinstance(row, Dropped)]
        left_out += [row for row in (*unfit, *others) if row.id in own]
        self.dropped = tuple(sorted(left_out, key=place))
        self.share = share
        self.screened: list[Screened] = []

    @cached_property
    def nbytes(self) -> int:
        """About what is kept of it."""
        return weigh(self.pairs, self.dropped)

    @property
    def is_screened(self) -> bool:
        return len(self.screened) == len(self.pairs)

    @property
    def seconds(self) -> float:
        """About how long screening takes here."""
        L, C, M, _, _ = sizes_of(self.model.gpt)
        shapes = (
            (len(pair.clean), first_difference(pair.clean, pair.corrupted)) for pair in self.pairs
        )
        operations = sum(plain_work(L, C, M, *shape) for shape in shapes)
        return seconds_for(operations, self.model.gpt.lm_head.weight.device.type)

    def __iter__(self) -> Iterator[float]:
        if self.is_screened:
            return
        found: dict[str, Screened] = {}
        for part in sweeping.screenings(self.by_length, self.model):
            found |= zip(
                (of.pair.id for of in part), sweeping.screen(part, self.model), strict=True
            )
            yield len(found) / len(self.pairs)
        self.take(found)

    @property
    def by_length(self) -> list[Fitted]:
        """The pairs, those of one length together."""
        return sorted(self.pairs, key=lambda pair: len(pair.clean))

    def take(self, screened: Mapping[str, Screened]) -> None:
        """Take over what the model says to every pair, by id."""
        self.screened = [screened[pair.pair.id] for pair in self.pairs]

    def chosen(self, keep: str) -> tuple[list[Fitted], list[LeftOut]]:
        """The pairs of a kind of KEEPS, and those left out with what the model says to them. Raises
        UserError where none is left of all rows."""
        if keep == "all":
            return self.pairs, []
        for _ in self:
            pass
        kept, left_out = [], []
        for pair, found in zip(self.pairs, self.screened, strict=True):
            if reason := _why_not(found, keep):
                row = Dropped(pair.pair.line, pair.pair.id, reason)
                left_out.append(LeftOut(row, pair, found))
            else:
                kept.append(pair)
        if not kept and self.share == ALL:  # another share may have some
            raise UserError(
                f"None of {counted(len(self.pairs), 'usable pair')} is one of the {KEEPS[keep]}:"
                " keep all of them, or ask a model that shows the behaviour.",
                "keep",
            )
        return kept, left_out


class Survey:
    """A sample's pairs under one question, of which the texts, target and foil do not matter.

    Iterating sweeps the pairs, some batches at a time, and yields the fraction that is done;
    `swept` has those that are. Those in the `store` are taken from there, the others are put into
    it. `metrics` are those to be read off; recovery is one of logit differences. Where the
    direction is one `of_many`, what is put in comes from `used`, all pairs of the file that are
    used (of a share, those of the other shares too), and `seed` draws which pair gives to which.
    Raises UserError as `Others` does.
    """

    def __init__(
        self,
        sample: Sample,
        asked: Experiment,
        keep: str = "all",
        metrics: Iterable[str] = METRICS,
        store: Store | None = None,
        used: Sequence[Fitted] | None = None,
        seed: int = 0,
    ):
        self.sample, self.keep, self.sweep = sample, keep, asked.sweep
        self.metrics = tuple(dict.fromkeys(("logit_diff", *metrics)))
        self.metrics = tuple(metric for metric in self.metrics if metric != "recovery")
        self.pairs, self.left_out = sample.chosen(keep)
        self.others: Others | None = None
        if DIRECTIONS[asked.direction].of_many:
            self.others = Others(self.pairs if used is None else used, asked, seed)
        self.swept: list[Swept] = []
        self._store = store

    @property
    def estimate(self) -> tuple[float, int]:
        """About how long it takes here in seconds, and how many bytes of memory."""
        model = self.sample.model
        operations = sweeping.work_of(self.pairs, model, self.sweep)
        seconds = seconds_for(operations, model.gpt.lm_head.weight.device.type)
        seconds += _SECONDS_A_PAIR * len(self.pairs)
        at_once = self._at_once(operations, len(self.pairs))
        return seconds, sweeping.memory_of(self.pairs, model, self.sweep, at_once)

    def _at_once(self, operations: int, pairs: int) -> int:
        """How many batches may be under way."""
        if operations < _LARGE * pairs:
            return 1
        return most_on(self.sample.model.gpt.lm_head.weight.device)

    @property
    def nbytes(self) -> int:
        """What is kept of it."""
        return sum(grid.nbytes for of in self.swept for grid in of.values.grids.values())

    def __iter__(self) -> Iterator[float]:
        todo = self.todo()
        done, total = len(self.swept), len(self.pairs)
        if total:  # a share may have none
            yield done / total
        source = yield from within(self.source(todo), done / max(1, total), 0)
        model = self.sample.model
        at_once = self._at_once(sweeping.work_of(todo, model, self.sweep), len(todo))
        batches = sweeping.batches(todo, model, self.sweep, at_once)
        for more, swept in side_by_side([self._sweep(of, source) for of in batches], at_once):
            self.add(swept)
            done += more
            yield done / total
        yield 1.0

    def _sweep(
        self, batch: list[Fitted], source: Source | None
    ) -> Iterator[tuple[float, list[Swept]]]:
        """How many pairs' work has been done since the last time, and at the end all pairs."""
        steps = sweeping.sweep(batch, self.sample.model, self.sweep, self.metrics, source)
        done = 0.0
        while True:
            try:
                now = next(steps) * len(batch)
            except StopIteration as end:
                yield len(batch) - done, end.value
                return
            yield now - done, []
            done = now

    def source(self, todo: Sequence[Fitted]) -> Steps[Source | None]:
        """What other pairs put into those that are still to be swept, or nothing."""
        if not (todo and self.others):
            return None
        if self.others.is_mean:
            return (yield from sweeping.mean_of(self.others.pairs, self.sample.model, self.sweep))
        return self.others.drawn

    def todo(self) -> list[Fitted]:
        """The pairs that are not swept yet, nor in the store, of which those that are are taken
        over."""
        there = {of.pair.pair.id for of in self.swept}
        todo = [pair for pair in self.pairs if pair.pair.id not in there]
        if not self._store:
            return todo
        known = {pair.pair.id: self._store.find(pair, self.digest(pair)) for pair in todo}
        self.swept += [swept for swept in known.values() if swept]
        return [pair for pair in todo if not known[pair.pair.id]]

    def add(self, swept: Sequence[Swept]) -> None:
        """Take over pairs that are done."""
        for of in swept:
            if self._store:
                self._store.add(self.digest(of.pair), of)
        self.swept += swept

    def digest(self, pair: Fitted) -> str:
        also = self.others.digest(pair) if self.others else ""
        return digest(pair, self.sample.model.card, self.sweep, self.metrics, also)

    def read(
        self, asked: Experiment, of_ratios: bool = False, seed: int = 0, draws: str = "groups"
    ) -> Answer:
        """The map of the pairs that are done. Raises UserError where a recovery is none, and for
        a metric that was not read off."""
        swept = sorted(self.swept, key=lambda of: place(of.pair.pair))
        return Answer.of(swept, **self.about(asked, of_ratios, seed, draws))

    def about(
        self, asked: Experiment, of_ratios: bool = False, seed: int = 0, draws: str = "groups"
    ) -> dict[str, Any]:
        """What `Answer.of` takes beside the pairs."""
        sample, model = self.sample, self.sample.model
        site, columns, tokens = SITES[asked.site], sample.columns, sample.tokens
        axes = site.axes
        if "position" not in axes:
            columns, tokens = tuple(map(str, range(model.gpt.config.n_head))), ()
        elif sample.has_roles:
            axes = tuple("role" if axis == "position" else axis for axis in axes)
        layers = tuple(map(str, range(model.gpt.config.n_layer)))
        dropped = sorted((*sample.dropped, *(of.row for of in self.left_out)), key=place)
        return {
            "experiment": asked,
            "model": model.card,
            "axes": axes,
            "rows": (EMBEDDING, *layers) if asked.embedding else layers,
            "columns": columns,
            "tokens": tokens,
            "keep": self.keep,
            "given": sample.given,
            "dropped": tuple(dropped),
            "left_out": tuple(self.left_out),
            "of_ratios": of_ratios,
            "seed": seed,
            "draws": draws,
            "source": self.others and self.others.about,
        }


def _why_not(found: Screened, keep: str) -> str:
    """Why a pair is none of a kind of KEEPS, or nothing."""
    if keep == "flips" and not found.flips:
        return (
            f"does not flip: LD is {found.clean_difference:.3f} on the clean run and"
            f" {found.corrupted_difference:.3f} on the corrupted one"
        )
    if keep == "first" and not found.is_first:
        return f"the target is at rank {found.target_rank:,} on the clean run, not the first"
    return ""
