"""Files of GPT-2 small's true shape: what loading takes, and whether the answer is right.

    python -m tests.benchmarks.true_shape

Hugging Face's own `save_pretrained` writes random weights in each layout. A fresh process loads
each and says how far its memory rose above what it had, against the size of the weights. Then the
command line answers for one of them, and a hook loop on Hugging Face's model for the same texts.
It takes some 3 GB of disk and half a minute.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tests import builders
from tests.hooked_gpt2 import hook_loop

LOAD = """
import sys
from pathlib import Path
import core
import torch
from mingpt.model import GPT

def resident(which):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(which))

before = resident("VmRSS")
gpt = GPT.from_pretrained(sys.argv[1], getattr(torch, sys.argv[2]))
for parameter in gpt.parameters():
    parameter.sum()  # what is mapped from a file is read when it is touched
print(resident("VmHWM") - before, sum(parameter.nbytes for parameter in gpt.parameters()))
"""


def main() -> None:
    torch.manual_seed(0)
    theirs = GPT2LMHeadModel(GPT2Config()).eval().requires_grad_(False)
    with tempfile.TemporaryDirectory() as directory:
        folders = write(theirs, Path(directory))
        print("peak memory of loading / size of the weights")
        for name, folder in folders.items():
            for dtype in ("float32", "bfloat16"):
                rise, size = map(int, run(["-c", LOAD, str(folder), dtype]).split())
                print(f"  {name:24} {dtype:9} {rise / size:5.2f} of {size / 1e6:,.0f} MB")
        apart = farthest_cell(theirs, folders["model.safetensors"])
    print(f"python -m core patch, against a hook loop: cells at most {apart:.1e} apart")


def write(theirs: GPT2LMHeadModel, directory: Path) -> dict[str, Path]:
    """The same model in each layout, with a tokenizer beside it."""
    folders = {name: directory / name for name in ("model.safetensors", "shards", "model.bin")}
    theirs.save_pretrained(folders["model.safetensors"])
    theirs.save_pretrained(folders["shards"], max_shard_size="200MB")
    theirs.config.save_pretrained(folders["model.bin"])
    torch.save(theirs.state_dict(), folders["model.bin"] / "pytorch_model.bin")
    for folder in folders.values():
        builders.write_tokenizer(builders.tiny_encoder(), folder)
    return folders


def farthest_cell(theirs: GPT2LMHeadModel, folder: Path) -> float:
    """The largest difference between the command line's grid and a hook loop's."""
    texts = ["--clean", builders.CLEAN, "--corrupted", builders.CORRUPTED]
    tokens = ["--target", " Lee", "--foil", " Poe"]
    said = run(["-m", "core", "patch", "--model", str(folder), *texts, *tokens, "--json", "-"])
    result = json.loads(said)
    ids = ([token["id"] for token in result["tokens"][side]] for side in ("clean", "corrupted"))
    target, foil = (result[name]["id"] for name in ("target", "foil"))
    clean, corrupted = map(tuple, ids)
    logits = hook_loop(theirs, corrupted, clean)
    expected = logits[..., foil] - logits[..., target]
    return (torch.tensor(result["values"]) - expected).abs().max().item()


def run(arguments: list[str]) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
