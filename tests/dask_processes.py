"""A Dask cluster of processes on this machine, which end with the test."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent


@contextmanager
def scheduler(folder: Path) -> Iterator[str]:
    """Its address, which workers find in the folder."""
    with _process(folder, "scheduler", "--port=0") as process:
        file = folder / "scheduler.json"
        while not file.exists() or not file.read_text():
            assert process.poll() is None
            time.sleep(0.05)
        yield json.loads(file.read_text())["address"]


@contextmanager
def worker(folder: Path) -> Iterator[subprocess.Popen]:
    """One of one thread, that has no GPT-2 and is not started anew when it ends."""
    with _process(folder, "worker", "--no-nanny", "--nthreads=1") as process:
        yield process


@contextmanager
def _process(folder: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}  # which Dask's number overrules
    own |= {"PATCHBOARD_CACHE": str(folder), "HF_HOME": str(folder)}
    command = [sys.executable, "-m", "dask", *arguments, "--no-dashboard", "--host=127.0.0.1"]
    command.append(f"--scheduler-file={folder / 'scheduler.json'}")
    with subprocess.Popen(command, env=os.environ | own, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()
