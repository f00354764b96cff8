"""Makes the teaching model from nothing: tokenizer, weights, and the folder that holds both.

    python -m core.teaching.train [--out FOLDER] [--steps N] [--seeds S ...] [--evaluate-every N]

The defaults make all that is shipped, in some 50 minutes on two CPU cores that do a little else:
one for each of two seeds. The first seed's end is the model itself; of both, checkpoints on the way
are kept (`core.teaching.history`). On the same machine the same command gives the same bytes, and
an interrupted one goes on where it was when it is given again.
"""

import argparse
import math
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.utils.data import Dataset

from core.teaching import WEIGHTS, growth, history
from core.teaching.evaluate import table
from core.teaching.history import SEEDS, Checkpoint
from core.teaching.language import documents
from core.teaching.tokenizer import save_tokenizer, train_tokenizer
from core.teaching.words import CAPITALS, COLOURS, FIRST_NAMES, PREPOSITIONS, SURNAMES
from mingpt.bpe import END_OF_TEXT, Encoder
from mingpt.model import GPT, CausalSelfAttention, merge_heads
from mingpt.trainer import Trainer
from mingpt.utils import CfgNode, set_seed

REPORT_EVERY = 50  # steps
SAVE_EVERY = 200  # steps, a minute or so
_GPT2_WIDTH = 768
OTHER_TARGETS = 0.2  # the share of words that are targets although they cannot be known


@dataclass(frozen=True)
class Recipe:
    """Everything that the outcome of a run depends on, but for the machine's own rounding."""

    steps: int = 8000
    seed: int = 0
    n_layer: int = 8
    n_head: int = 4
    n_embd: int = 96
    block_size: int = 96  # tokens the model can read, and of a training row
    batch_size: int = 24  # rows
    learning_rate: float = 3e-3  # the highest
    warm_up: int = 200  # steps in which it rises from nothing
    decay: int = 2000  # the last steps, in which it falls to nothing
    far_cost: float = 0.5  # of attention that looks far back, see `Nearsighted`
    far_layers: int = 4  # the lowest so many layers pay it
    free_distance: int = 2  # tokens back that cost nothing


class PayingAttention(CausalSelfAttention):
    """Attention that notes in training how much of it looks far back.

    Position 0 is as far as any other: were it free, every head would come to look nowhere else.
    One that has nothing to do can look at its own position.
    """

    def __init__(self, config: CfgNode, free_distance: int):
        super().__init__(config)
        positions = torch.arange(config.block_size)
        distance = positions[:, None] - positions  # (T, T), from each query to each key
        far = (distance > free_distance).float()
        self.register_buffer("later", distance < 0, persistent=False)  # (T, T)
        self.register_buffer("far", far, persistent=False)  # (T, T)
        self.looks_far: torch.Tensor | None = None  # the share of the last forward pass's attention

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)
        T = x.shape[1]
        q, k, v = self.qkv(x)
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        pattern = scores.masked_fill(self.later[:T, :T], -torch.inf).softmax(dim=-1)  # (B, H, T, T)
        far = torch.einsum("bhqk,qk->", pattern, self.far[:T, :T])
        self.looks_far = far / pattern[..., 0].numel()
        return self.c_proj(merge_heads(pattern @ v))


class Nearsighted(GPT):
    """A GPT whose lower layers pay, in training, for looking far back.

    Without that nothing keeps a head of the very first layer from fetching what the end of a text
    will be asked for, and from then on the last position holds the answer: the map is one column.
    The cost is `far_cost` times the attention that looks further back than `free_distance`, the
    mean over rows, heads and queries, of each of the lowest `far_layers` layers. It falls to next
    to nothing in the first few hundred steps; a fifth of it is too little to keep the first layer
    from looking everywhere. What was read then stays where it was read, or goes to a neighbour,
    until the upper layers fetch it, as is seen in GPT-2. Two tokens are free since a colour stands
    two tokens after its thing.
    """

    def __init__(self, config: CfgNode, recipe: Recipe):
        super().__init__(config)
        self.far_cost = recipe.far_cost
        self.paying: list[PayingAttention] = []
        self._spread()
        for block in self.transformer.h[: recipe.far_layers]:
            attention = PayingAttention(config, recipe.free_distance)
            attention.load_state_dict(block.attn.state_dict())
            block.attn = attention
            self.paying.append(attention)

    def _spread(self) -> None:
        """Begin with weights as large for this width as GPT-2's are for its own: what a linear
        layer gives has the variance of its weights times the width."""
        for weight in self.transformer.h.parameters():
            if weight.dim() == 2:
                weight.data *= math.sqrt(_GPT2_WIDTH / self.config.n_embd)

    def forward(
        self, idx: torch.Tensor, targets: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        logits, loss = super().forward(idx, targets)
        if loss is not None and self.training:
            for attention in self.paying:
                loss = loss + self.far_cost * attention.looks_far
        return logits, loss


class Rows(Dataset):
    """Training rows: documents end to end, cut at `length` tokens; row i is a function of i.

    Every row begins with a whole document, half of them with `<|endoftext|>` before it, as the
    model is asked about texts with and without.

    Most words cannot be known beforehand, and learning how frequent they are drowns what the
    model shall learn: what can be known from what came before. So all of these words are targets
    and of the others only some.
    """

    def __init__(self, encoder: Encoder, length: int, seed: int):
        self.encoder = encoder
        self.end_of_text = encoder.encoder[END_OF_TEXT]
        self.length = length
        self.seed = seed
        self._surnames, self._colours = self._ids(SURNAMES), self._ids(COLOURS)
        self._firsts, self._prepositions = self._ids(FIRST_NAMES), self._ids(PREPOSITIONS)
        self._is, self._to, self._because = map(self._id, (" is", " to", " because"))
        self._countries = {
            self._id(f" {city}"): {self._id(country), self._id(f" {country}")}
            for country, city in CAPITALS.items()
        }

    def _id(self, word: str) -> int:
        return self.encoder.encode(word)[0]

    def _ids(self, words: list[str]) -> set[int]:
        return {self._id(f" {word}") for word in words}

    def __len__(self) -> int:
        return 2**40  # more than any run draws: in effect, no row comes twice

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens and the tokens after them, -1 for those that are no targets, both (length,)."""
        rng = random.Random(f"{self.seed} {index}")
        row = [self.end_of_text] if rng.random() < 0.5 else []
        for document in documents(rng):
            row += [*self.encoder.encode(document), self.end_of_text]
            if len(row) > self.length:
                break
        del row[self.length + 1 :]
        ids = torch.tensor(row)
        x, y = ids[:-1], ids[1:].clone()
        known = self._known(row)[1:]
        y[[not (is_known or rng.random() < OTHER_TARGETS) for is_known in known]] = -1
        return x, y

    def _known(self, row: list[int]) -> list[bool]:
        """Which tokens of a row can be known from what its document says before them: the surname
        of a name and the colour of a thing that were there already, the one of two people who
        receives, the capital of a country, and a verb and a pronoun that agree with a subject."""
        told: set[int | tuple[int, int]] = set()  # tokens, and pairs that belong together
        known = []
        for i, id in enumerate(row):
            if id == self.end_of_text:
                told = set()
            before = [self.end_of_text] * 3 + row[max(0, i - 3) : i]
            pair = None
            if id in self._surnames:
                pair = (before[-1], id)
            elif id in self._colours and before[-1] == self._is:
                pair = (before[-2], id)
            known.append(
                pair in told
                or (id in self._firsts and before[-1] == self._to and id in told)
                or not told.isdisjoint(self._countries.get(id, ()))
                or before[-3] in self._prepositions
                or before[-1] == self._because
            )
            told |= {id, pair} - {None}
        return known


def learning_rate(recipe: Recipe, step: int) -> float:
    """Up in a line, level, and down to nothing in a line."""
    risen, left = (step + 1) / recipe.warm_up, (recipe.steps - step) / recipe.decay
    return recipe.learning_rate * min(1.0, risen, left)


def train(
    recipe: Recipe,
    out: Path,
    device: str = "auto",
    on_step: Callable[[int, GPT, Encoder], None] = lambda step, model, encoder: None,
) -> None:
    """Run `recipe` and write what it makes to `out`, made if missing: checkpoints, and of the
    first of SEEDS model and tokenizer.

    `on_step` is called with the number of steps taken, before the first and after every one.
    Progress is kept in a file until the run is finished; raises ValueError if one of another
    recipe lies there.
    """
    progress = out / f"seed{recipe.seed}" / "progress.pt"
    progress.parent.mkdir(parents=True, exist_ok=True)
    encoder = train_tokenizer(SEEDS[0])
    set_seed(recipe.seed)
    model = Nearsighted(model_config(recipe, vocab_size=len(encoder.encoder)), recipe)
    config = Trainer.get_default_config()
    config.device = device
    config.num_workers = 0  # making rows takes far less time than learning from them
    config.max_iters = recipe.steps
    config.batch_size = recipe.batch_size
    config.learning_rate = learning_rate(recipe, 0)
    trainer = Trainer(config, model, Rows(encoder, recipe.block_size, recipe.seed))
    if progress.exists():
        resume(progress, recipe, trainer)
    started, first_step = time.monotonic(), trainer.iter_num
    kept = history.steps_of(recipe.steps)

    def at(step: int) -> None:
        if step in kept and (step < recipe.steps or recipe.seed != SEEDS[0]):
            history.save(model, Checkpoint(recipe.seed, step).path(out))
        on_step(step, model, encoder)

    def after_step(trainer: Trainer) -> None:
        step = trainer.iter_num + 1
        for group in trainer.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        if step % REPORT_EVERY == 0 or step == recipe.steps:
            rate = (step - first_step) / (time.monotonic() - started)
            minutes_left = (recipe.steps - step) / rate / 60
            print(
                f"seed {recipe.seed}, step {step}/{recipe.steps}  loss {trainer.loss.item():.3f}"
                f"  {rate:.2f} steps/s  {minutes_left:.1f} min left",
                flush=True,
            )
        if step % SAVE_EVERY == 0:
            save_progress(progress, recipe, trainer)
        at(step)

    if not first_step:
        at(0)
    trainer.add_callback("on_batch_end", after_step)
    trainer.run()
    if recipe.seed == SEEDS[0]:
        model.save_pretrained(out, dtype=torch.float16)
        save_tokenizer(encoder, out)
    progress.unlink(missing_ok=True)


def model_config(recipe: Recipe, vocab_size: int) -> CfgNode:
    """The settings of the model that `recipe` makes."""
    config = GPT.get_default_config()
    config.vocab_size = vocab_size
    for size in ("n_layer", "n_head", "n_embd", "block_size"):
        setattr(config, size, getattr(recipe, size))
    # Without repetition in the data there is nothing to over-fit, so nothing to drop out for.
    config.embd_pdrop = config.resid_pdrop = config.attn_pdrop = 0.0
    return config


def save_progress(path: Path, recipe: Recipe, trainer: Trainer) -> None:
    """Write the state of the run, replacing the last one only when the new one is complete."""
    state = {
        "recipe": asdict(recipe),
        "model": trainer.model.state_dict(),
        "trainer": trainer.state_dict(),
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def resume(path: Path, recipe: Recipe, trainer: Trainer) -> None:
    """Continue the run saved at `path`; raises ValueError if that followed another recipe."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["recipe"] != asdict(recipe):
        raise ValueError(
            f"{path} is of a run with other settings ({state['recipe']}): "
            "give those again, or another --out, or delete the file."
        )
    trainer.model.load_state_dict(state["model"])
    trainer.load_state_dict(state["trainer"])
    print(f"resuming at step {trainer.iter_num}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the teaching model from nothing.")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where to write the model")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, metavar="S")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--evaluate-every", type=int, default=500, help="steps between tables; 0 for none"
    )
    parser.add_argument(
        "--exact", type=Path, metavar="FOLDER", help="keep each checkpoint as it was there, too"
    )
    args = parser.parse_args()
    if len(args.seeds) > 1:
        status = _side_by_side(args.seeds)
        if not status:
            growth.write(args.out, growth.PAIRS)
        sys.exit(status)
    (seed,) = args.seeds
    recipe = Recipe(steps=args.steps, seed=seed)
    torch.set_num_threads(1)  # sums come out alike however many cores there are

    def look(step: int, model: GPT, encoder: Encoder) -> None:
        if args.evaluate_every and step and step % args.evaluate_every == 0:
            model.eval()
            print(f"seed {seed}\n{table(model, encoder, pairs=50, seed=seed)}", flush=True)
            model.train()
        if args.exact and step in history.steps_of(recipe.steps):
            folder = args.exact / f"seed{seed}-step{step}"
            model.save_pretrained(folder)
            save_tokenizer(encoder, folder)

    try:
        train(recipe, args.out, args.device, on_step=look)
    except ValueError as error:
        parser.exit(2, f"{error}\n")


def _side_by_side(seeds: Sequence[int]) -> int:
    """This command once for each seed, at the same time; 0 if all ended well."""
    command = [sys.executable, "-m", "core.teaching.train", *sys.argv[1:], "--seeds"]
    runs = [subprocess.Popen([*command, str(seed)]) for seed in seeds]
    return max(run.wait() for run in runs)


if __name__ == "__main__":
    main()
