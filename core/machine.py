"""With what numbers were computed: that decides their last digits."""

import hashlib
import platform
from functools import cache
from pathlib import Path

import torch

_SOURCES = Path(__file__).parents[1]


def computed_with() -> dict[str, str | int]:
    """Threads, versions and the kind of machine. On one kind of machine, with the same versions and
    as many threads, an experiment gives the same numbers to the last bit."""
    return {
        "threads": torch.get_num_threads(),
        "patchboard": version(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


@cache
def version() -> str:
    """What changes when Patchboard's program does."""
    digest = hashlib.sha256()
    for room in ("core", "mingpt"):
        for path in sorted((_SOURCES / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
