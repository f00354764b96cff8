"""Continuing the text: what the clean, the corrupted and a patched run would write.

question = Continue(experiment, model)
found = finish(question.continued(question.place("3,8"), Sampling(tokens=20)))
found = finish(question.continued(question.parse("9.9 9.6 mlp0"), Sampling(temperature=0.8)))
"""

from core.engine.patched import Put, patched, puts_of
from core.engine.sweep import sizes_of
from core.engine.work import run_work
from core.errors import UserError
from core.models import LoadedModel
from core.question import components, places
from core.question.components import Component
from core.question.experiment import SIDES, Experiment
from core.question.places import Place
from core.question.sampling import Sampling
from core.question.tokens import token
from core.reading.continuing import continuing
from core.result import Continuation, Written
from core.steps import Steps, within
from core.study import PlainRuns, draft_for, sides

Patch = Place | tuple[Component, ...]  # a cell of the experiment's map, or a set of components
_ROWS = 16  # reading all weights for one token takes about as long as so many rows of a long text


class Continue:
    """What the runs of an experiment would write. Its direction says what is patched into what; of
    a cell its site, window and embedding say what is. Raises UserError for texts that cannot be
    patched, and for a place or a set that is none."""

    def __init__(self, experiment: Experiment, model: LoadedModel, plain: PlainRuns | None = None):
        self.experiment, self.model = experiment, model
        self.plain = plain or PlainRuns(experiment, model)
        config = model.gpt.config
        self._sizes = config.n_layer, config.n_head, self.plain.T

    def place(self, text: str) -> Place:
        """The place on the experiment's map that `text` names (see `core.question.places`)."""
        place = places.parse(text, self.experiment.site, *self._sizes)
        if place.layer < 0 and not self.experiment.embedding:
            raise UserError("The map has no row for the embedding unless it is asked for.", "at")
        return place

    def parse(self, text: str) -> tuple[Component, ...]:
        """The set that `text` names (see `core.question.components`)."""
        return components.parse(text, *self._sizes)

    @property
    def room(self) -> int:
        """How many tokens the texts can be continued by."""
        return self.model.gpt.block_size - self.plain.T

    def estimate(self, how: Sampling) -> tuple[float, int]:
        """About how many seconds it takes here, and how many bytes of memory."""
        L, C, M, _, itemsize = sizes_of(self.model.gpt)
        rows = self.plain.T + _ROWS * how.tokens
        longest = self.plain.T + how.tokens
        kept = itemsize * 2 * L * C * longest * 2 * (len(SIDES) + 1)  # of two steps
        return self.plain.seconds_for(run_work(L, C, M, rows, 0, 0, rows)), kept

    def continued(self, patch: Patch, how: Sampling) -> Steps[Continuation]:
        """What each run writes. Raises UserError where the model could not read it to its end, and
        for numbers that are not finite."""
        if how.tokens > self.room:
            raise UserError(
                f"The texts have {self.plain.T} tokens, and {how.tokens} more are more than the"
                f" {self.model.gpt.block_size} this model can read: "
                + (f"ask for {self.room} or fewer." if self.room > 0 else "shorten the texts."),
                "tokens",
            )
        yield from (0.1 * fraction for fraction in self.plain)
        gpt, (base, source) = self.model.gpt, sides(self.experiment.direction)
        source = self.plain.run(source) if source in SIDES else source
        clean, corrupted = (self.plain.run(side) for side in SIDES)
        with_patch = patched(gpt, self.plain.run(base), source, self._puts(patch))
        runs = {"clean": clean, "patched": with_patch, "corrupted": corrupted}
        steps = continuing(gpt, list(runs.values()), how)
        written = yield from within(steps, 0.2, 0.8)
        pair = draft_for(self.experiment, self.model)
        return Continuation(
            experiment=self.experiment,
            model=self.model.card,
            patch=patch if isinstance(patch, Place) else tuple(map(str, patch)),
            sampling=how,
            prompts=dict(zip(SIDES, pair.texts, strict=True)),
            runs={
                name: tuple(Written(token(id, self.model.encoder), prob) for id, prob in ids)
                for name, ids in zip(runs, written, strict=True)
            },
        )

    def _puts(self, patch: Patch) -> list[Put]:
        if not isinstance(patch, Place):
            return puts_of(patch)
        if patch.layer < 0:
            return [Put("resid_pre", 0, None, patch.position)]
        activation = self.experiment.site.removeprefix("head_").removesuffix("_position")
        within = places.layers_of(self.experiment, patch, self._sizes[0])
        return [Put(activation, layer, patch.head, patch.position) for layer in within]
