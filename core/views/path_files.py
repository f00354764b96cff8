"""What senders do along their paths into a receiver -> CSV and JSON: see `core.views.formats`."""

from dataclasses import asdict

import numpy as np

from core.result import PathMap
from core.views.formats import (
    asked_of_pair,
    contending,
    csv_of,
    in_words,
    json_of,
    numbers,
    what_of,
)
from core.views.words import sender, sign


def paths_json(path_map: PathMap, reach: float | None = None) -> str:
    """What every sender does along its direct path into a receiver, under the experiment's metric;
    senders that come too late are null. `reach` is that of the colours of its map, beside others.
    """
    metric = path_map.experiment.metric
    values = [[None if v != v else v for v in row] for row in path_map.values.tolist()]
    return json_of(
        asked_of_pair(path_map)
        | contending(path_map.target, path_map.foil)
        | {
            "receiver": path_map.receiver,
            "frozen": path_map.frozen,
            "metric": metric,
            "in_words": _of_paths(path_map),
            "heads": [row[:-1] for row in values],
            "mlps": [row[-1] for row in values],
            "embedding": path_map.embedding[metric],
            "clean_value": path_map.plain(metric, "clean"),
            "corrupted_value": path_map.plain(metric, "corrupted"),
            "baselines": {name: asdict(of) for name, of in path_map.baselines.items()},
        }
        | ({} if reach is None else {"reach": reach})
    )


def paths_csv(path_map: PathMap) -> str:
    """The same in long form, a line for each sender and a column for each metric."""
    asked = what_of(path_map) | _of_paths(path_map)
    del asked["site"], asked["window"]  # which paths have not
    lines = [("receiver", "frozen", "sender", *path_map.grids, *asked)]
    senders = [("embedding", list(path_map.embedding.values()))]
    for row, column in np.ndindex(path_map.values.shape):
        values = numbers(grid[row, column].item() for grid in path_map.grids.values())
        senders.append((sender(path_map, row, column), values))
    of = path_map.receiver, path_map.frozen
    lines += [(*of, name, *values, *asked.values()) for name, values in senders]
    return csv_of(lines)


def _of_paths(path_map: PathMap) -> dict[str, str]:
    """The question in words, and which way the metric points."""
    return in_words(path_map) | {"sign": sign(path_map)}
