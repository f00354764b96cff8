"""Two Dask workers beside one, each of one thread: `python -m tests.benchmarks.many_cluster`.

Both clusters are there all the time and sweep in turns, each time all pairs; workers that have
nothing to do take no processor. GPT-2 small's shape has random weights.
"""

import os
import random
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from core import catalogue, models
from core.many.cluster import Cluster
from core.many.pairs import Pair
from core.many.survey import Sample, Survey
from core.models import LoadedModel
from core.question.experiment import Experiment
from tests import builders, dask_processes

ROUNDS = int(os.environ.get("ROUNDS", 3))
PAIRS, TOKENS, DIFFERENT = 32, 15, 9  # how many, of how many, and which one differs


def main() -> None:
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        folder = Path(directory)
        shape = builders.random_gpt(12, 12, 768, vocab_size=50_257, block_size=1024)
        builders.write_model_folder(folder / "gpt2-shape", shape)
        model = models.load(catalogue.find(str(folder / "gpt2-shape")), device="cpu")
        clusters = []
        for count in (1, 2):
            (place := folder / str(count)).mkdir()
            address = stack.enter_context(dask_processes.scheduler(place))
            for _ in range(count):
                stack.enter_context(dask_processes.worker(place))
            clusters.append(stack.enter_context(Cluster(address, model)))
            while len(clusters[-1]) < count:
                time.sleep(0.1)
            sweep(clusters[-1], model)  # both have loaded the model after it
        measure(clusters, model)


def measure(clusters: list[Cluster], model: LoadedModel) -> None:
    """Print the rate of each cluster, and how many times that of the first the second has."""
    ratios = []
    for _ in range(ROUNDS):
        one, two = (PAIRS / sweep(cluster, model) for cluster in clusters)
        ratios.append(two / one)
        print(f"{one:.2f} pairs/s on one worker, {two:.2f} on two: {two / one:.2f} times")
    print(f"median {statistics.median(ratios):.2f} times")


def sweep(cluster: Cluster, model: LoadedModel) -> float:
    """Seconds that the pairs take, plain runs included."""
    survey = Survey(Sample(pairs(), [], model), Experiment(*[""] * 4))
    started = time.perf_counter()
    for _ in cluster.sweep(survey):
        pass
    return time.perf_counter() - started


def pairs() -> list[Pair]:
    """Random texts, each beside one that differs in a token."""
    choose, (first, *words) = random.Random(0), builders.WORDS
    made = []
    for i in range(PAIRS):
        clean = [first, *(choose.choice(words) for _ in range(TOKENS - 1))]
        corrupted = list(clean)
        corrupted[DIFFERENT] = choose.choice([word for word in words if word != clean[DIFFERENT]])
        texts = "".join(clean), "".join(corrupted)
        made.append(Pair(str(i), i, *texts, (" Lee",), (" Poe",)))
    return made


if __name__ == "__main__":
    main()
