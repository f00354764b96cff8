"""A browser can be made to say anything to the server: nobody else notices, and nothing is lost."""

import math
from collections.abc import Iterator
from urllib.parse import parse_qsl

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.exceptions import ConnectionClosed

from core.presets import PRESETS
from tests.browser.driver import Server
from tests.tab import Tab

ASKED = PRESETS[2].experiment("teaching")


@pytest.fixture(scope="module")
def server(pytestconfig, tmp_path_factory) -> Iterator[Server]:
    server = Server(pytestconfig.rootpath, tmp_path_factory.mktemp("home"))
    server.wait_until_up()
    Tab(server.url).close()  # the first visit, of which `pages.parts.first_visit` tells
    yield server
    server.stop()


@pytest.fixture(scope="module")
def witness(server) -> Iterator[Tab]:
    """Somebody else, who sees the same before and after."""
    with Tab(server.url, "/lens", **ASKED.to_query()) as tab:
        before = seen(tab.run())
        yield tab
        assert seen(tab.run()) == before
        assert not tab.exceptions


def seen(tab: Tab) -> list[str]:
    """The figures of a page."""
    figures = [text for text in tab.strings if text.startswith('{"data":')]
    assert len(figures) > 5
    return figures


def array(kind: str, *values) -> dict:
    return {kind: {"data": list(values)}}


# Half of them are tried here, all of them on every page by `tests.campaigns.messages`.
POINTS = '{"selection":{"points":[{"customdata":%s}],"point_indices":[],"box":[],"lasso":[]}}'
WRONG = [
    {"trigger_value": True},
    {"bool_value": True},
    {"double_value": math.nan},
    {"int_value": 2**62},
    {"string_value": "![i](//host.invalid/x.png)\x00" * 99},
    array("double_array_value", 1e308, math.inf),
    array("int_array_value", -1, 10**15),
    array("string_array_value", "a", ""),
    {"json_value": "{"},
    {"json_value": '{"selection": {"points": 5, "rows": ["a"]}}'},
    {"json_value": POINTS % "[99, 99]"},
    {"json_value": POINTS % '{"x": 1}'},
    {"bytes_value": b"\xff\x00"},
    {"file_uploader_state_value": {"uploaded_file_info": [{"file_id": "../../etc/passwd"}]}},
]


@pytest.mark.parametrize("held", WRONG[::2], ids=lambda held: next(iter(held)))
def test_widgets_that_hold_what_they_never_could_harm_their_own_session_at_most(
    server, witness, held
):
    with Tab(server.url, "/", **ASKED.to_query()) as tab:
        ids = [*tab.ids.values(), "$$ID-0-nobody", ""]
        tab.run(*(WidgetState(id=id, **held) for id in ids))
        assert not [text for text in tab.strings if "Traceback" in text or 'line "' in text]
        assert not [told.stack_trace for told in tab.exceptions if told.stack_trace]
        query = tab._query
    if "trigger_value" not in held and "bool_value" not in held:  # which press buttons
        with Tab(server.url, **dict(parse_qsl(query))) as again:  # a reload
            assert not again.exceptions


def messages() -> Iterator[BackMsg | bytes]:
    for kind in ("clear_cache", "set_run_on_save", "stop_script", "load_git_info", "app_heartbeat"):
        yield BackMsg(**{kind: True})
    for kind in ("debug_disconnect_websocket", "debug_shutdown_runtime"):
        yield BackMsg(**{kind: True})
    yield BackMsg()
    yield BackMsg(file_urls_request={"request_id": "x", "file_names": ["../../etc/passwd"] * 99})
    for rerun in (
        {"page_script_hash": "../../app.py"},
        {"page_name": "../../../etc/passwd"},
        {"fragment_id": "nobody"},
        {"query_string": "clean=%ff%00&clean=a&model=%F0%9F&&&=;" + "a=b&" * 9999},
    ):
        yield BackMsg(rerun_script=rerun)
    yield b""
    yield b"\xff" * 999
    yield b"\x00" * 10**6


def test_messages_that_no_page_sends_harm_their_own_session_at_most(server, witness):
    for message in messages():
        tab = Tab(server.url, "/training", **ASKED.to_query())
        tab.say(message)
        try:
            tab.run()
            assert not [told.stack_trace for told in tab.exceptions if told.stack_trace]
        except ConnectionClosed:  # hung up on
            pass
        tab.close()
        assert server.process.poll() is None
