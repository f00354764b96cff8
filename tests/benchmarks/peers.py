"""Our sweep against other tools', on the same random weights and the same token ids.

    python -m tests.benchmarks.peers [--size gpt2] [--tokens 11] [--rounds 3]

Each round runs ours and every peer in turn in this process; grids are compared before a ratio is
printed. Peers are Hugging Face's GPT-2 with a forward hook, and TransformerLens's own
`get_act_patch_resid_pre` where it is installed (it patches the same stream: its row l + 1 is our
row l).
"""

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import GPT2LMHeadModel

from core.checks import bench
from core.engine import work
from core.reading.unembed import Unembedding
from tests import builders
from tests.hooked_gpt2 import hook_loop, hugging_face

TOLERANCE = 1e-4
OURS_A_ROUND = 5  # it is so short that a single one says little
TARGET, FOIL = 5437, 4176  # any two tokens


def main() -> None:
    options = options_of(__doc__, tokens=11)
    ours = bench.random_model(options.size)
    clean, corrupted = bench.texts(ours, options.tokens)
    theirs = hugging_face(ours)
    peers = {
        "hooks on Hugging Face's GPT-2": lambda: difference(hook_loop(theirs, corrupted, clean))
    }
    if importlib.util.find_spec("transformer_lens"):
        lens = transformer_lens(hugging_face(ours))  # which it changes
        peers["TransformerLens"] = lambda: transformer_lens_sweep(lens, clean, corrupted)
    else:
        print("TransformerLens is not installed and is left out.")

    def sweep() -> torch.Tensor:
        states = bench.swept(ours, clean, corrupted)
        return states @ Unembedding(ours.lm_head.weight).difference(TARGET, FOIL)

    sweep()  # the first one also starts the threads
    times: dict[str, list[float]] = {"ours": [], **{name: [] for name in peers}}
    for _ in range(options.rounds):
        for _ in range(OURS_A_ROUND):
            seconds, grid = timed(sweep)
            times["ours"].append(seconds)
        for name, peer in peers.items():
            seconds, other = timed(peer)
            times[name].append(seconds)
            rows = grid[: len(other)]  # TransformerLens has no row for the last layer's output
            apart = (rows - other).abs().max().item()
            assert apart <= TOLERANCE, f"{name}: cells are {apart:.1e} apart"
    tell(options, times, "ours")
    print(f"all grids agree to {TOLERANCE:.0e}")


def options_of(doc: str, tokens: int) -> argparse.Namespace:
    """What the command line asks for; `tokens` by default."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--size", default="gpt2")
    parser.add_argument("--tokens", type=int, default=tokens)
    parser.add_argument("--rounds", type=int, default=3)
    work.choose_threads()
    return parser.parse_args()


def tell(options: argparse.Namespace, times: dict[str, list[float]], unit: str) -> None:
    """Print the median of all seconds under each name, against those under `unit`."""
    print(
        f"{options.size}, {options.tokens} tokens, {torch.get_num_threads()} threads,"
        f" medians of {options.rounds} rounds"
    )
    for name, seconds in times.items():
        median = statistics.median(seconds)
        ratio = median / statistics.median(times[unit])
        print(f"{name:<32} {median:8.3f} s   {ratio:6.2f} times {unit}")


def difference(logits: torch.Tensor) -> torch.Tensor:
    return logits[..., FOIL] - logits[..., TARGET]


def timed(work: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    started = time.perf_counter()
    with torch.no_grad():  # as people use these tools
        result = work()
    return time.perf_counter() - started, result


def transformer_lens(model: GPT2LMHeadModel):
    """TransformerLens 4's model around Hugging Face's, with its hooks' old names."""
    from transformer_lens.model_bridge import TransformerBridge

    with tempfile.TemporaryDirectory() as folder:  # it wants a tokenizer, which nobody will use
        model.config.save_pretrained(folder)
        builders.write_tokenizer(builders.tiny_encoder(), Path(folder))
        bridge = TransformerBridge.boot_transformers(folder, hf_model=model)
    bridge.enable_compatibility_mode(no_processing=True)
    return bridge


def transformer_lens_sweep(model, clean, corrupted) -> torch.Tensor:
    from transformer_lens.patching import get_act_patch_resid_pre

    _, cache = model.run_with_cache(torch.tensor([clean]))
    grid = get_act_patch_resid_pre(
        model,
        torch.tensor([corrupted]),
        cache,
        lambda logits: difference(logits[0, -1]),
    )
    return grid[1:]  # the input of layer l + 1 is the output of layer l


if __name__ == "__main__":
    main()
