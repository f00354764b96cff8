"""Memory of a server that is left running, whatever people do with it.

    python -m tests.benchmarks.soak [--memory 1GB] [--hours 0] [--plot memory.png]

300 sessions ask 500 experiments, of which 50 have texts of 1,000 tokens, of ten models; each
session is closed after what it has asked. The memory of the server's process is printed after every
tenth of that, and how much of it is kept; with --hours it goes on from the beginning for so long.
With --plot all that is printed is drawn over time.
"""

import argparse
import itertools
import random
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from core.presets import PRESETS
from tests import builders, tab
from tests.browser.driver import Server
from tests.tab import Tab

Row = tuple[float, float, float]  # hours since it began, MB of the process, MB that are kept
SESSIONS, EXPERIMENTS, MODELS, LONG = 300, 500, 10, 50
tab.PATIENCE = 1800.0  # seconds: it is about memory, and the machine may have other work
_AWAY = 45  # seconds after which a closed tab has to be forgotten


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", default="1GB", help="the server's PATCHBOARD_MEMORY")
    parser.add_argument("--hours", type=float, default=0.0)
    parser.add_argument("--plot", type=Path, help="a file for a picture of memory over time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        names = write_models(Path(home, "models"))
        settings = {"PATCHBOARD_MEMORY": options.memory, "PATCHBOARD_STATUS": "1"}
        settings |= {f"PATCHBOARD_{whose}_SECONDS": "600" for whose in ("LINK", "FREE")}
        server = Server(Path.cwd(), Path(home), **settings)
        try:
            server.wait_until_up()
            for rows in soak(server, names, time.monotonic() + 3600 * options.hours):
                if options.plot:
                    plot(rows, options.memory, options.plot)
        finally:
            server.stop()


def write_models(folder: Path) -> list[str]:
    """Ten of 100 MB each, that read 1,024 tokens."""
    encoder = builders.tiny_encoder()
    sizes = {"vocab_size": len(encoder.encoder), "block_size": 1024}
    for number in range(MODELS):
        builders.write_tokenizer(encoder, folder / f"m{number}")
        gpt = builders.random_gpt(8, 8, 512, seed=number, **sizes)
        gpt.save_pretrained(folder / f"m{number}")
    return [f"local/m{number}" for number in range(MODELS)]


def soak(server: Server, names: list[str], until: float) -> Iterator[list[Row]]:
    """All that there is to draw, after each line that is printed."""
    print(f"{'tenth':>5} {'seconds':>8} {'sessions':>8} {'asked':>6} {'process':>9}   status")
    began, sessions, asked = time.monotonic(), 0, 0
    rows: list[Row] = []
    for tenth in itertools.count(1):
        for number in range(SESSIONS // 10):
            each = EXPERIMENTS * (number + 1) // SESSIONS - EXPERIMENTS * number // SESSIONS
            model = names[tenth % MODELS] if number % 3 else "teaching"
            is_long = number % (SESSIONS // LONG) == 0
            asked += ask(server, model, each, is_long, names[tenth % MODELS])
            sessions += 1
        rows.append(row(server, began))
        print(
            f"{tenth:>5} {3600 * rows[-1][0]:>8.0f} {sessions:>8} {asked:>6} {rows[-1][1]:>6.0f} MB"
            f"   {status(server)}",
            flush=True,
        )
        yield rows
        if tenth >= 10 and time.monotonic() >= until:
            break
    time.sleep(_AWAY)
    rows.append(row(server, began))
    print(f"all closed, {_AWAY} s later: {rows[-1][1]:.0f} MB   {status(server)}")
    yield rows


def row(server: Server, began: float) -> Row:
    kept, unit = re.search(r"kept ([\d.,]+) (MB|GB)", status(server)).groups()
    hours = (time.monotonic() - began) / 3600
    return hours, resident(server) / 1e6, float(kept.replace(",", "")) * {"MB": 1, "GB": 1e3}[unit]


def plot(rows: list[Row], memory: str, file: Path) -> None:
    hours, process, kept = zip(*rows, strict=True)
    figure = Figure(figsize=(8, 4), layout="tight")
    axes = figure.subplots()
    axes.plot([60 * hour for hour in hours], process, marker=".", label="the server's process")
    axes.plot([60 * hour for hour in hours], kept, marker=".", label=f"what it keeps, of {memory}")
    axes.set(xlabel="minutes", ylabel="MB", ylim=(0, None))
    axes.legend()
    figure.savefig(file, dpi=150)


def ask(server: Server, model: str, each: int, is_long: bool, of_long: str) -> int:
    """A session that asks so many experiments, and is closed; how many those were."""
    words = "".join(random.choice(("Lee", "Ray", "Poe")) for _ in range(3))
    if is_long:  # a long text's sweep would take minutes: its plain runs and its lens do not
        clean, corrupted = (f"{word}{'a' * 950} {words}" for word in ("Lee ", "Poe "))
        asked = builders.experiment(model=of_long, clean=clean, corrupted=corrupted)
        page = "/lens"
    elif model == "teaching":
        asked, page = random.choice(PRESETS[:5]).experiment("teaching"), "/"
    else:
        asked, page = builders.experiment(model=model), random.choice(("/", "/components"))
    with Tab(server.url, page, **asked.to_query()) as tab:
        assert not tab.exceptions
        assert not is_long or any(text.startswith('{"data":') for text in tab.strings)
        for site in random.sample(("attn_out", "mlp_out", "head_z", "head_v"), each - 1):
            if "field_site" in tab.ids:
                tab.enter(field_direction="Noise")
            else:
                tab.enter(field_foil=asked.target, field_target=asked.foil)
            assert not tab.exceptions, site
    return each


def resident(server: Server) -> int:
    """Bytes of memory that the server's process has."""
    fields = Path(f"/proc/{server.process.pid}/statm").read_text().split()
    return 4096 * int(fields[1])


def status(server: Server) -> str:
    """The last line that the server says of itself."""
    lines = [line for line in server.log.read_text().splitlines() if "patchboard: " in line]
    return lines[-1].partition("patchboard: ")[2] if lines else ""


if __name__ == "__main__":
    main()
