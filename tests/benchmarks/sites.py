"""What each site's map takes against the residual stream's, on random weights.

    python -m tests.benchmarks.sites [--size gpt2] [--tokens 16] [--rounds 3]

All sites are swept in turn in each round, since machines are noisy.
"""

from core.checks import bench
from core.engine.runs import record
from core.engine.sweep import Sweep
from core.question.sites import SITES
from tests.benchmarks.peers import options_of, tell, timed
from tests.builders import swept


def main() -> None:
    options = options_of(__doc__, tokens=16)
    gpt = bench.random_model(options.size)
    source, base = record(gpt, *bench.texts(gpt, options.tokens))
    times: dict[str, list[float]] = {site: [] for site in SITES}
    for _ in range(options.rounds):
        for site, seconds in times.items():
            seconds.append(timed(lambda site=site: swept(Sweep(gpt, base, source, site)))[0])
    tell(options, times, "resid_post")


if __name__ == "__main__":
    main()
