"""How a text is continued: how many tokens, and how each is chosen."""

from dataclasses import dataclass

from core.errors import UserError

MOST_TOKENS = 40
HOTTEST = 10.0  # a temperature at which every token is about as likely as any other
MOST = 10**9 - 1  # of a top-k and of a seed


@dataclass(frozen=True)
class Sampling:
    """`tokens` new ones, each the likeliest at temperature 0; at a higher one drawn from the
    softmax of logits / temperature over the `top_k` likeliest (0: all), by a generator that begins
    at `seed`. Raises UserError, naming the field, for a number that is none of these."""

    tokens: int = 20
    temperature: float = 0.0
    top_k: int = 0
    seed: int = 0

    def __post_init__(self):
        if not 1 <= self.tokens <= MOST_TOKENS:
            raise UserError(
                f"A text is continued by 1 to {MOST_TOKENS} tokens, not by {self.tokens}.", "tokens"
            )
        if not 0 <= self.temperature <= HOTTEST:  # NaN is not either
            raise UserError(
                f"A temperature is from 0 (always the likeliest token) to {HOTTEST:g}, not"
                f" {self.temperature:g}.",
                "temperature",
            )
        for field, says in (("top_k", "top-k is how many tokens, 0 for all"), ("seed", "A seed")):
            value = getattr(self, field)
            if not 0 <= value <= MOST:
                says += ", and" if field == "top_k" else " is"
                raise UserError(f"{says} a whole number from 0 to {MOST:,}, not {value:,}.", field)

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0

    @property
    def in_words(self) -> str:
        if self.is_greedy:
            return "the likeliest token each time"
        among = f"the {self.top_k:,} likeliest" if self.top_k else "all tokens"
        return f"drawn from {among} at temperature {self.temperature:g}, seed {self.seed}"
