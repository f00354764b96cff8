"""What a loaded model is, for people to check: the settings in which it differs from GPT-2, its
tokenizer, and how well it predicts a few plain sentences.

That test would not notice a small mistake. It is for the large ones, of which a model that was
loaded with another attention scale or another activation than it was trained with is full: such a
model runs, and its maps look like maps.
"""

import math
import random
from pathlib import Path

import torch

from core.result import SmokeTest
from core.teaching import language
from mingpt.bpe import Encoder
from mingpt.model import GPT
from mingpt.settings import SETTINGS
from mingpt.tokenizer_files import FILES

_ORDINARY = (
    "The children played in the garden until the sun went down. Then their mother called them in"
    " for dinner, and they told her what they had done that day."
)
_MOST_TOKENS = 32  # of a text: each pass reads all weights, and it is done at every load
_OF_GPT2 = SETTINGS | {"block_size": 1024, "vocab_size": 50_257}
# Parameters of GPT-2's sizes -> its mean loss over OpenWebText, as nanoGPT's README has it.
_PUBLISHED = {124e6: 3.12, 355e6: 2.84, 774e6: 2.67, 1558e6: 2.54}


def differences(gpt: GPT) -> dict[str, bool | int | float | str]:
    """The settings in which a model differs from GPT-2."""
    found = {name: getattr(gpt.config, name) for name in _OF_GPT2}
    return {name: value for name, value in found.items() if value != _OF_GPT2[name]}


def tokenizer(encoder: Encoder, folder: Path) -> str:
    """A tokenizer in words."""
    files = [name for name in FILES if (folder / name).is_file()]
    return f"{len(encoder.encoder):,} tokens, from {', '.join(files) or 'encoder.json, vocab.bpe'}"


def smoke_test(gpt: GPT, encoder: Encoder, closed_vocabulary: bool = False) -> SmokeTest | None:
    """How well a model predicts a few sentences of everyday English or, if it knows nothing but our
    little language, of that; None for one that cannot read two tokens of them."""
    text = language.story(random.Random(0)) if closed_vocabulary else _ORDINARY
    ids = encoder.encode(text)[: min(gpt.block_size, _MOST_TOKENS)]
    if len(ids) < 2:
        return None
    read = torch.tensor([ids], device=gpt.lm_head.weight.device)
    with torch.inference_mode():
        logits = gpt(read)[0][0, :-1].float()
        loss = torch.nn.functional.cross_entropy(logits, read[0, 1:]).item()
    size = gpt.config.vocab_size
    return SmokeTest(
        text=encoder.decode(ids),
        loss=round(loss, 4) if math.isfinite(loss) else None,
        tokens=len(ids) - 1,
        of_frequencies=round(_entropy_of_frequencies(size), 4),
        of_its_size=_published(sum(p.numel() for p in gpt.parameters()), size),
    )


def _entropy_of_frequencies(size: int) -> float:
    """What a guess costs, in nats, that knows how frequent the words of a vocabulary are and
    nothing else: the entropy of Zipf's law, by which the r-th word has a share of 1 / r."""
    shares = 1.0 / torch.arange(1, size + 1, dtype=torch.float64)
    shares /= shares.sum()
    return -(shares * shares.log()).sum().item()


def _published(parameters: int, vocab_size: int) -> float | None:
    """What the GPT-2 of about this size is known to reach; None for models that are unlike it."""
    nearest = min(_PUBLISHED, key=lambda of: abs(math.log(of / parameters)))
    is_like = 0.5 < parameters / nearest < 2 and abs(vocab_size - 50_257) < 1000
    return _PUBLISHED[nearest] if is_like else None
