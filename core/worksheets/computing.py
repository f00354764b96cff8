"""Experiments of a worksheet, computed here: each once, one after the other.

results = finish(computed(sheet.experiments, load))
"""

from collections.abc import Callable, Iterable
from functools import lru_cache

from core import catalogue, models
from core.catalogue import Entry
from core.errors import UserError
from core.models import LoadedModel
from core.question.experiment import Experiment
from core.result import Result
from core.steps import Steps, finish, within
from core.study import Study

Load = Callable[[str], LoadedModel]  # the model of a name; raises UserError
Computed = dict[Experiment, Result | UserError]  # what came out, or why nothing did


@lru_cache(maxsize=2)
def load(name: str) -> LoadedModel:
    """A model by whatever name the command line takes. Raises UserError for one that is not here:
    nothing is brought because a file that somebody handed in names it."""
    return models.load(here(catalogue.find(name)))


def here(entry: Entry) -> Entry:
    """Raises UserError for a model that is not on this machine."""
    if entry.location is None:
        raise UserError(f"The model {entry.name} is not on this machine: bring it first.", "model")
    return entry


def computed(asked: Iterable[Experiment], load: Load = load) -> Steps[Computed]:
    """What comes out of each experiment."""
    asked = list(dict.fromkeys(asked))
    found: Computed = {}
    for number, experiment in enumerate(asked):
        try:
            study = Study(experiment, load(experiment.model))
            yield from within(study.__iter__(), number / len(asked), 1 / len(asked))
            found[experiment] = study.read(experiment)
        except UserError as error:
            found[experiment] = error
    return found


def estimate(asked: Iterable[Experiment], load: Load = load) -> tuple[float, int]:
    """About how many seconds that takes, and how many bytes of memory at once."""
    seconds, memory = 0.0, 0
    for experiment in dict.fromkeys(asked):
        try:
            _, takes, needs = Study(experiment, load(experiment.model)).estimate
        except UserError:  # which is said when it is computed
            continue
        seconds, memory = seconds + takes, max(memory, needs)
    return seconds, memory


def read(found: Computed, experiment: Experiment) -> Result:
    """What came out of one. Raises UserError where nothing did."""
    if isinstance(result := found[experiment], UserError):
        raise result
    return result


def answer_to(experiment: Experiment) -> Result:
    """What comes out of one, at once."""
    return read(finish(computed([experiment])), experiment)
