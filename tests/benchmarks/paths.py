"""Every path into one head's query, key and value, against a map of the residual stream and
against hooks on Hugging Face's GPT-2, on random weights.

    python -m tests.benchmarks.paths [--size gpt2] [--tokens 15] [--rounds 3]

The texts differ at the position in the middle. Each round runs all in turn in this process; the
grids must agree to 1e-4 before a ratio is printed. A map is so short that each round takes some.
"""

from core.checks import bench
from core.engine.paths import FROZEN, Paths, together
from core.engine.runs import record
from core.engine.sweep import Sweep
from core.question.receivers import Receiver
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
from tests.hooked_gpt2 import hugging_face
from tests.hooked_paths import by_sender, hooked_paths


def main() -> None:
    options = options_of(__doc__, tokens=15)
    ours = bench.random_model(options.size)
    theirs = hugging_face(ours)
    ids = list(bench.texts(ours, options.tokens)[0])
    other = list(ids)
    other[len(ids) // 2] += 1
    base, source = record(ours, tuple(ids), tuple(other))
    # Of twelve layers the tenth; the middle head.
    layer, head = ours.config.n_layer * 3 // 4, ours.config.n_head // 2
    receivers = [Receiver(part, layer, head) for part in "qkv"]
    direction = Unembedding(ours.lm_head.weight).difference(TARGET, FOIL)

    def paths(frozen: str) -> list[Paths]:
        found = [Paths(ours, base, source, receiver, frozen) for receiver in receivers]
        for _ in together(found):
            pass
        return found

    def hooks(frozen: str) -> list[dict]:
        return [
            hooked_paths(theirs, base.ids, source.ids, receiver, frozen) for receiver in receivers
        ]

    times: dict[str, list[float]] = {"a residual map": []}
    for _ in range(options.rounds):
        for _ in range(OURS_A_ROUND):
            times["a residual map"].append(timed(lambda: swept(Sweep(ours, base, source)))[0])
            for frozen in FROZEN:
                seconds, _ = timed(lambda frozen=frozen: paths(frozen))
                times.setdefault(f"q, k and v, {frozen} frozen", []).append(seconds)
    for frozen in FROZEN:
        seconds, expected = timed(lambda frozen=frozen: hooks(frozen))
        times[f"the same with hooks, {frozen} frozen"] = [seconds]
        for found, logits in zip(map(by_sender, paths(frozen)), expected, strict=True):
            for sender, value in logits.items():
                apart = abs(difference(value) - found[sender] @ direction)
                assert apart <= TOLERANCE, f"{frozen} frozen, {sender}: {apart:.1e} apart"
    tell(options, times, "a residual map")
    print(f"all grids agree to {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
