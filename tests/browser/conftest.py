"""The app in a real browser: one server and one Chromium for all tests, a new page for each.

Every test also claims, when it ends, that nothing was asked of another host, that the browser's
console has no errors and that no dialog opened; and the session, that the server's log holds no
traceback.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from core import catalogue, models
from core.question.experiment import Experiment
from core.result import Result
from tests import builders
from tests.browser import driver
from tests.browser.driver import CHROMIUM, PATIENCE, WINDOW, Server, Visit

expect.set_options(timeout=PATIENCE)


def pytest_collection_modifyitems(items) -> None:
    if CHROMIUM is None:
        missing = pytest.mark.skip(reason="there is no chromium on the PATH: install Debian's")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(missing)


@pytest.fixture(scope="session")
def server(pytestconfig, tmp_path_factory, browser) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    write_slow_model(home / "models" / "slow")
    builders.write_model_folder(home / "models" / driver.NAME_OF_MARKUP)
    server = Server(pytestconfig.rootpath, home)
    server.wait_until_up()
    first = Visit(server, browser.new_page())  # of whom `pages.parts.first_visit` tells
    first.open().page.close()
    yield server
    server.stop()
    assert "Traceback" not in server.log.read_text(), server.log.read_text()


def write_slow_model(folder: Path) -> None:
    """A random model so large that the sweep of a long text asks first on any machine."""
    encoder = builders.tiny_encoder()
    size = len(encoder.encoder)
    builders.write_tokenizer(encoder, folder)
    builders.random_gpt(12, 2, 384, vocab_size=size, block_size=256).save_pretrained(folder)


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def contexts() -> dict:
    """Browser contexts that tests share, by kind: the app's scripts are fetched once for each."""
    return {}


@pytest.fixture
def visitor(server, browser, contexts) -> Iterator[Callable[..., Visit]]:
    """`visitor(color_scheme="dark")` is a person with a browser of that kind, whom the app has
    never seen."""
    visits = []

    def visitor(**kind) -> Visit:
        name = repr(kind)
        if name not in contexts:
            contexts[name] = browser.new_context(**{"viewport": WINDOW} | kind)
        visits.append(Visit(server, contexts[name].new_page()))
        return visits[-1]

    yield visitor
    for visit in visits:
        visit.page.close()
        assert visit.other_hosts == set()
        assert visit.complaints == []


@pytest.fixture
def visit(visitor) -> Visit:
    return visitor()


@pytest.fixture(scope="session")
def answer() -> Callable[[Experiment], Result]:
    """What `core` itself says to an experiment on the teaching model."""
    model = models.load(catalogue.TEACHING)

    def answer(experiment: Experiment) -> Result:
        return builders.finished(experiment, model).read(experiment)

    return answer
