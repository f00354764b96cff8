"""A browser's tab without a browser: what one says to the server, and what it is told.

Streamlit's page talks to its server in protobuf messages over a websocket. A `Tab` says what it
likes in them, also what no page would ever say; it takes a thousandth of what a browser takes, so
that hundreds can be open at once.
"""

from contextlib import ExitStack
from urllib.parse import urlencode

from google.protobuf.message import Message
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import connect

PATIENCE = 120.0  # seconds


class Tab:
    """`with Tab(server.url, "/lens", **query) as tab:` opens a page. `strings` is all the text that
    it shows, `ids` are those of its widgets by their keys."""

    def __init__(self, url: str, page: str = "/", **query: str):
        self._open = ExitStack()
        address = f"{url.replace('http', 'ws', 1)}/_stcore/stream"
        how = {"max_size": None, "compression": None, "close_timeout": 1}
        self._socket = self._open.enter_context(connect(address, subprotocols=["streamlit"], **how))
        self._page, self._query = page.strip("/"), urlencode(query)
        self._script = ""
        self._states: dict[str, WidgetState] = {}
        self.strings: list[str] = []
        self.ids: dict[str, str] = {}
        self.exceptions: list[Message] = []
        self.run()

    def __enter__(self) -> "Tab":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._open.close()

    def run(self, *states: WidgetState) -> "Tab":
        """Run the page with what its widgets hold, to its end."""
        self._states |= {state.id: state for state in states}
        message = BackMsg()
        message.rerun_script.query_string = self._query
        if self._script:
            message.rerun_script.page_script_hash = self._script
        else:
            message.rerun_script.page_name = self._page
        message.rerun_script.widget_states.widgets.extend(self._states.values())
        self.say(message)
        return self.listen()

    def enter(self, **texts: str) -> "Tab":
        """Type into fields, by their keys."""
        return self.run(
            *(WidgetState(id=self.ids[key], string_value=text) for key, text in texts.items())
        )

    def press(self, key: str) -> "Tab":
        """A button whose key begins so."""
        id = next(id for name, id in self.ids.items() if name.startswith(key))
        self.run(WidgetState(id=id, trigger_value=True))
        self._states.pop(id, None)
        return self

    def say(self, message: BackMsg | bytes) -> None:
        self._socket.send(message if isinstance(message, bytes) else message.SerializeToString())

    def listen(self) -> "Tab":
        """Until the run that is under way ends. Raises ConnectionClosed if the server hangs up."""
        while True:
            told = ForwardMsg()
            told.ParseFromString(self._socket.recv(timeout=PATIENCE, decode=False))
            kind = told.WhichOneof("type")
            if kind == "new_session":
                self._script = told.new_session.page_script_hash
                self.strings, self.ids, self.exceptions = [], {}, []
            elif kind == "navigation":
                self._script = told.navigation.page_script_hash
            elif kind == "delta":
                self._take(told.delta)
            elif kind == "page_info_changed":
                self._query = told.page_info_changed.query_string
            elif kind == "script_finished":
                return self

    def _take(self, message: Message) -> None:
        for field, value in message.ListFields():
            if field.name == "exception":
                self.exceptions.append(value)
            if field.name == "id" and isinstance(value, str) and value.startswith("$$ID-"):
                self.ids[value.split("-", 2)[2]] = value
            for item in value if field.is_repeated else (value,):
                if isinstance(item, Message):
                    self._take(item)
                elif isinstance(item, str):
                    self.strings.append(item)
