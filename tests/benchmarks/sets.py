"""A curve over all heads, added one by one, against a map of the residual stream and against hooks
on Hugging Face's GPT-2, on random weights.

    python -m tests.benchmarks.sets [--size gpt2] [--tokens 15] [--rounds 3]

The texts differ at the position in the middle. Each round runs all in turn in this process; the
values must agree to 1e-4 before a ratio is printed. A map is so short that each round takes some.
"""

import random

import torch

from core.checks import bench
from core.engine.joint import Joint
from core.engine.runs import record
from core.engine.sweep import Sweep
from core.question.components import everything
from core.reading.unembed import Unembedding
from tests.benchmarks.peers import (
    FOIL,
    OURS_A_ROUND,
    TARGET,
    TOLERANCE,
    difference,
    options_of,
    tell,
    timed,
)
from tests.builders import swept
from tests.hooked_gpt2 import Hooked, hugging_face, put


def main() -> None:
    options = options_of(__doc__, tokens=15)
    ours = bench.random_model(options.size)
    hooked = Hooked(hugging_face(ours))
    ids = list(bench.texts(ours, options.tokens)[0])
    other = list(ids)
    other[len(ids) // 2] += 1
    base, source = record(ours, tuple(ids), tuple(other))
    order = [of for of in everything(ours.config.n_layer, ours.config.n_head) if of.kind == "head"]
    random.Random(0).shuffle(order)
    direction = Unembedding(ours.lm_head.weight).difference(TARGET, FOIL)

    def curve() -> torch.Tensor:
        joint = Joint(ours, base, source, [order[: k + 1] for k in range(len(order))])
        for _ in joint:
            pass
        return joint.states @ direction

    def hooks() -> torch.Tensor:
        new = hooked.kept(source.ids, "head_z")
        edits = [("head_z", of.layer, put((slice(None), of.head), new[of.layer])) for of in order]
        runs = [hooked.run(base.ids, edits[: k + 1]) for k in range(len(edits))]
        return torch.stack([difference(logits) for logits in runs])

    times: dict[str, list[float]] = {"a residual map": [], "a curve": [], "the same with hooks": []}
    for _ in range(options.rounds):
        for _ in range(OURS_A_ROUND):
            times["a residual map"].append(timed(lambda: swept(Sweep(ours, base, source)))[0])
            seconds, found = timed(curve)
            times["a curve"].append(seconds)
        seconds, expected = timed(hooks)
        times["the same with hooks"].append(seconds)
        apart = (found - expected).abs().max().item()
        assert apart <= TOLERANCE, f"values are {apart:.1e} apart"
    tell(options, times, "a residual map")
    print(f"all values agree to {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
