"""What runs would write, for people to look at or to keep: in words, for a terminal, as CSV and
JSON."""

import json
from dataclasses import asdict

from core.question.places import Place
from core.result import EMBEDDING, Continuation
from core.views.formats import asked_of, cells_of, csv_of, json_of, named
from core.views.names import stem_of
from core.views.words import by, cell_replaced, plain


def patched_run(of: Continuation) -> str:
    """Which run was continued as the patched one: what of it was replaced, by what."""
    if isinstance(of.patch, Place):
        layer, head, position = of.patch.layer, of.patch.head, of.patch.position
        label = EMBEDDING if layer < 0 else str(layer)
        what = cell_replaced(of.experiment, of.model, label, head, position)
    else:
        what = " ".join(of.patch) or "nothing"
    return f"the {of.unpatched} run with {what} replaced by {by(of)} ({of.experiment.direction})"


def writes(of: Continuation) -> str:
    """How far the patched run writes the same as the plain ones."""
    new = {run: [w.token.id for w in written] for run, written in of.runs.items()}
    patched, n = new["patched"], of.sampling.tokens
    shared = {}
    for side in of.prompts:
        same = [a == b for a, b in zip(patched, new[side], strict=True)]
        shared[side] = n if all(same) else same.index(False)
    most = max(shared.values())
    runs = [side for side, count in shared.items() if count == most]
    if len(runs) == 2 and most == n:
        return "All three runs write the same."
    if not most:
        return "The patched run begins as neither the clean nor the corrupted run does."
    as_who = f"the {' and the '.join(runs)} run"
    if most == n:
        return f"The patched run writes what {as_who} writes."
    (away,) = {side for side in of.prompts if side not in runs} or {""}
    if away and any(patched[i:] == new[away][i:] for i in range(most, n - 1)):
        then = f"ends as the {away} run"
    else:
        then = "then goes its own way"
    return f"The patched run writes as {as_who} for {_tokens(most)}, and {then}."


def _tokens(count: int) -> str:
    return "one token" if count == 1 else f"{count} tokens"


def report(of: Continuation) -> str:
    """Everything `python -m core continue` prints: texts as they are, but for what is no text."""
    lines = [f"{of.sampling.tokens} tokens, {of.sampling.in_words}; patched is {patched_run(of)}"]
    for run, written in of.runs.items():
        prompt = of.prompts.get(run, of.prompts[of.unpatched])
        read = "".join(token.text for token in prompt)
        new = "".join(w.token.text for w in written)
        lines += ["", f"{run} run, after {plain(read)}", f"  {plain(new)}"]
    return "\n".join([*lines, "", f"{of.model.name} ({of.model.fingerprint})"])


def to_json(of: Continuation) -> str:
    """What each run would write, token by token."""
    is_cell = isinstance(of.patch, Place)
    return json_of(
        asked_of(of.experiment, of.model, of.prompts)
        | {
            "at": str(of.patch) if is_cell else None,
            "components": None if is_cell else list(of.patch),
            "sampling": asdict(of.sampling),
            "in_words": {"patched": patched_run(of), "tokens": of.sampling.in_words},
            "continued": {
                run: {
                    "text": "".join(w.token.text for w in written),
                    "tokens": [asdict(w.token) | {"prob": w.prob} for w in written],
                }
                for run, written in of.runs.items()
            },
        }
    )


def to_csv(of: Continuation) -> str:
    """The same, a line for each new token; positions go on from the text's."""
    sampling, T = asdict(of.sampling), len(of.prompts["clean"])
    asked = {"patched": named(patched_run(of)), "patch": json.dumps(_patch(of))} | {
        "direction": of.experiment.direction,
        "model": named(of.model.name),
        **{name: value for name, value in sampling.items() if name != "tokens"},
    }
    lines = [("run", "position", "token_id", "token", "prob", *asked)]
    for run, written in of.runs.items():
        for position, w in enumerate(written, start=T):
            lines.append((run, position, *cells_of(w.token), w.prob, *asked.values()))
    return csv_of(lines)


def stem(of: Continuation) -> str:
    """The name of a file of what runs would write."""
    site = of.experiment.site if isinstance(of.patch, Place) else "set"
    how = "greedy" if of.sampling.is_greedy else f"t{of.sampling.temperature:g}"
    asked = ("continued", site, _patch(of), of.experiment.direction, how)
    return stem_of(of.experiment, *asked, known_by=(*asked, repr(of.sampling)))


def _patch(of: Continuation) -> str:
    """As it is written: "3,8", or a set."""
    return str(of.patch) if isinstance(of.patch, Place) else " ".join(of.patch)
