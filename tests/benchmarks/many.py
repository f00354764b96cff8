"""Many pairs: our packed sweeps against other ways, on the same random weights and token ids.

    python -m tests.benchmarks.many [--pairs 32] [--tokens 15] [--rounds 3]

Pairs of equal length differ at one position, as those of indirect object identification do. Each
round runs ours and every peer in turn in this process, and grids are compared before a ratio is
printed. Peers are a loop of hooks on Hugging Face's GPT-2 with all pairs in the batch, one forward
pass for each layer and position from the first difference on, as people write it and with the last
position's logits alone; TransformerLens's `get_act_patch_resid_pre` pair by pair, where it is
installed; and our own sweep pair by pair. Then: of the rate of dense products how much ours reaches
on the least work there is, what memory it takes in a process of its own, and the teaching model.
"""

import argparse
import importlib.util
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import torch
from transformers import GPT2LMHeadModel

from core import catalogue, models
from core.checks import bench
from core.engine import work
from core.many import packs, sweeping
from core.many.fitting import Fitted, alone, fit, shared_columns
from core.many.pairs import Pair
from core.many.survey import Sample, Survey
from core.many.values import Swept
from core.models import LoadedModel
from core.question.experiment import Experiment
from core.study import Study
from tests.benchmarks.peers import transformer_lens, transformer_lens_sweep
from tests.hooked_gpt2 import hugging_face

TOLERANCE = 1e-4
TARGET, FOIL = 5437, 4176  # any two tokens
ASKED = Experiment("", "", "", "")
_LENS_PAIRS = 2  # of TransformerLens, which takes seconds for each
_LARGE = 2048  # rows and columns of a large product


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="gpt2")
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="say what one process takes")
    options = parser.parse_args()
    work.choose_threads()
    model = with_words_of(bench.random_model(options.size))
    pairs = pairs_of(model, options.pairs, options.tokens)
    if options.memory:
        print(memory(model, pairs))
        return
    against_peers(model, pairs, options)
    for count in (options.pairs, 4 * options.pairs):
        command = [sys.executable, "-m", "tests.benchmarks.many", "--memory", f"--pairs={count}"]
        command += [f"--size={options.size}", f"--tokens={options.tokens}"]
        rise = int(subprocess.check_output(command, text=True))
        print(f"peak memory above the weights, {count} pairs: {rise / 1e6:.0f} MB")
    teaching_model()


def with_words_of(gpt) -> LoadedModel:
    """Random weights, with a tokenizer that only has to name a likeliest token."""
    words = range(gpt.config.vocab_size)
    encoder = SimpleNamespace(token_bytes=lambda id: b"?", decoder=words)
    return SimpleNamespace(gpt=gpt, encoder=encoder)


def pairs_of(model: LoadedModel, count: int, T: int) -> list[Fitted]:
    """Pairs of T tokens that differ a little after their middle."""
    rng, found = random.Random(0), []
    columns = tuple((str(p), (p,)) for p in range(T))
    for number in range(count):
        clean = rng.choices(range(model.gpt.config.vocab_size), k=T)
        corrupted = list(clean)
        corrupted[differ(T)] = (clean[differ(T)] + 1) % model.gpt.config.vocab_size
        pair = Pair(str(number), number, "", "", (), ())
        found.append(Fitted(pair, tuple(clean), tuple(corrupted), (TARGET,), (FOIL,), columns))
    return found


def differ(T: int) -> int:
    return (T + 1) // 2


def ours(pairs: Sequence[Fitted], model: LoadedModel) -> torch.Tensor:
    """All that the app does: plain runs, screening, sweeps, logit differences: (pairs, L, T)."""
    sample = SimpleNamespace(model=model, chosen=lambda keep: (pairs, []))
    survey = Survey(sample, ASKED, metrics=())
    for _ in survey:
        pass
    grids = [of.values.grids["logit_diff"] for of in by_line(survey)]
    return torch.from_numpy(np.stack(grids))


def one_by_one(pairs: Sequence[Fitted], model: LoadedModel) -> torch.Tensor:
    return torch.cat([ours([pair], model) for pair in pairs])


def hook_loop(model: GPT2LMHeadModel, pairs: Sequence[Fitted], logits: int = 0) -> torch.Tensor:
    """All pairs in the batch, one forward pass for each layer and position, as people write it: by
    default with the logits of all positions."""
    clean, corrupted = (
        torch.tensor([getattr(pair, side) for pair in pairs]) for side in ("clean", "corrupted")
    )
    T, blocks = clean.shape[1], model.transformer.h
    with torch.no_grad():
        kept = model(clean, output_hidden_states=True).hidden_states

        def run(*hooked) -> torch.Tensor:
            hooks = [blocks[layer].register_forward_hook(hook) for layer, hook in hooked]
            last = model(corrupted, logits_to_keep=logits).logits[:, -1]
            for hook in hooks:
                hook.remove()
            return last[:, FOIL] - last[:, TARGET]

        # Of the last block Hugging Face keeps what the final LayerNorm gives.
        last = []
        hook = blocks[-1].register_forward_hook(lambda _, __, out: last.append(first_of(out)))
        model(clean, logits_to_keep=1)
        hook.remove()
        kept = (*kept[:-1], last[0])
        grid = torch.empty(len(pairs), len(blocks), T)
        grid[:] = run()[:, None, None]
        for layer in range(len(blocks)):
            for p in range(differ(T), T):
                grid[:, layer, p] = run((layer, put(kept[layer + 1], p)))
    return grid


def put(new: torch.Tensor, p: int) -> Callable:
    def hook(_, __, out):
        first_of(out)[:, p] = new[:, p]
        return out

    return hook


def first_of(out) -> torch.Tensor:
    return out[0] if isinstance(out, tuple) else out


def against_peers(model: LoadedModel, pairs: list[Fitted], options: argparse.Namespace) -> None:
    theirs, n = hugging_face(model.gpt), len(pairs)
    peers: dict[str, tuple[int, Callable[[], torch.Tensor]]] = {
        "ours, pair by pair": (n, lambda: one_by_one(pairs, model)),
        "hooks on Hugging Face's GPT-2, batched": (n, lambda: hook_loop(theirs, pairs)),
        "the same with the last logits alone": (n, lambda: hook_loop(theirs, pairs, 1)),
    }
    if importlib.util.find_spec("transformer_lens"):
        lens = transformer_lens(hugging_face(model.gpt))
        some = pairs[:_LENS_PAIRS]
        peers["TransformerLens, pair by pair"] = (
            len(some),
            lambda: torch.stack([lens_grid(lens, pair) for pair in some]),
        )
    else:
        print("TransformerLens is not installed and is left out.")
    ours(pairs[:2], model)  # the first one also starts the threads
    times: dict[str, list[float]] = {"ours": [], **{name: [] for name in peers}}
    a, b = torch.randn(2, _LARGE, _LARGE)
    dense = []
    for _ in range(options.rounds):
        for _ in range(3):
            seconds, grid = timed(lambda: ours(pairs, model))
            times["ours"].append(seconds / n)
            dense += [timed(lambda: a @ b)[0] for _ in range(3)]
        for name, (count, peer) in peers.items():
            seconds, other = timed(peer)
            times[name].append(seconds / count)
            rows = other.shape[1]  # TransformerLens has no row for the last layer's output
            apart = (grid[:count, :rows] - other).abs().max().item()
            assert apart <= TOLERANCE, f"{name}: cells are {apart:.1e} apart"
    seconds = statistics.median(times["ours"])
    print(
        f"{options.size}, {n} pairs of {options.tokens} tokens, {torch.get_num_threads()} threads,"
        f" medians of {options.rounds} rounds"
    )
    for name, found in times.items():
        median = statistics.median(found)
        print(f"{name:<40} {1 / median:8.2f} pairs/s   ours {median / seconds:6.2f} times as many")
    print(f"all grids agree to {TOLERANCE:.0e}")
    least = sweeping.work_of(pairs, model, ASKED) / n
    rate = 2 * _LARGE**3 / statistics.median(dense)
    print(
        f"least work {least / 1e9:.1f} GFLOP a pair: {least / seconds / 1e9:.0f} GFLOP/s, large"
        f" products {rate / 1e9:.0f}: {least / seconds / rate:.0%}"
    )


def lens_grid(lens, pair: Fitted) -> torch.Tensor:
    return transformer_lens_sweep(lens, pair.clean, pair.corrupted)


def memory(model: LoadedModel, pairs: list[Fitted]) -> int:
    """How far the process rises above what it has with the weights loaded, in bytes."""
    before = bench._resident_bytes("VmRSS")
    bench._forget_peak()
    ours(pairs, model)
    return bench._resident_bytes("VmHWM") - before


def teaching_model() -> None:
    """The bundled model's 300 pairs together, against one by one."""
    model = models.load(catalogue.TEACHING, device="cpu")
    made = packs.PACKS["teaching-ioi"].make()
    _, pairs, _ = shared_columns(fit(made, model.encoder, model.gpt.block_size)[0])
    times, grids = {packed: [], studied: []}, {}
    for _ in range(3):
        for way, measured in times.items():
            started = time.perf_counter()
            grids[way] = way(pairs, model)
            measured.append(time.perf_counter() - started)
    both = zip(*grids.values(), strict=True)
    assert max(np.abs(a - b).max() for a, b in both) <= TOLERANCE
    together, apart = (statistics.median(measured) for measured in times.values())
    print(
        f"teaching model, {len(pairs)} pairs: {len(pairs) / together:.0f} pairs/s,"
        f" {apart / together:.1f} times as many as one study after another"
    )


def packed(pairs: list[Fitted], model: LoadedModel) -> list[np.ndarray]:
    sample = Sample([pair.pair for pair in pairs], [], model)
    survey = Survey(sample, ASKED, metrics=())
    for _ in survey:
        pass
    return [of.values.grids["logit_diff"] for of in by_line(survey)]


def by_line(survey: Survey) -> list[Swept]:
    return sorted(survey.swept, key=lambda of: of.pair.pair.line)


def studied(pairs: list[Fitted], model: LoadedModel) -> list[np.ndarray]:
    """The same of a study for each pair, as the page of a single pair does it."""
    found = []
    for pair in pairs:
        experiment = alone(pair, ASKED, model.encoder)
        study = Study(experiment, model)
        for _ in study:
            pass
        values = study.read(experiment, metrics=()).values
        found.append(np.stack([values[:, at[-1]] for _, at in pair.columns], axis=1))
    return found


def timed(what: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    started = time.perf_counter()
    result = what()
    return time.perf_counter() - started, result


if __name__ == "__main__":
    main()
