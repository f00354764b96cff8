"""The app's own sweep beside the command line's: `python -m tests.benchmarks.app_sweep`.

Each round sweeps a text pair on the command line and then in the app, in Chromium, a text that
neither has seen, so that both record the plain runs too. A ratio compares two times of one round.
What is drawn meanwhile, bar and map, competes with the sweep for the processors: that is what is
measured here. GPT-2 small's shape has random weights.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from core.checks import bench
from core.question.experiment import Experiment
from core.teaching.words import SURNAMES
from tests import builders
from tests.benchmarks.browser import ROOT
from tests.browser.driver import CHROMIUM, MAP, Server, Visit

ROUNDS = int(os.environ.get("ROUNDS", 3))
TOKENS = (30, 60)
# Of each model a first word, and words after it that are one token each.
MODELS = {
    "local/gpt2-shape": ("Anna", ("Lee", "Bob", "Poe", "Ray", "met", "Anna")),
    "teaching": ("Mary", SURNAMES),
}

# Seconds from the next Enter to the first frame with a whole new map, how often another map was
# drawn on the way, and the longest time for which nothing could be clicked.
TIMED = f"""() => {{
  const numbers = () => JSON.stringify(Array.from(({MAP})()?._fullData[0].z ?? [], r => [...r]));
  let before = numbers(), start, drawn = 0, last, longest = 0, ready = 0, look_due = 0;
  document.addEventListener('keydown', event => {{
    if (event.key === 'Enter') start ??= last = performance.now();
  }}, {{capture: true}});
  const first = before;
  window.timed = new Promise(resolve => {{
    const look = () => {{
      const now = performance.now();
      if (start) {{
        longest = Math.max(longest, now - last);
        last = now;
      }}
      if (start && now > look_due) {{
        look_due = now + 50;
        const seen = numbers();
        const ask = [...document.querySelectorAll('button')].find(b => b.innerText === 'Run it');
        if (ask && now > ready) {{ ready = now + 3000; ask.click(); }}
        if (seen !== before) {{ before = seen; drawn += 1; }}
        if (![first, '[]'].includes(seen) && !/NaN|null/.test(seen))
          return resolve([(now - start) / 1000, drawn, longest / 1000]);
      }}
      requestAnimationFrame(look);
    }};
    look();
  }});
}}"""


def main() -> None:
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        home = Path(directory)
        folder = builders.write_tokenizer(builders.tiny_encoder(), home / "models" / "gpt2-shape")
        bench.random_model("gpt2").save_pretrained(folder)
        folders = {"teaching": "teaching", "local/gpt2-shape": str(folder)}
        server = Server(ROOT, home, PATCHBOARD_THREADS="")
        try:
            server.wait_until_up()
            browser = playwright.chromium.launch(executable_path=CHROMIUM)
            print(f"{os.cpu_count()} cores; seconds that plain runs and sweep took, as each says")
            print("itself, and those from Enter to the whole map in the browser; medians")
            for model in MODELS:
                for tokens in TOKENS:
                    compare(server, browser.new_page(), model, folders[model], tokens)
        finally:
            server.stop()


def compare(server: Server, page: Page, model: str, folder: str, tokens: int) -> None:
    visit = Visit(server, page).open(**asked(model, tokens, 1).to_query())
    rounds = []
    for number in range(ROUNDS):
        wanted = asked(model, tokens, 2 + number)
        alone = command_line(wanted, folder)
        rounds.append((alone, *in_app(visit, wanted)))
    page.close()
    alone, own, until, drawn, stuck = map(statistics.median, zip(*rounds, strict=True))
    ratios = [statistics.median(row[i] / row[0] for row in rounds) for i in (1, 2)]
    print(
        f"{model:17} {tokens}: command line {alone:6.2f}; app {own:6.2f}, {ratios[0]:.2f} times;"
        f" Enter to map {until:6.2f}, {ratios[1]:.2f} times; {drawn - 1:.0f} maps on the way;"
        f" no frame for {stuck:.2f} at most",
        flush=True,
    )


def asked(model: str, tokens: int, number: int) -> Experiment:
    """Texts that differ in their second token."""
    first, others = MODELS[model]
    words = others[0], others[number]
    clean, corrupted = (f"{first} {word}{' met' * (tokens - 2)}" for word in words)
    target, foil = (f" {word}" for word in words)
    return Experiment(clean, corrupted, target, foil, model=model, embedding=True)


def command_line(wanted: Experiment, folder: str) -> float:
    command = [sys.executable, "-m", "core", "patch", "--embedding", "--json", "-"]
    command += ["--model", folder]
    for name in ("clean", "corrupted", "target", "foil"):
        command += [f"--{name}", getattr(wanted, name)]
    return own_seconds(subprocess.check_output(command, cwd=ROOT, text=True))


def in_app(visit: Visit, wanted: Experiment) -> tuple[float, ...]:
    field = visit.page.get_by_role("textbox", name="Corrupted text")
    field.fill(wanted.corrupted)
    visit.page.evaluate(TIMED)
    field.press("Control+Enter")
    timed = visit.page.evaluate("window.timed")
    button = visit.settle().page.get_by_test_id("stDownloadButton").filter(has_text="JSON")
    with visit.page.expect_download() as started:
        button.get_by_role("button").click()
    return (own_seconds(started.value.path().read_text()), *timed)


def own_seconds(result: str) -> float:
    """What a result's plain runs and its sweep took, as it says itself."""
    seconds = json.loads(result)["seconds"]
    return seconds["plain_runs"] + seconds["sweep"]


if __name__ == "__main__":
    main()
