"""`verify`, `bench` and `models`: is it right, is it fast, and what is there."""

import argparse
import json

from core import catalogue, models
from core.checks import bench, verify
from core.commands import asking
from core.question.sites import SITES


def add(commands: argparse._SubParsersAction) -> None:
    checks = commands.add_parser(
        "verify",
        help="check a model's numbers against plain runs and published ones",
        description="Check patching on a model against plain runs and against published numbers.",
    )
    checks.set_defaults(run=_verify)
    asking.model(checks)

    timing = commands.add_parser(
        "bench",
        help="measure the sweep's speed and memory on this machine",
        description="Measure sweeps of random texts against plain runs and bare matrix products.",
    )
    timing.set_defaults(run=_bench, dtype="float32")
    timing.add_argument("--model", default="teaching", help="teaching (default), gpt2, a folder")
    timing.add_argument("--random", metavar="SIZE", help="random weights of a size, e.g. gpt2")
    timing.add_argument("--tokens", type=asking.whole, default=11)
    timing.add_argument("--site", default="resid_post", choices=SITES, metavar="SITE")
    timing.add_argument("--budget", type=asking.seconds, default=20.0, help="seconds to spend")
    timing.add_argument("--device", default="auto", help="auto (default), cpu, cuda, mps")
    timing.add_argument("--json", metavar="FILE", help="the numbers; - for standard output alone")

    listing = commands.add_parser("models", help="list the models and what is on this machine")
    listing.set_defaults(run=_models)


def _verify(options: argparse.Namespace) -> int:
    asking.choose_checkpoint(options)
    failed = run = 0
    for check in verify.checks(asking.load(options)):
        print(check.line, flush=True)
        run += not check.skipped
        failed += not (check.passed or check.skipped)
    if not run:  # which is not to be taken for a success
        print("\nNo check could be run on this model: nothing is known of its numbers.")
    else:
        print(f"\n{failed} failed." if failed else f"\nNothing failed of {run} that were run.")
    return 1 if failed or not run else 0


def _bench(options: argparse.Namespace) -> int:
    files = asking.files(options)
    if options.random:
        gpt = models.place(bench.random_model(options.random), options.device)
    else:
        gpt = asking.load(options).gpt
    numbers = {"model": options.random or options.model}
    numbers |= bench.measure(gpt, options.tokens, options.site, options.budget)
    made = {"json": lambda: json.dumps(numbers, indent=1)}
    return asking.deliver(files, made, lambda: bench.table(numbers))


def _models(options: argparse.Namespace) -> int:
    print(catalogue.table())
    return 0
