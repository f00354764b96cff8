"""What each site's map takes against the residual stream's, on random weights.

    python -m tests.benchmarks.sites [--size gpt2] [--tokens 16] [--rounds 3]

All sites are swept in turn in each round, since machines are noisy.
"""

import argparse
import statistics
import time

import torch

from core.checks import bench
from core.engine import work
from core.engine.runs import record
from core.engine.sweep import Sweep
from core.question.sites import SITES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="gpt2")
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    work.choose_threads()
    gpt = bench.random_model(options.size)
    source, base = record(gpt, *bench.texts(gpt, options.tokens))
    times: dict[str, list[float]] = {site: [] for site in SITES}
    for _ in range(options.rounds):
        for site, seconds in times.items():
            started = time.perf_counter()
            for _ in Sweep(gpt, base, source, site):
                pass
            seconds.append(time.perf_counter() - started)
    residual = statistics.median(times["resid_post"])
    print(
        f"{options.size}, {options.tokens} tokens, {torch.get_num_threads()} threads,"
        f" medians of {options.rounds} rounds"
    )
    for site, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{site:16} {median:8.3f} s   {median / residual:6.2f} times resid_post")


if __name__ == "__main__":
    main()
