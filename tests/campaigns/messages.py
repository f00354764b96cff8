"""What a browser can be made to say, on every page: `python -m tests.campaigns.messages`.

Every kind of widget is sent every wrong value of `tests.pages.test_hostile_messages`, one at a
time, and the server every message that no page sends. Counted is what others notice of it, what is
told of our program, and what is not there again after a reload.
"""

import re
import tempfile
from contextlib import suppress
from pathlib import Path

from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.exceptions import ConnectionClosed

from tests.browser.driver import Server
from tests.pages.test_hostile_messages import ASKED, WRONG, messages, seen
from tests.tab import Tab

PAGES = ("/", "/many", "/components", "/follow", "/lens", "/compare", "/tokens", "/is_it_right")
PAGES += ("/training", "/how_it_works")


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        server = Server(Path.cwd(), Path(home), PATCHBOARD_LINK_SECONDS="600")
        try:
            server.wait_until_up()
            Tab(server.url).close()
            attack(server)
        finally:
            server.stop()


def attack(server: Server) -> None:
    sent = told = lost = 0
    kinds: set[str] = set()
    query = ASKED.to_query()
    with Tab(server.url, "/lens", **query) as witness:
        before = seen(witness.run())
        for page in PAGES:
            with Tab(server.url, page, **query) as tab:
                ids = {re.sub(r"\d+", "", key): id for key, id in tab.ids.items()}
            for kind in ids.keys() - kinds:
                with Tab(server.url, page, **query) as tab:
                    for held in WRONG:
                        tab.run(WidgetState(id=ids[kind], **held))
                        told += any(of.stack_trace for of in tab.exceptions)
                        sent += 1
                with Tab(server.url, page, **query) as again:
                    lost += bool(again.exceptions)
            kinds |= ids.keys()
            print(f"{page:<14} {sent:>5} sent, {told} told too much, {lost} lost", flush=True)
        for message in messages():
            tab = Tab(server.url, "/training", **query)
            tab.say(message)
            sent += 1
            with suppress(ConnectionClosed):
                told += any(of.stack_trace for of in tab.run().exceptions)
            tab.close()
        changed = seen(witness.run()) != before
    print(
        f"{sent} messages to {len(kinds)} kinds of widgets and the server: {told} tell of the"
        f" program, {lost} pages lost, another session {'changed' if changed else 'unchanged'},"
        f" the server {'runs' if server.process.poll() is None else 'died'}"
    )


if __name__ == "__main__":
    main()
