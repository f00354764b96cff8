"""Where in the app something is: the address of its page, below that of the app itself."""

from urllib.parse import parse_qsl, urlencode

from core.many.answer import Answer
from core.result import ComponentMap, Map, PathMap, Result


def link(shown: Map, view: str = "effect") -> str:
    """The address of a map: "?clean=..." on the main page, "follow?clean=..." on another. Of many
    pairs it does not say which they are."""
    query = shown.experiment.to_query()
    page = ""
    if isinstance(shown, PathMap):
        page, query = "follow", query | {"trail": shown.receiver, "frozen": shown.frozen}
    elif isinstance(shown, Answer):
        page, query = "many", query | {"keep": shown.keep, "of_ratios": str(int(shown.of_ratios))}
    elif isinstance(shown, ComponentMap):
        page = "sets"
    elif isinstance(shown, Result) and shown.at_position is not None:
        query |= {"position": str(shown.at_position)}
    if view != "effect":
        query |= {"view": view}
    return written(page, query)


def written(page: str, query: dict[str, str]) -> str:
    return f"{page}?{urlencode(query, errors='backslashreplace')}"


def parsed(link: str) -> tuple[str, dict[str, str]]:
    """The inverse of `written`."""
    page, _, query = link.partition("?")
    return page, dict(parse_qsl(query, keep_blank_values=True))
