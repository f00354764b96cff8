"""Study: one text pair on one model, swept once, then asked as many questions as you like.

This is where the rooms meet: texts become a pair, the pair is swept, the states are read.

    study = Study(experiment, models.load(models.find("teaching")))
    for fraction in study.steps():
        print(f"{fraction:.0%}")
    result = study.read(experiment)
"""

import time
from collections.abc import Iterator
from itertools import chain

import numpy as np
import torch

from core.engine import patching, work
from core.engine.sites import SITES
from core.errors import UserError
from core.models import LoadedModel
from core.question.experiment import Experiment
from core.question.pair import Draft, draft
from core.question.tokens import Token, token
from core.reading.lens import Attribution, LogitLens, attention, attribute, logit_lens
from core.reading.metrics import METRICS, Reader
from core.reading.preview import head_preview
from core.reading.trace import Trace, trace
from core.result import EMBEDDING, Baseline, Moved, Ranked, Result

TOP = 20

_USUAL_FRACTION = 0.8  # of the rate of large products that a sweep reaches


class Study:
    """`steps` sweeps, and runs both texts along with it, unless somebody has asked for what they
    say before. Raises UserError for texts that cannot be patched; what target, foil and metric
    are matters to `read` only."""

    def __init__(self, experiment: Experiment, model: LoadedModel):
        self.experiment = experiment
        self.model = model
        # Of plain runs that are computed along with the sweep, the seconds are the sweep's.
        self.seconds = {"load": model.seconds, "clean": 0.0, "corrupted": 0.0, "sweep": 0.0}
        self.clean, self.corrupted = self._draft(experiment).texts
        texts = (tuple(token.id for token in text) for text in (self.clean, self.corrupted))
        plain = patching.begin(model.gpt, *texts)
        self._runs = dict(zip(("clean", "corrupted"), plain, strict=True))
        self._sweep = patching.sweep(model.gpt, *self._sides, **self._options)
        self._states: torch.Tensor | None = None

    @property
    def rows(self) -> tuple[str, ...]:
        """What each row of the grid patches."""
        layers = tuple(map(str, range(self.model.card.layers)))
        return (EMBEDDING, *layers) if self.experiment.embedding else layers

    @property
    def axes(self) -> tuple[str, ...]:
        """What the dimensions of the grid are."""
        return SITES[self.experiment.site].axes

    @property
    def states(self) -> torch.Tensor:
        """The last states of the sweep so far: by `axes`, then C; NaN where not known yet."""
        if self._states is None:
            first = next(self._sweep)
            self._sweep, self._states = chain([first], self._sweep), first[1]
        return self._states

    def steps(self) -> Iterator[float]:
        """Sweep, yielding the fraction of the work that is done; `states` fills up meanwhile."""
        resumed = time.perf_counter()
        for fraction, states in self._sweep:
            self._states = states
            self.seconds["sweep"] += time.perf_counter() - resumed
            yield fraction
            resumed = time.perf_counter()

    @property
    def some_known(self) -> bool:
        """Whether any cell is known yet; none is before the run that is patched into."""
        return self._sides[0].finished

    @property
    def estimate(self) -> tuple[int, float]:
        """What the sweep takes: its floating-point operations, and about how many seconds."""
        operations = patching.sweep_work(self.model.gpt, *self._sides, **self._options)
        device = self.model.gpt.lm_head.weight.device.type
        return operations, operations / (_USUAL_FRACTION * work.rate(device))

    @property
    def clean_state(self) -> torch.Tensor:
        """The last state of the clean run, (C,)."""
        return self._run("clean").state

    @property
    def corrupted_state(self) -> torch.Tensor:
        """The last state of the corrupted run, (C,)."""
        return self._run("corrupted").state

    def _run(self, side: str) -> patching.Run:
        self._finish()
        return self._runs[side]

    def _finish(self) -> None:
        """Compute what of the plain runs is still to be computed, in one pass."""
        if late := [side for side, run in self._runs.items() if not run.finished]:
            started = time.perf_counter()
            patching.finish(self.model.gpt, *(self._runs[side] for side in late))
            share = (time.perf_counter() - started) / len(late)
            self.seconds |= dict.fromkeys(late, share)

    @property
    def _sides(self) -> tuple[patching.Run, patching.Run | str]:
        """What is patched into, and what is put in."""
        clean, corrupted = self._runs.values()
        return {
            "denoise": (corrupted, clean),
            "noise": (clean, corrupted),
            "zero": (clean, "zero"),
            "mean": (clean, "mean"),
        }[self.experiment.direction]

    @property
    def _options(self) -> dict:
        experiment = self.experiment
        return {
            "site": experiment.site,
            "embedding": experiment.embedding,
            "window": experiment.window,
        }

    def read(self, experiment: Experiment, metrics: tuple[str, ...] = tuple(METRICS)) -> Result:
        """The answer to `experiment`, which must share this study's `sweep`: the baselines of
        every metric, the grids of its own one and of `metrics`.

        Raises UserError if target and foil are not two tokens, or its own metric cannot be
        measured; of the others, one that cannot be measured is left out.
        """
        pair = self._draft(experiment).pair
        reader = Reader(
            self.model.gpt.lm_head.weight,
            self.clean_state,
            self.corrupted_state,
            pair.target.id,
            pair.foil.id,
        )
        plain = torch.stack((self.clean_state, self.corrupted_state))
        grids, baselines = {}, {}
        for metric in METRICS:
            try:
                baselines[metric] = Baseline(*reader.read(metric, plain).tolist())
                if metric in (*metrics, experiment.metric):
                    grids[metric] = reader.read(metric, self.states)
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
            top={
                "clean": self.top(self.clean_state),
                "corrupted": self.top(self.corrupted_state),
            },
            seconds=dict(self.seconds),
        )

    def story(self, cell: tuple[int, ...]) -> tuple[Moved, ...]:
        """The likeliest next tokens of one cell's patched run, and where they came from."""
        clean, corrupted = self._ranks(self.clean_state), self._ranks(self.corrupted_state)
        unpatched = corrupted if self.experiment.direction == "denoise" else clean
        return tuple(
            Moved(
                now,
                clean[now.token.id].item(),
                corrupted[now.token.id].item(),
                risen=unpatched[now.token.id].item() - now.rank,
            )
            for now in self.top(self.states[cell])
        )

    def trace(self, cell: tuple[int, int], experiment: Experiment) -> Trace:
        """What became of one patch of resid_post, given as (row, position)."""
        pair = self._draft(experiment).pair
        row, position = cell
        layer = row - self.experiment.embedding
        ids = pair.target.id, pair.foil.id
        self._finish()
        return trace(self.model.gpt, *self._sides, layer, position, *ids)

    def lens(self, side: str, ids: tuple[int, ...]) -> tuple[LogitLens, list[list[Token]]]:
        """The logit lens of the "clean" or "corrupted" run, what it says of the tokens `ids`, and
        the likeliest next token of every row and position."""
        lens = logit_lens(self.model.gpt, self._run(side), list(ids))
        return lens, [[self._token(id) for id in row] for row in lens.top_ids.tolist()]

    def attribution(self, side: str, experiment: Experiment) -> Attribution:
        """Direct logit attribution of the logit difference on one run."""
        pair = self._draft(experiment).pair
        return attribute(self.model.gpt, self._run(side), pair.target.id, pair.foil.id)

    def attention(self, side: str, layer: int, head: int) -> np.ndarray:
        """One head's attention pattern on one run, (T, T)."""
        return attention(self.model.gpt, self._run(side), layer, head).float().cpu().numpy()

    def head_preview(self, experiment: Experiment) -> np.ndarray:
        """The estimated map of logit differences for patching heads, (layers, heads): see
        `core.reading.preview`. Raises UserError for an ablation, which has no second run."""
        base, source = self._sides
        if isinstance(source, str):
            raise UserError("A preview needs two runs, and an ablation has one.", "direction")
        pair = self._draft(experiment).pair
        self._finish()
        change = head_preview(self.model.gpt, base, source, pair.target.id, pair.foil.id)
        weight = self.model.gpt.lm_head.weight.float()
        plain = base.state.float() @ (weight[pair.foil.id] - weight[pair.target.id])
        return (plain + change.float()).cpu().numpy()

    def top(self, state: torch.Tensor, count: int = TOP) -> tuple[Ranked, ...]:
        """The likeliest next tokens after a state (C,), likeliest first."""
        logits = self._logits(state)
        probs = logits.softmax(dim=-1)
        best = logits.argsort(descending=True, stable=True)[:count].tolist()
        return tuple(
            Ranked(rank, self._token(id), logits[id].item(), probs[id].item())
            for rank, id in enumerate(best, start=1)
        )

    def _draft(self, experiment: Experiment) -> Draft:
        return draft(experiment, self.model.encoder, self.model.gpt.block_size)

    def _ranks(self, state: torch.Tensor) -> torch.Tensor:
        """Every token's rank, counted from 1, after a state (C,): (V,)."""
        order = self._logits(state).argsort(descending=True, stable=True)
        ranks = torch.empty_like(order)
        ranks[order] = torch.arange(1, len(order) + 1)
        return ranks

    def _logits(self, state: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return (self.model.gpt.lm_head.weight @ state).float().cpu()

    def _token(self, id: int) -> Token:
        """A vocabulary may be padded with rows that stand for no token."""
        known = id in self.model.encoder.decoder
        return token(id, self.model.encoder) if known else Token(id, f"<unused {id}>")
