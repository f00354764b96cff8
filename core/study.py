"""Where the folders meet: two texts on one model, run once, swept once, asked often.

study = Study(experiment, models.load(catalogue.find("teaching")))
for fraction in study:
    print(f"{fraction:.0%}")
result = study.read(experiment)
"""

import threading
import time
from collections.abc import Iterator

import numpy as np
import torch

from core.engine import work
from core.engine.plan import Plan, first_difference
from core.engine.runs import Run, not_finite, recording, run_bytes
from core.engine.sweep import Sweep, sizes_of
from core.errors import UserError
from core.models import LoadedModel
from core.question.experiment import SIDES, Experiment
from core.question.metrics import METRICS
from core.question.pair import Draft, draft
from core.question.sites import SITES
from core.question.tokens import Token, token
from core.reading.attribution import Attribution, attribute
from core.reading.lens import LogitLens, logit_lens
from core.reading.preview import head_preview
from core.reading.states import States, measure
from core.reading.trace import Trace, trace
from core.reading.unembed import Unembedding
from core.result import EMBEDDING, Baseline, Moved, Ranked, Result, and_further
from core.steps import Steps, within

TOP = 20


class PlainRuns:
    """Both plain runs of a text pair on a model, and what they say. They belong to the texts alone
    (`Experiment.texts`): every study of them, whatever it patches, can share one.

    Iterating records them, and yields the fraction that is done; so does, at once, whoever first
    asks something of them. Raises UserError for texts that cannot be patched and, on recording,
    for a model whose numbers are not finite.
    """

    def __init__(self, experiment: Experiment, model: LoadedModel):
        self.model = model
        self.unembedding = Unembedding(model.gpt.lm_head.weight)
        self.tokens = dict(zip(SIDES, draft_for(experiment, model).texts, strict=True))
        self.ids = {side: tuple(t.id for t in text) for side, text in self.tokens.items()}
        self.seconds = 0.0
        self._runs: dict[str, Run] = {}
        self._states: dict[str, States] = {}

    @property
    def recorded(self) -> bool:
        return bool(self._states)

    @property
    def T(self) -> int:
        return len(self.ids["clean"])

    @property
    def nbytes(self) -> int:
        """What both runs take up, recorded or not."""
        L, C, _, _, itemsize = sizes_of(self.model.gpt)
        return 2 * run_bytes(L, self.T, C, itemsize)

    @property
    def work(self) -> int:
        """Floating-point operations of both runs, at the least."""
        L, C, M, _, _ = sizes_of(self.model.gpt)
        return work.plain_work(L, C, M, self.T, first_difference(*self.ids.values()))

    def seconds_for(self, operations: int) -> float:
        """About how long floating-point operations take where the model is."""
        return work.seconds_for(operations, self.unembedding.weight.device.type)

    def __iter__(self) -> Iterator[float]:
        """Record both runs in one pass, once."""
        if self.recorded:
            return
        started = time.perf_counter()
        runs = yield from recording(self.model.gpt, *self.ids.values())
        states = [States(run.state, self.unembedding) for run in runs]
        if not all(state.log_z.isfinite() for state in states):
            raise not_finite(self.unembedding.weight.dtype, "the unembedding")
        self._runs = dict(zip(SIDES, runs, strict=True))
        self._states = dict(zip(SIDES, states, strict=True))
        self.seconds = time.perf_counter() - started

    def run(self, side: str) -> Run:
        """The "clean" or the "corrupted" run."""
        self._record()
        return self._runs[side]

    def state(self, side: str) -> States:
        """The final state of a run."""
        self._record()
        return self._states[side]

    def _record(self) -> None:
        for _ in self:
            pass

    def top(self, state: torch.Tensor, count: int = TOP) -> tuple[Ranked, ...]:
        """The likeliest next tokens after a state (C,), likeliest first."""
        logits = self.unembedding.logits(state).cpu()
        best = logits.argsort(descending=True, stable=True)[:count]
        return self._ranked(logits, dict(enumerate(best.tolist(), start=1)))

    def ranked(self, state: torch.Tensor, ids: tuple[int, ...]) -> tuple[Ranked, ...]:
        """Some tokens after a state (C,), wherever in its order they are."""
        logits, ranks = self.unembedding.logits(state).cpu(), self.unembedding.ranks(state)
        return self._ranked(logits, {ranks[id].item(): id for id in ids})

    def _ranked(self, logits: torch.Tensor, ids: dict[int, int]) -> tuple[Ranked, ...]:
        """Tokens by their ranks."""
        probs = logits.softmax(dim=-1)
        return tuple(
            Ranked(rank, self.token(id), logits[id].item(), probs[id].item())
            for rank, id in ids.items()
        )

    def token(self, id: int) -> Token:
        return token(id, self.model.encoder)

    @property
    def logits_bytes(self) -> int:
        """What the logits of all positions of one run take up, in float32."""
        return 4 * self.T * len(self.unembedding.weight)

    @property
    def lens_work(self) -> int:
        """Floating-point operations of the logit lens of both runs."""
        V, C = self.unembedding.weight.shape
        return len(SIDES) * 2 * V * C * self.T * (self.model.card.layers + 1)

    def logit_lenses(self, ids: tuple[int, ...]) -> Steps[dict[str, LogitLens]]:
        """The logit lens of each run in steps, and what it says of the tokens `ids`."""
        lenses, share = {}, 1 / len(SIDES)
        for side in SIDES:
            steps = logit_lens(self.model.gpt, self.run(side), ids)
            lenses[side] = yield from within(steps, share * len(lenses), share)
        return lenses

    def attribution(self, side: str, target: int, foil: int) -> Attribution:
        """Direct logit attribution of the logit difference on one run."""
        return attribute(self.model.gpt, self.run(side), target, foil)

    def attention(self, side: str, layer: int, head: int) -> np.ndarray:
        """One head's attention pattern on one run: (T, T), from each position (row) to those it
        may see."""
        with torch.inference_mode():
            pattern = self.run(side).layer(self.model.gpt, layer).pattern[head]
        return pattern.float().cpu().numpy()


class Study:
    """One experiment's sweep, and every question to its states. Iterating sweeps. What target, foil
    and metric are matters to `read` only.

    `plain` are the plain runs of its texts, where they are there already. Raises UserError for
    texts that cannot be patched.
    """

    def __init__(self, experiment: Experiment, model: LoadedModel, plain: PlainRuns | None = None):
        self.experiment = experiment
        self.model = model
        self.plain = plain or PlainRuns(experiment, model)
        base, source = self._sides
        ids = self.plain.ids
        differ = first_difference(ids[base], ids[source]) if source in ids else 0
        self.plan = Plan(
            sizes_of(model.gpt),
            self.plain.T,
            differ,
            experiment.site,
            experiment.embedding,
            experiment.window,
        )
        self.seconds = 0.0
        self._making = threading.Lock()  # one thread may sweep while another reads
        self._sweep: Sweep | None = None
        self._states: States | None = None

    @property
    def _sides(self) -> tuple[str, str]:
        return sides(self.experiment.direction)

    @property
    def sweep(self) -> Sweep:
        """Made when it is first asked for: it needs both plain runs."""
        with self._making:
            if self._sweep is None:
                e, (base, source) = self.experiment, self._sides
                base = self.plain.run(base)
                source = self.plain.run(source) if source in SIDES else source
                self._sweep = Sweep(self.model.gpt, base, source, e.site, e.embedding, e.window)
                self._states = States(self._sweep.states, self.plain.unembedding)
            return self._sweep

    @property
    def states(self) -> torch.Tensor:
        """The final states of the patched runs, by `axes`, then C; NaN where not known yet."""
        return self.sweep.states

    @property
    def axes(self) -> tuple[str, ...]:
        """What the dimensions of the grid are."""
        return SITES[self.experiment.site].axes

    @property
    def rows(self) -> tuple[str, ...]:
        """What each row of the grid patches."""
        layers = tuple(map(str, range(self.model.card.layers)))
        return (EMBEDDING, *layers) if self.experiment.embedding else layers

    def __iter__(self) -> Iterator[float]:
        """Record the plain runs unless they are, then sweep; yields the fraction that is done.
        `states` fills up meanwhile."""
        plain = 0 if self.plain.recorded else self.plain.work
        share = plain / max(1, plain + self.plan.work)
        yield from (share * fraction for fraction in self.plain if plain)
        resumed = time.perf_counter()
        for fraction in self.sweep:
            self.seconds += time.perf_counter() - resumed
            yield share + (1 - share) * fraction
            resumed = time.perf_counter()

    @property
    def estimate(self) -> tuple[int, float, int]:
        """What is still to be done takes: floating-point operations, about how many seconds, and
        how many bytes of memory above the weights."""
        plain = (0, 0) if self.plain.recorded else (self.plain.work, self.plain.nbytes)
        operations = plain[0] + self.plan.work
        return operations, self.plain.seconds_for(operations), plain[1] + sum(self.plan.memory)

    @property
    def nbytes(self) -> int:
        """What is kept of the sweep, without the plain runs."""
        return self.plan.states_bytes

    def read(self, experiment: Experiment, metrics: tuple[str, ...] = tuple(METRICS)) -> Result:
        """The answer to `experiment`, which must share this study's `sweep`: the baselines of
        every metric, the grids of its own one and of `metrics`.

        Raises UserError if target and foil are not two tokens, or its own metric cannot be
        measured; of the others, one that cannot be measured is left out.
        """
        pair = draft_for(experiment, self.model).pair
        clean, corrupted = (self.plain.state(side) for side in SIDES)
        grid = self._states if self.sweep else None
        grids, baselines = {}, {}

        def measured(metric: str, states: States) -> np.ndarray:
            return measure(metric, states, clean, corrupted, pair.target.id, pair.foil.id)

        for metric in METRICS:
            try:
                ends = (measured(metric, end).item() for end in (clean, corrupted))
                baselines[metric] = Baseline(*ends)
                if metric in (*metrics, experiment.metric):
                    grids[metric] = measured(metric, grid)
            except UserError:
                if metric == experiment.metric:
                    raise
        return Result(
            experiment=experiment,
            model=self.model.card,
            clean=pair.clean,
            corrupted=pair.corrupted,
            target=pair.target,
            foil=pair.foil,
            axes=self.axes,
            rows=self.rows,
            grids=grids,
            baselines=baselines,
            top={side: self.plain.top(self.plain.state(side).states) for side in SIDES},
            seconds={
                "load": self.model.seconds,
                "plain_runs": self.plain.seconds,
                "sweep": self.seconds,
            },
        )

    def contenders(self, target: int, foil: int) -> dict[str, tuple[Ranked, Ranked]]:
        """Where both plain runs have target and foil."""
        states = {side: self.plain.state(side).states for side in SIDES}
        return {side: self.plain.ranked(state, (target, foil)) for side, state in states.items()}

    def patched_next_tokens(
        self, cell: tuple[int, ...], also: tuple[int, ...] = ()
    ) -> tuple[Moved, ...]:
        """The likeliest next tokens of one cell's patched run, after them those of `also` that are
        not among them, and where each came from."""
        ranks = {
            side: self.plain.unembedding.ranks(self.plain.state(side).states) for side in SIDES
        }
        base = ranks[self._sides[0]]
        state = self.states[cell]
        rows = and_further(self.plain.top(state), self.plain.ranked(state, also))
        return tuple(
            Moved(
                now,
                *(ranks[side][now.token.id].item() for side in SIDES),
                risen=base[now.token.id].item() - now.rank,
            )
            for now in rows
        )

    def trace(self, cell: tuple[int, int], experiment: Experiment) -> Steps[Trace]:
        """What became of one patch of resid_post, given as (row, position), in steps."""
        pair = draft_for(experiment, self.model).pair
        row, position = cell
        base, source = self.sweep.base, self.sweep.source
        layer = row - self.experiment.embedding
        return trace(self.model.gpt, base, source, layer, position, pair.target.id, pair.foil.id)

    def head_preview(self, experiment: Experiment) -> np.ndarray:
        """The estimated map of logit differences for patching heads, (layers, heads): see
        `core.reading.preview`. An ablation, which has no second run, has none."""
        base, source = self.sweep.base, self.sweep.source
        pair = draft_for(experiment, self.model).pair
        estimate = head_preview(self.model.gpt, base, source, pair.target.id, pair.foil.id)
        return estimate.cpu().numpy()


def sides(direction: str) -> tuple[str, str]:
    """What a direction patches into, and what it puts in: a name of SIDES, or its own name if it is
    an ablation."""
    source = {"denoise": "clean", "noise": "corrupted"}
    base = "corrupted" if direction == "denoise" else "clean"
    return base, source.get(direction, direction)


def draft_for(experiment: Experiment, model: LoadedModel) -> Draft:
    """What of an experiment a model can read, and what not."""
    return draft(experiment, model.encoder, model.gpt.block_size)
