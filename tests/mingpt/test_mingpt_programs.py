"""Programs written for minGPT run here: the calls of its adder, chargpt and generate examples."""

import json

import numpy as np
import torch
from torch.utils.data import Dataset
from torch.utils.data.dataloader import DataLoader

from mingpt.bpe import BPETokenizer
from mingpt.model import GPT
from mingpt.trainer import Trainer
from mingpt.utils import CfgNode as CN
from mingpt.utils import set_seed, setup_logging
from tests.builders import oracle, random_gpt, write_model_folder


class Sums(Dataset):
    """One-digit sums, "3+4=07" as the digits 3 4 0 7; the loss is on the sum alone."""

    @staticmethod
    def get_default_config() -> CN:
        config = CN()
        config.digits = 1
        return config

    def __init__(self, config: CN):
        self.config = config

    def get_vocab_size(self) -> int:
        return 10

    def get_block_size(self) -> int:
        return 3

    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        a, b = divmod(index, 10)
        text = torch.tensor([a, b, *divmod(a + b, 10)])
        targets = text[1:].clone()
        targets[0] = -1
        return text[:-1], targets


def settings(work_dir) -> CN:
    config = CN()
    config.system = CN()
    config.system.seed = 3407
    config.system.work_dir = str(work_dir)
    config.data = Sums.get_default_config()
    config.model = GPT.get_default_config()
    config.model.model_type = "gpt-nano"
    config.trainer = Trainer.get_default_config()
    config.trainer.num_workers = 0
    config.trainer.device = "cpu"
    config.trainer.learning_rate = 5e-4
    return config


def test_a_program_like_the_adder_or_chargpt_trains_evaluates_keeps_a_model_and_samples(tmp_path):
    config = settings(tmp_path / "adder")
    config.merge_from_args(["--trainer.max_iters=6", "--model.model_type=gpt-micro"])
    config.trainer.merge_from_dict({"batch_size": 16})
    assert "max_iters: 6" in str(config)
    setup_logging(config)
    assert json.loads((tmp_path / "adder" / "config.json").read_text())["data"] == {"digits": 1}
    set_seed(config.system.seed)

    train_dataset = Sums(config.data)
    config.model.vocab_size = train_dataset.get_vocab_size()
    config.model.block_size = train_dataset.get_block_size()
    model = GPT(config.model)
    trainer = Trainer(config.trainer, model, train_dataset)
    scores, ticks = [], []

    def evaluate(trainer: Trainer) -> int:
        right = 0
        for x, _ in DataLoader(trainer.train_dataset, batch_size=50, drop_last=False):
            question = x[:, :2].to(trainer.device)
            answer = model.generate(question, 2, do_sample=False)[:, -2:]
            true = question.sum(dim=1)
            right += (answer[:, 0] * 10 + answer[:, 1] == true.cpu()).sum().item()
        return right

    def batch_end_callback(trainer: Trainer) -> None:
        ticks.append((trainer.iter_num, trainer.iter_dt * 1000, trainer.loss.item()))
        if trainer.iter_num % 3 == 0:
            model.eval()
            with torch.no_grad():
                scores.append(evaluate(trainer))
            torch.save(model.state_dict(), tmp_path / "adder" / "model.pt")
            model.train()

    trainer.set_callback("on_batch_end", batch_end_callback)
    trainer.run()
    assert [number for number, _, _ in ticks] == list(range(6))
    assert all(milliseconds >= 0 for _, milliseconds, _ in ticks)
    assert len(scores) == 2
    GPT(config.model).load_state_dict(torch.load(tmp_path / "adder" / "model.pt"))
    x = torch.tensor([3, 4], dtype=torch.long)[None, ...].to(trainer.device)
    y = model.generate(x, 20, temperature=1.0, do_sample=True, top_k=8)[0]
    assert (y[:2].tolist(), len(y)) == ([3, 4], 22)


def test_a_run_that_minGPT_itself_saved_is_the_model_it_was():
    """It has causal masks beside the weights, and an unembedding that training took its own way."""
    trained = random_gpt(2, 2, 8, tie_word_embeddings=False)
    state = trained.state_dict()
    assert not torch.equal(state["lm_head.weight"], state["transformer.wte.weight"])
    masks = {f"transformer.h.{n}.attn.bias": torch.ones(16, 16).tril()[None, None] for n in (0, 1)}
    model = random_gpt(2, 2, 8, seed=1)
    parameters = sum(p.numel() for p in model.parameters())
    assert "All keys matched" in str(model.load_state_dict(state | masks))
    ids = [3, 1, 4, 1, 5]
    np.testing.assert_allclose(
        model(torch.tensor([ids]))[0][0].detach().numpy(),
        oracle(trained).forward(ids)[0],
        atol=1e-4,
    )
    assert sum(p.numel() for p in model.parameters()) == parameters + 23 * 8


def test_a_state_that_ties_leaves_a_model_tied():
    model = random_gpt(2, 2, 8, seed=1)
    for assign in (False, True):
        model.load_state_dict(random_gpt(2, 2, 8).state_dict(), assign=assign)
        assert model.lm_head.weight is model.transformer.wte.weight
        assert model.config.tie_word_embeddings


def test_a_program_like_the_generate_notebook_completes_a_prompt(tmp_path):
    folder = write_model_folder(tmp_path / "tiny")
    set_seed(3407)
    model = GPT.from_pretrained(folder)
    model.to("cpu")
    model.eval()
    tokenizer = BPETokenizer(folder)
    x = tokenizer("Anna Lee met Bob Ray. Anna").to("cpu")
    x = x.expand(3, -1)
    y = model.generate(x, max_new_tokens=5, do_sample=True, top_k=40)
    assert y.shape == (3, x.shape[1] + 5)
    out = tokenizer.decode(y[2].cpu().squeeze())
    assert out.startswith("Anna Lee met Bob Ray. Anna")
