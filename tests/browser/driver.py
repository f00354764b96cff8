"""Driving the app in a real browser: the server as a person starts it, and a page of the app."""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import numpy as np
from playwright.sync_api import TimeoutError

from core.presets import PRESETS
from core.question.experiment import Experiment

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DEFAULT = PRESETS[0].experiment("teaching")
NAME_OF_MARKUP = "![i](x.png) <img src=x.png> :red[x] $y$"  # of a model's folder
WINDOW = {"width": 1280, "height": 900}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
PHONE |= {"user_agent": "Mozilla/5.0 (Linux; Android 14) Chrome/128.0 Mobile"}
LEARN = ("How it works", "Training", "Tokens", "Is it right?")  # pages in a menu
PATIENCE = 60_000  # milliseconds, for a busy machine

# The map on the page; of several, the one with a number. Until a run ends Streamlit keeps what was
# there before it beside what it has drawn anew, hidden.
MAP = """(number = 0) => {
  const plots = [...document.querySelectorAll('.js-plotly-plot')];
  return plots.filter(
    plot => plot._fullData?.[0]?.type === 'heatmap' && plot.checkVisibility())[number];
}"""


class Server:
    """`streamlit run app.py` as a person runs it, at `url`."""

    def __init__(self, root: Path, home: Path, **settings: str):
        self.log = home / "server.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://localhost:{port}"
        self._root = root
        self._command = [sys.executable, "-m", "streamlit", "run", "app.py"]
        self._command += ["--server.headless", "true", "--server.port", str(port)]
        env = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        env |= {"HOME": str(home), "PATCHBOARD_CACHE": str(home / "cache")}
        env |= {"XDG_CACHE_HOME": str(home / "cache"), "PATCHBOARD_MODELS": str(home / "models")}
        # Two servers at once, each with threads that wait by spinning, take many times as long.
        env |= {"PATCHBOARD_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        self._env = env | settings
        self._start()

    def _start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, cwd=self._root, env=self._env, stdout=log, stderr=subprocess.STDOUT
            )

    def restart(self) -> None:
        """As when whoever runs it stops and starts it again, while pages stay open."""
        self.stop()
        self._start()
        self.wait_until_up()

    def wait_until_up(self) -> None:
        while self.process.poll() is None:
            try:
                if urlopen(f"{self.url}/_stcore/health").status == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"the server ended:\n{self.log.read_text()}")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)


class Visit:
    """A page of the app, and what it has asked for and complained of."""

    def __init__(self, server: Server, page):
        self.server = server
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._listen)
        page.on("dialog", self._refuse)

    def _listen(self, message) -> None:
        # Streamlit looks for its server below the page's own address first, and finds none there.
        if message.type == "error" and "/_stcore/" not in message.location["url"]:
            self.complaints.append(f"{message.location['url']}: {message.text}")

    def _refuse(self, dialog) -> None:
        self.complaints.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, path: str = "/", **query: str) -> "Visit":
        self.page.goto(f"{self.server.url}{path}{'?' if query else ''}{urlencode(query)}")
        return self.settle()

    def follow(self, name: str) -> None:
        """Click the link of a page of the app, wherever it stands."""
        if name in LEARN:
            self.page.get_by_test_id("stTopNavSection").click()
            self.page.get_by_test_id("stTopNavDropdownLink").filter(has_text=name).click()
        else:
            self.page.get_by_role("link", name=name, exact=True).click()

    def settle(self) -> "Visit":
        """Wait for the end of the run that is under way."""
        self.page.wait_for_selector('[data-test-script-state="notRunning"]', state="attached")
        return self

    def asks(self, experiment: Experiment) -> "Visit":
        """Wait until the address holds an experiment, which it does at the end of a run."""
        query = experiment.to_query()
        self.page.wait_for_function(
            """query => {
              const here = new URL(location).searchParams;
              return Object.entries(query).every(([name, value]) => here.get(name) === value);
            }""",
            arg=query,
        )
        return self.settle()

    def type(self, label: str, text: str) -> None:
        """Type into a field and leave it."""
        field = self.page.get_by_role("textbox", name=label)
        field.fill(text)
        field.press("Tab")

    def keys(self, label: str, text: str) -> None:
        """Type over what stands in a field, key by key, and do not leave it."""
        self.page.get_by_role("textbox", name=label).click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)

    @property
    def is_former(self) -> bool:
        """Whether what is on the page is shown as being of former inputs."""
        return self.page.evaluate("document.documentElement.classList.contains('pb-former')")

    def shows(self, values: np.ndarray) -> "Visit":
        """Wait until the map on the page has these values, to 4 decimals."""
        self.page.wait_for_function(
            f"""values => {{
              const {{z, meta}} = ({MAP})()?._fullData[0] ?? {{}};
              return z?.length === values.length && values.every((row, r) =>
                z[r].length === row.length
                && row.every((v, p) => Math.abs(v - meta * z[r][p]) < 1e-4));
            }}""",
            arg=values.tolist(),
        )
        return self.settle()

    def map(self) -> dict:
        """The map as it is drawn: its title, the labels of both axes, its frames."""
        return self.page.evaluate(
            f"""() => {{
              const plot = ({MAP})(), layout = plot._fullLayout;
              return {{
                title: plot._fullData[0].colorbar.title.text,
                rows: layout.yaxis.ticktext, tokens: layout.xaxis.ticktext,
                frames: (layout.shapes ?? []).map(shape => [shape.y0 + 0.5, shape.x0 + 0.5]),
              }};
            }}"""
        )

    def cell(self, row: int, position: int, number: int = 0) -> tuple[float, float]:
        """Where the middle of a cell is in the window, scrolled into view and at rest."""
        self.settle().page.wait_for_function(f"({MAP})({number})")
        place = f"""([row, position]) => {{
          const plot = ({MAP})({number});
          if (!plot) return null;  // it gives way to another just now
          const {{xaxis, yaxis}} = plot._fullLayout;
          plot.scrollIntoView({{block: 'center'}});
          const box = plot.getBoundingClientRect();
          return [box.x + xaxis._offset + xaxis.d2p(position),
                  box.y + yaxis._offset + yaxis.d2p(row)];
        }}"""
        before, now = None, self.page.evaluate(place, [row, position])
        while now is None or now != before:  # what stands above it may still be growing
            self.page.wait_for_timeout(100)
            before, now = now, self.page.evaluate(place, [row, position])
        return tuple(now)

    def hover(self, row: int, position: int, number: int = 0) -> str:
        """What is said of a cell when the mouse rests on it."""
        x, y = self.cell(row, position, number)
        label = self.page.locator(".hoverlayer .hovertext").first
        self.page.mouse.move(1, 1)  # what was said of another cell has to go first
        label.wait_for(state="detached")
        for _ in range(PATIENCE // 1000):  # as a person does until it is said
            self.page.mouse.move(x - 3, y - 3)
            self.page.mouse.move(x, y)
            with suppress(TimeoutError):
                label.wait_for(timeout=1000)
                break
        return "\n".join(label.locator("tspan.line").all_text_contents() or label.all_inner_texts())

    def click(self, row: int, position: int, number: int = 0) -> None:
        self.hover(row, position, number)
        self.page.mouse.click(*self.cell(row, position, number))

    def tap(self, row: int, position: int) -> None:
        self.page.touchscreen.tap(*self.cell(row, position))

    def assert_fits(self) -> None:
        """No horizontal scroll bar, and every widget and figure inside the window, but for the
        tokens of texts, which a phone scrolls."""
        page = self.page
        width = page.viewport_size["width"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= width
        inside = "textarea, input, button:not(.pb-place), .js-plotly-plot, .pb-note"
        inside = f"[data-testid=stMain] :is({inside})"
        sticks_out = page.eval_on_selector_all(
            inside,
            """(elements, width) => elements
              .map(element => [element, element.getBoundingClientRect()])
              .filter(([_, box]) => box.width > 1 && (box.left < 0 || box.right > width + 1))
              .map(([element, box]) => `${box.left}-${box.right}: ${element.outerHTML}`)""",
            width,
        )
        assert sticks_out == []

    @property
    def problems(self):
        return self.page.get_by_role("alert").filter(has_text=".")

    @property
    def other_hosts(self) -> set[str]:
        addresses = (urlsplit(url) for url in self.requests)
        own = {urlsplit(self.server.url).netloc, ""}  # "" is what data: and blob: have
        return {address.netloc for address in addresses} - own
