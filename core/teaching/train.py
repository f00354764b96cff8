"""Makes the teaching model from nothing: tokenizer, weights, and the folder that holds both.

    python -m core.teaching.train [--out FOLDER] [--steps N] [--seed S] [--evaluate-every N]

The defaults re-create the shipped files, in some 40 minutes on two CPU cores. An interrupted
run goes on from its last checkpoint when the same command is given again.
"""

import argparse
import math
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.utils.data import Dataset

from core.teaching import WEIGHTS
from core.teaching.evaluate import table
from core.teaching.language import documents
from core.teaching.tokenizer import save_tokenizer, train_tokenizer
from core.teaching.words import COLOURS, SURNAMES
from mingpt.bpe import END_OF_TEXT, Encoder
from mingpt.model import GPT
from mingpt.trainer import Trainer
from mingpt.utils import CfgNode, set_seed

REPORT_EVERY = 50  # steps
CHECKPOINT_EVERY = 200  # steps, a minute or two
OTHER_TARGETS = 0.2  # the share of words that are targets although they cannot be looked up


@dataclass(frozen=True)
class Recipe:
    """Everything that the outcome of a run depends on."""

    steps: int = 4800
    focus_from: int = 4000  # the step from which on `Rows.focused` is set
    seed: int = 0
    n_layer: int = 6
    n_head: int = 4
    n_embd: int = 128
    block_size: int = 96  # tokens the model can read, and of a training row
    batch_size: int = 40  # rows
    learning_rate: float = 2e-3  # the highest
    warm_up: int = 200  # steps
    decay_over: int = 4500  # steps of the half cosine, of which the focused part sees no more
    focused_learning_rate: float = 6e-4  # where the focused part begins


class Rows(Dataset):
    """Training rows: documents end to end, cut at `length` tokens; row i is a function of i.

    Every row begins with a whole document, half of them with `<|endoftext|>` before it, as the
    model is asked about texts with and without.

    Most words of a story cannot be known beforehand, and learning how frequent they are drowns
    what can be looked up: a surname after its first name, a colour after its thing. While
    `focused`, all of these are targets and of the other words only some.
    """

    def __init__(self, encoder: Encoder, length: int, seed: int):
        self.encoder = encoder
        self.end_of_text = encoder.encoder[END_OF_TEXT]
        self.length = length
        self.seed = seed
        self.focused = False
        self._surnames, self._colours = (self._ids(words) for words in (SURNAMES, COLOURS))
        self._is = encoder.encode(" is")[0]

    def _ids(self, words: list[str]) -> set[int]:
        return {self.encoder.encode(f" {word}")[0] for word in words}

    def __len__(self) -> int:
        return 2**40  # more than any run draws: in effect, no row comes twice

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens and the tokens after them, both (length,)."""
        rng = random.Random(f"{self.seed} {index}")
        row = [self.end_of_text] if rng.random() < 0.5 else []
        for document in documents(rng):
            row += [*self.encoder.encode(document), self.end_of_text]
            if len(row) > self.length:
                break
        del row[self.length + 1 :]
        ids = torch.tensor(row)
        x, y = ids[:-1], ids[1:].clone()
        if self.focused:
            known = self._looked_up(row)[1:]
            y[[not (is_known or rng.random() < OTHER_TARGETS) for is_known in known]] = -1
        return x, y

    def _looked_up(self, row: list[int]) -> list[bool]:
        """Which tokens of a row are in its document already, and can be looked up there: the
        surname of a name, the colour of a thing."""
        seen: set[tuple[int, int]] = set()
        known = []
        for i, id in enumerate(row):
            if id == self.end_of_text:
                seen = set()
            pair = None
            if id in self._surnames and i >= 1:
                pair = (row[i - 1], id)
            elif id in self._colours and i >= 2 and row[i - 1] == self._is:
                pair = (row[i - 2], id)
            known.append(pair in seen)
            if pair:
                seen.add(pair)
        return known


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then half a cosine; once focused, up again and down to nothing in a line."""
    if step >= recipe.focus_from:
        left = (recipe.steps - step) / max(1, recipe.steps - recipe.focus_from)
        return recipe.focused_learning_rate * left
    if step < recipe.warm_up:
        return recipe.learning_rate * (step + 1) / recipe.warm_up
    done = (step - recipe.warm_up) / (recipe.decay_over - recipe.warm_up)
    return recipe.learning_rate * (1 + math.cos(math.pi * done)) / 2


def train(
    recipe: Recipe,
    out: Path,
    device: str = "auto",
    on_step: Callable[[int, GPT, Encoder], None] = lambda step, model, encoder: None,
) -> None:
    """Run `recipe` and write model and tokenizer to `out`, made if missing.

    `on_step` is called after every step with the number of steps taken. Progress is kept in
    `out/checkpoint.pt` until the run is finished; raises ValueError if one of another recipe lies
    there.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    encoder = train_tokenizer(recipe.seed)
    set_seed(recipe.seed)
    model = GPT(model_config(recipe, vocab_size=len(encoder.encoder)))
    config = Trainer.get_default_config()
    config.device = device
    config.num_workers = 0  # making rows takes far less time than learning from them
    config.max_iters = recipe.steps
    config.batch_size = recipe.batch_size
    config.learning_rate = learning_rate(recipe, 0)
    rows = Rows(encoder, recipe.block_size, recipe.seed)
    trainer = Trainer(config, model, rows)
    if checkpoint.exists():
        resume(checkpoint, recipe, trainer)
    rows.focused = trainer.iter_num >= recipe.focus_from
    started, first_step = time.monotonic(), trainer.iter_num

    def after_step(trainer: Trainer) -> None:
        step = trainer.iter_num + 1
        rows.focused = step >= recipe.focus_from
        for group in trainer.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        if step % REPORT_EVERY == 0 or step == recipe.steps:
            rate = (step - first_step) / (time.monotonic() - started)
            minutes_left = (recipe.steps - step) / rate / 60
            print(
                f"step {step}/{recipe.steps}  loss {trainer.loss.item():.3f}"
                f"  {rate:.2f} steps/s  {minutes_left:.1f} min left",
                flush=True,
            )
        if step % CHECKPOINT_EVERY == 0:
            save_checkpoint(checkpoint, recipe, trainer)
        on_step(step, model, encoder)

    trainer.add_callback("on_batch_end", after_step)
    trainer.run()
    model.save_pretrained(out, dtype=torch.float16)
    save_tokenizer(encoder, out)
    checkpoint.unlink(missing_ok=True)


def model_config(recipe: Recipe, vocab_size: int) -> CfgNode:
    """The settings of the model that `recipe` makes."""
    config = GPT.get_default_config()
    config.vocab_size = vocab_size
    for size in ("n_layer", "n_head", "n_embd", "block_size"):
        setattr(config, size, getattr(recipe, size))
    # Without repetition in the data there is nothing to over-fit, so nothing to drop out for.
    config.embd_pdrop = config.resid_pdrop = config.attn_pdrop = 0.0
    return config


def save_checkpoint(path: Path, recipe: Recipe, trainer: Trainer) -> None:
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
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--evaluate-every", type=int, default=500, help="steps between tables; 0 for none"
    )
    args = parser.parse_args()

    def evaluate(step: int, model: GPT, encoder: Encoder) -> None:
        if args.evaluate_every and step % args.evaluate_every == 0:
            model.eval()
            print(table(model, encoder, pairs=50, seed=args.seed), flush=True)
            model.train()

    try:
        train(Recipe(steps=args.steps, seed=args.seed), args.out, args.device, on_step=evaluate)
    except ValueError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
