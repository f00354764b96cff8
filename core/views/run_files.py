"""What a run holds -> CSV and JSON: the lens, attribution, attention: see `core.views.formats`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from core.question.experiment import CONTENDERS, Experiment
from core.question.tokens import Token
from core.result import ModelCard
from core.views.formats import asked_of, cells_of, contending, csv_of, exactly, json_of

if TYPE_CHECKING:  # these need torch, and a file takes what has been read as it is
    from core.reading.attribution import Attribution
    from core.reading.lens import LogitLens


def lens_json(
    asked: Experiment,
    model: ModelCard,
    lenses: dict[str, LogitLens],
    rows: tuple[str, ...],
    tokens: dict[str, tuple[Token, ...]],
    tops: dict[str, list[list[Token]]],
    pair: tuple[Token, Token],
    attributions: dict[str, Attribution],
) -> str:
    """The logit lens by run, with the arguments of `lens_csv`, and direct logit attribution: what
    target and foil (in this order) have at the last position, row by row, and what wrote it."""
    return json_of(
        asked_of(asked, model, tokens)
        | contending(*pair)
        | {
            "rows": list(rows),
            "lens": {
                run: {
                    "top": [[asdict(token) for token in row] for row in tops[run]],
                    "probs": lens.top_probs.tolist(),
                    "logits": lens.logits.tolist(),
                    "ranks": lens.ranks.tolist(),
                }
                for run, lens in lenses.items()
            },
            "attribution": {
                run: {
                    "embedding": parts.embedding,
                    "heads": parts.heads.tolist(),
                    "attention_bias": parts.attention_bias.tolist(),
                    "mlps": parts.mlp.tolist(),
                    "final_bias": parts.final_bias,
                    "total": parts.total,
                }
                for run, parts in attributions.items()
            },
        }
    )


def lens_csv(
    lenses: dict[str, LogitLens],
    rows: tuple[str, ...],
    tokens: dict[str, tuple[Token, ...]],
    tops: dict[str, list[list[Token]]],
    pair: tuple[Token, Token],
) -> str:
    """The logit lens by run: a line for each layer and position with the likeliest next token;
    at the last position, the logit and the rank of target and foil as well. `rows` are the names
    of the layers, `tops` the tokens of `top_ids`."""
    asked = [f"{name}_{what}" for name in CONTENDERS for what in ("id", "logit", "rank")]
    lines = [
        ("run", "layer", "position", "token_id", "token", "top_id", "top_token", "prob", *asked)
    ]
    for run, lens in lenses.items():
        probs, logits, ranks = (of.tolist() for of in (lens.top_probs, lens.logits, lens.ranks))
        last = len(tokens[run]) - 1
        for i, layer in enumerate(rows):
            ends = [
                x for t, *of in zip(pair, logits[i], ranks[i], strict=True) for x in (t.id, *of)
            ]
            for p, token in enumerate(tokens[run]):
                place = (run, layer, p, *cells_of(token), *cells_of(tops[run][i][p]), probs[i][p])
                lines.append((*place, *(ends if p == last else [""] * len(ends))))
    return csv_of(lines)


def attribution_csv(attributions: dict[str, Attribution]) -> str:
    """Direct logit attribution by run: a line for each part, their sum in the end."""
    lines = [("run", "part", "layer", "head", "logit_difference")]
    for run, parts in attributions.items():
        lines.append((run, "embedding", "", "", parts.embedding))
        heads, biases, mlps = (of.tolist() for of in (parts.heads, parts.attention_bias, parts.mlp))
        for layer, (of_heads, bias, mlp) in enumerate(zip(heads, biases, mlps, strict=True)):
            lines += [(run, "head", layer, head, value) for head, value in enumerate(of_heads)]
            lines += [(run, "attention bias", layer, "", bias), (run, "mlp", layer, "", mlp)]
        lines.append((run, "final bias", "", "", parts.final_bias))
        lines.append((run, "total", "", "", parts.total))
    return csv_of(lines)


def attention_csv(pattern: np.ndarray, tokens: tuple[Token, ...]) -> str:
    """One head's pattern (T, T): a line for each position, a column for each position it reads."""
    labels = [f"{p} {exactly(token.text)}" for p, token in enumerate(tokens)]
    lines = [("position", "token", *(f"reads {label}" for label in labels))]
    for p, row in enumerate(pattern.tolist()):
        lines.append((p, exactly(tokens[p].text), *row))
    return csv_of(lines)
