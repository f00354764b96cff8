"""Measures the six behaviours of a teaching model on held-out pairs of texts.

    python -m core.teaching.evaluate [--model FOLDER] [--pairs N] [--seed S]

A pair counts as right only if both of its texts are answered right.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from core.teaching import WEIGHTS
from core.teaching.behaviours import BEHAVIOURS, Question, questions
from mingpt.bpe import Encoder, load_encoder
from mingpt.model import GPT


@dataclass(frozen=True)
class Score:
    """Shares (0 to 1) of the pairs in which the right answer is more probable than the wrong one,
    and than every other word of its kind; and the mean probability of the right answer."""

    beats_foil: float
    beats_all: float
    probability: float


def score(
    model: GPT, encoder: Encoder, pairs: Sequence[Question], candidates: Sequence[str]
) -> Score:
    """How well `model` answers `pairs` among `candidates` (words without leading space)."""
    texts = [pair.clean for pair in pairs] + [pair.corrupted for pair in pairs]
    right = [pair.target for pair in pairs] + [pair.foil for pair in pairs]
    wrong = [pair.foil for pair in pairs] + [pair.target for pair in pairs]
    probabilities = next_token_probabilities(model, encoder, texts)  # (2N, V)
    kind = [only_token(encoder, f" {word}") for word in candidates]
    of_right = _column(probabilities, encoder, right)  # (2N,)
    beats_foil = of_right > _column(probabilities, encoder, wrong)
    beats_all = of_right >= probabilities[:, kind].amax(dim=1)

    def share_of_pairs(texts_right: torch.Tensor) -> float:
        both = texts_right.view(2, len(pairs)).all(dim=0)
        return both.double().mean().item()

    return Score(
        beats_foil=share_of_pairs(beats_foil),
        beats_all=share_of_pairs(beats_foil & beats_all),
        probability=of_right.mean().item(),
    )


@torch.no_grad()
def next_token_probabilities(model: GPT, encoder: Encoder, texts: Sequence[str]) -> torch.Tensor:
    """What may follow each of N texts, (N, V)."""
    ids = [torch.tensor(encoder.encode(text)) for text in texts]
    # No position sees what comes after it, so whatever fills the rows to one length is harmless.
    batch = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)  # (N, T)
    device = next(model.parameters()).device
    logits, _ = model(batch.to(device))  # (N, T, V)
    last = torch.tensor([len(row) - 1 for row in ids])
    return logits[torch.arange(len(ids)), last].softmax(dim=-1).cpu()


def only_token(encoder: Encoder, text: str) -> int:
    """The id of a text of one token; raises ValueError for any other text."""
    (id,) = encoder.encode(text)
    return id


def _column(probabilities: torch.Tensor, encoder: Encoder, words: Sequence[str]) -> torch.Tensor:
    """The probability of each row's own word, (N,)."""
    ids = torch.tensor([only_token(encoder, word) for word in words])
    return probabilities.gather(1, ids[:, None]).squeeze(1)


def table(model: GPT, encoder: Encoder, pairs: int, seed: int) -> str:
    """The scores of all behaviours as text, one line each."""
    lines = [f"{'behaviour':<18} {'beats the foil':>14} {'beats all':>10} {'P(right)':>9}"]
    for behaviour in BEHAVIOURS:
        s = score(model, encoder, questions(behaviour, pairs, seed), behaviour.candidates)
        lines.append(
            f"{behaviour.name:<18} {s.beats_foil:>14.1%} {s.beats_all:>10.1%} {s.probability:>9.3f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a teaching model on held-out pairs.")
    parser.add_argument("--model", type=Path, default=WEIGHTS, help="folder of the model")
    parser.add_argument("--pairs", type=int, default=200, help="pairs per behaviour")
    parser.add_argument("--seed", type=int, default=0, help="which pairs")
    args = parser.parse_args()
    model, encoder = GPT.from_pretrained(args.model), load_encoder(args.model)
    print(table(model, encoder, args.pairs, args.seed))


if __name__ == "__main__":
    main()
