"""Many pairs over the workers of a Dask cluster, wherever those are: parts of about a second go
out, what they say comes back as it is found.

with Cluster("tcp://10.0.0.1:8786", model) as cluster:
    for fraction in cluster.sweep(survey): ...

A worker process loads the model once, from its own disk, and runs one part at a time with all the
threads that Dask gave it. The parts of a worker that is lost are run again on others. Dask's
`distributed` is imported only here, and only when a cluster is asked for.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from functools import lru_cache
from typing import Any, NamedTuple, Self

from core import catalogue, models
from core.engine.work import choose_threads
from core.errors import UserError
from core.machine import version
from core.many import sweeping
from core.many.fitting import Fitted
from core.many.others import Source
from core.many.survey import Sample, Survey
from core.many.values import Screened, Swept
from core.models import LoadedModel
from core.question.experiment import Experiment
from core.steps import finish, within

_PATIENCE = 8  # seconds for a scheduler to answer, and for a first worker to come
_WITHOUT_WORKERS = 120.0  # seconds for others to come where all are lost
_LOOK = 0.05  # seconds between two looks at what has come back
_RETRIES = 3  # of a part that fails; one whose workers are lost the scheduler counts by itself

Part = list[Fitted]
_busy = threading.Lock()  # a worker with several threads would else run several parts at once


class Named(NamedTuple):
    """A model as a worker finds it."""

    name: str
    fingerprint: str
    dtype: str
    device: str


class Cluster:
    """The workers of a scheduler, each with the model. Raises UserError for a scheduler that is not
    there, and for workers that cannot do the work."""

    def __init__(self, address: str, model: LoadedModel, device: str = "auto"):
        try:
            import distributed
        except ImportError as error:
            raise UserError(
                "A cluster needs Dask: pip install -r requirements-cluster.txt", "scheduler"
            ) from error
        for name in ("distributed", "distributed.client"):  # what matters is raised
            logging.getLogger(name).setLevel(logging.CRITICAL)
        entry, name = model.entry, model.entry.name
        if entry.folder and not entry.checkpoint and name not in catalogue.catalogue():
            name = os.path.abspath(name)  # a folder, and workers may have been started elsewhere
        self._named = Named(name, model.card.fingerprint, model.card.dtype, device)
        self._distributed = distributed
        try:
            distributed.comm.get_address_host_port(
                address
            )  # a client of none would hang at its end
            self._client = distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(
                f"No Dask scheduler answers at {address} ({_line(error)}): its address is in the"
                " first lines that `dask scheduler` prints, as tcp://10.0.0.1:8786.",
                "scheduler",
            ) from error
        try:
            self._check(address)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close(timeout=_PATIENCE)

    def __len__(self) -> int:
        """How many workers there are now."""
        return len(self._client.nthreads())

    def screen(self, sample: Sample) -> Iterator[float]:
        """As iterating over the sample does."""
        if sample.is_screened:
            return
        found: dict[str, Screened] = {}
        for part, said in self._run(
            sweeping.screen, sweeping.screenings(sample.by_length, sample.model)
        ):
            found |= zip((pair.pair.id for pair in part), said, strict=True)
            yield len(found) / len(sample.pairs)
        sample.take(found)

    def sweep(self, survey: Survey) -> Iterator[float]:
        """As iterating over the survey does."""
        todo = survey.todo()
        parts = sweeping.batches(todo, survey.sample.model, survey.sweep, max(1, len(self)))
        total = len(survey.pairs)
        if total:
            yield len(survey.swept) / total
        # A mean over all pairs is made here: it takes their clean runs alone.
        source = yield from within(survey.source(todo), len(survey.swept) / max(1, total), 0)
        for _, swept in self._run(_sweep, parts, survey.sweep, survey.metrics, source):
            survey.add(swept)
            yield len(survey.swept) / total
        yield 1.0

    def _run(
        self, work: Callable, parts: Iterator[Part], *more: Any
    ) -> Iterator[tuple[Part, list]]:
        """Each part with what `work` says of it, in the order in which they are done; now and then
        none, with nothing. Whoever stops iterating frees the workers."""
        mapped = self._client.map(
            _on_worker,
            parts := list(parts),
            work=work,
            named=self._named,
            more=more,
            pure=False,
            retries=_RETRIES,
        )
        waiting = dict(zip(mapped, parts, strict=True))
        del mapped
        coming = self._distributed.as_completed(waiting, loop=self._client.loop, with_results=True)
        heard = time.monotonic()
        try:
            while waiting:
                while coming.has_ready():
                    future, said = next(coming)  # raises what the part did
                    if future.cancelled():
                        raise said
                    heard = time.monotonic()
                    yield waiting.pop(future), said
                if time.monotonic() - heard > _PATIENCE:
                    self._check_alive(heard)
                yield [], []
                time.sleep(_LOOK)
        except self._distributed.KilledWorker as error:
            raise UserError(
                f"Every worker that ran one part of the pairs was lost ({_line(error)}): look"
                " whether they have memory enough.",
                "scheduler",
            ) from error
        except (OSError, CancelledError, asyncio.CancelledError) as error:
            raise UserError(
                "The scheduler was lost. What was done is kept in --out: go on from it with"
                " --resume.",
                "scheduler",
            ) from error
        finally:
            self._client.cancel(list(waiting))

    def _check(self, address: str) -> None:
        try:
            self._client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError as error:
            raise UserError(
                f"The cluster at {address} has no workers: start some, as README.md says.",
                "scheduler",
            ) from error
        said = self._client.run(_wrong, self._named, version(), on_error="return")
        for worker, wrong in said.items():
            if isinstance(wrong, OSError):  # it was lost meanwhile
                continue
            if isinstance(wrong, Exception):
                wrong = (
                    f"it cannot run this Patchboard ({_line(wrong)}): start it in a folder with the"
                    " same version, or let PYTHONPATH name that"
                )
            if wrong:
                raise UserError(f"The worker {worker} is of no use: {wrong}.", "scheduler")

    def _check_alive(self, heard: float) -> None:
        is_late = time.monotonic() - heard > _WITHOUT_WORKERS
        if is_late and not len(self):
            raise UserError(
                "All workers are lost, and no others came. What was done is kept in --out: start"
                " others and go on from it with --resume.",
                "scheduler",
            )


async def _wrong(named: Named, theirs: str, dask_worker: Any) -> str:
    """What a worker is no use for, or nothing: said by the worker itself, which loads the model."""
    if theirs != version():
        return "it runs another version of Patchboard: bring both to the same"
    try:
        await asyncio.to_thread(_on_worker, [], _nothing, named, (), dask_worker.state.nthreads)
    except UserError as error:
        return str(error).rstrip(".")
    return ""


def _on_worker(
    part: Part, work: Callable, named: Named, more: Sequence[Any], threads: int | None = None
) -> list:
    """Runs on a worker."""
    from distributed import get_worker

    with _busy:
        choose_threads(threads or get_worker().state.nthreads)
        return work(part, _model(named), *more)


@lru_cache(maxsize=1)
def _model(named: Named) -> LoadedModel:
    entry = catalogue.find(named.name)
    if not entry.location:  # nothing is downloaded here: a hundred workers would all do so
        raise UserError(f"the model {named.name} is not on its machine: put it there")
    model = models.load(entry, named.device, dtype=named.dtype)
    if model.card.fingerprint != named.fingerprint:
        raise UserError(
            f"its {named.name} has other weights, {model.card.fingerprint} and not"
            f" {named.fingerprint}: put the same files there"
        )
    return model


def _nothing(part: Part, model: LoadedModel) -> list:
    return []


def _sweep(
    part: Part, model: LoadedModel, asked: Experiment, metrics: Sequence[str], source: Source | None
) -> list[Swept]:
    return finish(sweeping.sweep(part, model, asked, metrics, source))


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
