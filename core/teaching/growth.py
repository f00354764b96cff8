"""What the teaching model could do at each of its checkpoints, and which part of it did it.

    python -m core.teaching.growth [--out FOLDER] [--pairs N]

writes `growth.json` beside the checkpoints: of every seed and step how well the next word of fresh
documents is foreseen, beside a table that knows each word's last one alone; and of every behaviour
how many held-out pairs are answered right (`core.teaching.evaluate`), from which layer on the last
position carries the answer, and the head that brings most of it there. An effect is that of all
pairs together,

    sum of (LD_patched - LD_corrupted) / sum of (LD_clean - LD_corrupted),

which a pair that is answered alike in both runs cannot blow up.
"""

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Self

import torch
from torch.nn import functional as F

from core import output
from core.engine.runs import record
from core.engine.sweep import Sweep
from core.teaching import WEIGHTS, history
from core.teaching.behaviours import BEHAVIOURS, Behaviour, Question
from core.teaching.evaluate import only_token, questions, score
from core.teaching.history import Checkpoint
from core.teaching.language import documents
from mingpt.bpe import END_OF_TEXT, Encoder, load_encoder
from mingpt.model import GPT

GROWTH = "growth.json"
SEED = 1000  # of the pairs, other than those that training prints
PAIRS = 100  # of a behaviour
KNOWS = 0.5  # the share of pairs from which on a behaviour is there
PATCHED = 12  # of these; each takes two sweeps
FRESH, COUNTED = 200, 10_000  # documents that losses are of, and that the table is made from


@dataclass(frozen=True)
class Grown:
    """A behaviour at a checkpoint. Shares and effects are 0 to 1, or about."""

    beats_foil: float  # share of pairs, both of whose texts are answered right
    beats_all: float  # the same, before every other word of the kind
    probability: float  # of the right answer, in the mean
    at_last: int | None  # the layer from which on patching the last position brings half or more
    head: tuple[int, int]  # layer and number of the head whose patch there brings most
    head_effect: float

    @classmethod
    def of(cls, values: dict) -> Self:
        return cls(**values | {"head": tuple(values["head"])})


@dataclass(frozen=True)
class Growth:
    """All that was measured, in order of seed and step. A loss is the mean cross-entropy of the
    next token in nats."""

    bigram_loss: float  # of the table of which token follows which
    losses: dict[Checkpoint, float]
    behaviours: dict[str, dict[Checkpoint, Grown]]

    def to_json(self) -> str:
        """Checkpoints are called `seed0-step700`."""
        parts = {
            "bigram_loss": self.bigram_loss,
            "losses": {at.name: loss for at, loss in self.losses.items()},
            "behaviours": {
                name: {at.name: asdict(grown) for at, grown in of.items()}
                for name, of in self.behaviours.items()
            },
        }
        return json.dumps(parts, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        parts = json.loads(text)
        losses = {Checkpoint.named(at): loss for at, loss in parts["losses"].items()}
        behaviours = {
            name: {Checkpoint.named(at): Grown.of(grown) for at, grown in of.items()}
            for name, of in parts["behaviours"].items()
        }
        return cls(parts["bigram_loss"], losses, behaviours)


@cache
def shipped(folder: Path = WEIGHTS) -> Growth:
    """What was measured of the shipped checkpoints."""
    return Growth.from_json((folder / GROWTH).read_text(encoding="utf-8"))


def since(grown: dict[int, Grown]) -> int | None:
    """Of the steps of one seed, the first after which half of the pairs are answered right."""
    return next((step for step, g in grown.items() if g.beats_all >= KNOWS), None)


@torch.no_grad()
def measure(model: GPT, encoder: Encoder, behaviour: Behaviour, pairs: int) -> Grown:
    """One behaviour of one model."""
    asked = questions(behaviour, pairs, SEED)
    right = score(model, encoder, asked, behaviour.candidates)
    last, heads = _effects(model, encoder, asked[:PATCHED])  # (L,), (L, H)
    carries = [effect >= 0.5 for effect in last.tolist()]
    at_last = next((layer for layer in range(len(carries)) if all(carries[layer:])), None)
    layer, head = divmod(heads.argmax().item(), heads.shape[1])
    shares = {name: round(share, 4) for name, share in asdict(right).items()}
    effect = round(heads[layer, head].item(), 4)
    return Grown(**shares, at_last=at_last, head=(layer, head), head_effect=effect)


def _effects(
    model: GPT, encoder: Encoder, asked: Sequence[Question]
) -> tuple[torch.Tensor, torch.Tensor]:
    """What denoising the last position brings over all pairs: of the stream after each layer (L,),
    and of what each head brings there (L, H)."""
    brought: dict[str, torch.Tensor | float] = {"resid_post": 0.0, "head_z_position": 0.0}
    whole = 0.0
    for pair in asked:
        texts = [encoder.encode(text) for text in (pair.clean, pair.corrupted)]
        clean, corrupted = record(model, *texts)
        ids = [only_token(encoder, word) for word in (pair.target, pair.foil)]
        target, foil = model.lm_head.weight[ids]
        direction = target - foil  # (C,): a state's product with it is the logit difference
        whole += (clean.state @ direction - corrupted.state @ direction).item()
        for site in brought:
            sweep = Sweep(model, corrupted, clean, site)
            for _ in sweep:
                pass
            brought[site] += (sweep.states[..., -1, :] - corrupted.state) @ direction
    whole = whole or 1.0
    return brought["resid_post"] / whole, brought["head_z_position"] / whole


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the behaviours at every checkpoint.")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="the folder that train wrote")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs per behaviour")
    args = parser.parse_args()
    torch.set_num_threads(1)
    write(args.out, args.pairs)


def write(out: Path, pairs: int) -> None:
    """Measure all that lies in `out`, and write it there."""
    encoder = load_encoder(out)
    rows = list(islice(_rows(encoder, SEED), FRESH))
    losses, behaviours = {}, {behaviour.name: {} for behaviour in BEHAVIOURS}
    for at in history.shipped(out):
        print(f"seed {at.seed}, step {at.step}", flush=True)
        model = history.load(at, out)
        losses[at] = round(_loss(model, rows), 4)
        for behaviour in BEHAVIOURS:
            behaviours[behaviour.name][at] = measure(model, encoder, behaviour, pairs)
    growth = Growth(round(_bigram_loss(encoder, rows), 4), losses, behaviours)
    output.write(out / GROWTH, growth.to_json())


def _rows(encoder: Encoder, seed: int) -> Iterator[list[int]]:
    """Documents as the model is trained on them, without end."""
    end = encoder.encoder[END_OF_TEXT]
    return ([end, *encoder.encode(text), end] for text in documents(random.Random(seed)))


@torch.no_grad()
def _loss(model: GPT, rows: Sequence[list[int]]) -> float:
    total = sum(
        F.cross_entropy(
            model(torch.tensor([row[:-1]]))[0][0], torch.tensor(row[1:]), reduction="sum"
        )
        for row in rows
    )
    return total.item() / sum(len(row) - 1 for row in rows)


def _bigram_loss(encoder: Encoder, rows: Sequence[list[int]]) -> float:
    """That of counting which token follows which; what never was seen counts as seen once."""
    V = len(encoder.encoder)
    counts = torch.full((V, V), 1 / V)
    for row in islice(_rows(encoder, SEED + 1), COUNTED):
        ids = torch.tensor(row)
        counts.index_put_((ids[:-1], ids[1:]), torch.ones(len(row) - 1), accumulate=True)
    log_probabilities = (counts / counts.sum(dim=1, keepdim=True)).log()
    total = sum(log_probabilities[row[:-1], row[1:]].sum().item() for row in rows)
    return -total / sum(len(row) - 1 for row in rows)


if __name__ == "__main__":
    main()
