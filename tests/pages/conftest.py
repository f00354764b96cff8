"""The app without a browser: `open_app()` is a session of it, with what it shows at hand."""

import base64
import json
import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary
from xml.etree import ElementTree

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict
from streamlit.testing.v1 import AppTest

from core import catalogue, models, presets
from core.engine.sweep import Sweep
from core.question.experiment import Experiment
from core.result import Result
from pages.parts import keeping, sharing
from pages.parts.jobs import Job
from tests import builders

PAGES = {
    "patch": "pages/patching/patch.py",
    "many": "pages/patching/many.py",
    "components": "pages/reading/components.py",
    "follow": "pages/reading/follow.py",
    "sets": "pages/reading/sets.py",
    "lens": "pages/reading/lens.py",
    "compare": "pages/reading/compare.py",
    "worksheet": "pages/learn/worksheet.py",
    "how it works": "pages/learn/how_it_works.py",
    "training": "pages/learn/training.py",
    "tokens": "pages/learn/tokens.py",
    "is it right": "pages/learn/is_it_right.py",
    "open": "pages/reporting/open.py",
    "report": "pages/reporting/report.py",
}
OFFERED = presets.offered(catalogue.TEACHING, models.load_tokenizer(catalogue.TEACHING))
TITLES = [preset.title for preset in OFFERED]
LONGER = "When Mary and John went to the store, John gave a drink to"
LONGER_CORRUPTED = "When Mary and John went to the store, Mary gave a drink to"


class App:
    """One browser session. Widgets are `app.at`'s, the rest is read from what is on the page."""

    def __init__(self, script: str, query: dict[str, str]):
        self.at = AppTest.from_file(script, default_timeout=120)
        for name, value in query.items():
            self.at.query_params[name] = value
        self.run()

    def run(self) -> "App":
        self.at.run()
        assert not self.at.exception, self.at.exception[0].message
        return self

    def go_to(self, page: str) -> "App":
        self.at.switch_page(PAGES[page])
        return self.run()

    def enter(self, **fields) -> "App":
        """Enter values into the inputs of an experiment, all at once."""
        for field, value in fields.items():
            self.widget(f"field_{field}").set_value(value)
        return self.run()

    def press(self, label: str) -> "App":
        joiner = "\u2060"  # which has no width
        next(b for b in self.at.button if b.label.replace(joiner, "") == label).click()
        return self.run()

    def choose(self, row: str, position: int) -> "App":
        self.widget("cell_row").set_value(row)
        self.widget("cell_column").set_value(position)
        return self.run()

    def widget(self, key: str):
        if key == "field_model":  # which is also the slider's, if it is a moment of a training
            key = "chosen_model"
        return next(node for node in self.at if getattr(node, "key", None) == key)

    def has(self, key: str) -> bool:
        return any(getattr(node, "key", None) == key for node in self.at)

    @property
    def buttons(self) -> list[str]:
        return [button.label for button in self.at.button]

    @property
    def experiment(self) -> Experiment:
        return self.at.session_state.experiment

    @property
    def kept(self) -> dict:
        """What the session keeps on its model."""
        own = keeping.shelf(self.experiment.model)._of[self.at.session_state.session]
        return {what: thing.kept for what, thing in own.items()}

    @property
    def job(self) -> Job:
        """That of the experiment's sweep."""
        return self.kept[self.experiment.texts, self.experiment.sweep]

    @property
    def query(self) -> dict[str, str]:
        return dict(self.at.query_params)

    @property
    def bodies(self) -> list[str]:
        """What stands on the page as HTML, without style sheets and the script."""
        bodies = (node.proto.body for node in self.at.get("html"))
        return [body for body in bodies if not body.startswith(("<style>", "<script>"))]

    @property
    def texts(self) -> list[str]:
        """What a reader sees of each piece of HTML."""
        return [text_of(body) for body in self.bodies]

    @property
    def problems(self) -> list[str]:
        return [text_of(body) for body in self.bodies if 'role="alert"' in body]

    @property
    def notes(self) -> list[str]:
        """The notes on the page itself, not those of the sidebar."""
        bodies = (node.value for node in self.at.main.get("html"))
        return [text_of(body) for body in bodies if 'role="status"' in body]

    @property
    def answered(self) -> Experiment | None:
        """What all that is on the page is of, as the browser is told."""
        return self._marked("pb-answered")

    @property
    def asked(self) -> Experiment | None:
        """What the browser is told that the inputs ask."""
        return self._marked("pb-asked")

    def _marked(self, name: str) -> Experiment | None:
        found = [re.search(f'class="{name}" data-experiment="(.*?)"', body) for body in self.bodies]
        queries = [unescape(match[1]) for match in found if match]
        return Experiment.from_query(dict(parse_qsl(queries[-1], True))) if queries else None

    @property
    def figures(self) -> list[dict]:
        return [json.loads(node.proto.spec) for node in self.at.get("plotly_chart")]

    @property
    def maps(self) -> list[dict]:
        return [figure for figure in self.figures if figure["data"][0]["type"] == "heatmap"]

    @property
    def map(self) -> np.ndarray:
        """The values of the one map on the page, with 4 decimals."""
        (figure,) = self.maps
        return np.round(values(figure), 4)

    @property
    def outlined(self) -> set[tuple[float, float]]:
        """The (row, position) of the frames on the map."""
        (figure,) = self.maps
        shapes = figure["layout"].get("shapes", [])
        return {(shape["y0"] + 0.5, shape["x0"] + 0.5) for shape in shapes}

    @property
    def tables(self) -> list[list[dict]]:
        """The data frames on the page, as rows."""
        return [node.value.to_dict("records") for node in self.at.dataframe]

    @property
    def words(self) -> list[str]:
        """The pieces of markdown."""
        return [node.value for node in self.at.markdown]

    @property
    def next_tokens(self) -> list[list[dict]]:
        """The tables of the likeliest next tokens, as rows."""
        found = []
        for body in self.bodies:
            if "pb-dense" in body:
                rows = ElementTree.fromstring(body).iter("tr")
                heads, *rest = (["".join(cell.itertext()) for cell in row] for row in rows)
                found.append([dict(zip(heads, row, strict=True)) for row in rest])
        return found

    def strings(self) -> list[tuple[str, str]]:
        """Everything the page sends to the browser as text, each with what kind of element it is
        in; without HTML bodies, code, the cells of data frames, figures and what inputs hold."""
        found = []
        for node in self.at:
            if getattr(node, "proto", None) is None or node.type in ("html", "code"):
                continue
            fields = MessageToDict(node.proto)
            for own in ("value", "default", "spec", "config", "arrowData", "rawValues"):
                fields.pop(own, None)
            found += [(node.type, text) for text in _strings_in(fields)]
        return found


def nothing_by_itself(monkeypatch) -> None:
    """All work, however short, is asked for first."""
    for whose in ("LINK", "FREE"):
        monkeypatch.setenv(f"PATCHBOARD_{whose}_SECONDS", "0")


def text_of(body: str) -> str:
    """What a reader sees of a piece of HTML."""
    pieces = []
    parser = HTMLParser()
    parser.handle_data = pieces.append
    parser.feed(body)
    return "".join(pieces)


def values(figure: dict) -> np.ndarray:
    """The values of a map, which is drawn of their negatives where its colour bar descends."""
    return numbers(figure["data"][0]["z"]) * figure["data"][0].get("meta", 1)


def numbers(z) -> np.ndarray:
    """An array of a figure's JSON: lists, or base64 with a type and a shape."""
    if not isinstance(z, dict):
        return np.array(z, dtype=float)
    shape = [int(size) for size in z["shape"].split(",")]
    return np.frombuffer(base64.b64decode(z["bdata"]), z["dtype"]).reshape(shape).astype(float)


def _strings_in(value) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [text for item in value for text in _strings_in(item)] if isinstance(value, list) else []


@pytest.fixture(autouse=True)
def machine_without_models(monkeypatch, tmp_path):
    """Only the teaching model is here, whatever the machine that runs the tests has."""
    for variable in ("PATCHBOARD_CACHE", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "cache"))
    monkeypatch.delenv("PATCHBOARD_MODELS", raising=False)


@pytest.fixture(autouse=True)
def nothing_is_shared_with_other_tests(monkeypatch):
    """Of whose sessions some may not have been freed yet."""
    monkeypatch.setattr(sharing, "_shared", WeakKeyDictionary())


@pytest.fixture
def open_app(pytestconfig) -> Callable[..., App]:
    """`open_app(metric="kl")` opens the address `/?metric=kl` in a new session."""

    def open_app(**query: str) -> App:
        return App(str(pytestconfig.rootpath / "app.py"), query)

    return open_app


@pytest.fixture
def folders(monkeypatch, tmp_path):
    """A directory whose subfolders the app offers, with one sound model in it, "tiny"."""
    builders.write_model_folder(tmp_path / "models" / "tiny")
    monkeypatch.setenv("PATCHBOARD_MODELS", str(tmp_path / "models"))
    keeping._loaded.clear()
    yield tmp_path / "models"
    keeping._loaded.clear()


@pytest.fixture(scope="session")
def teaching() -> models.LoadedModel:
    return models.load(catalogue.TEACHING)


@pytest.fixture
def answer(teaching) -> Callable[[Experiment], Result]:
    """What `core` itself says to an experiment on the teaching model."""

    def answer(experiment: Experiment) -> Result:
        return builders.finished(experiment, teaching).read(experiment)

    return answer


@pytest.fixture
def sweeps(monkeypatch) -> list:
    """One entry for every sweep that is begun."""
    begun, sweep = [], Sweep.__iter__

    def counted(self):
        begun.append(self)
        yield from sweep(self)

    monkeypatch.setattr(Sweep, "__iter__", counted)
    return begun
