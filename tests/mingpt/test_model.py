"""GPT: the formulas of GPT-2, and activation patching inside the forward pass."""

import math

import numpy as np
import pytest
import torch

from mingpt.model import GPT, MODEL_TYPES, PatchParams
from mingpt.utils import CfgNode
from tests.builders import UNUSUAL, oracle, random_gpt

SHAPES = [  # layers, heads, channels, tokens
    (1, 1, 4, 1),
    (2, 2, 8, 5),
    (3, 5, 15, 7),
    (4, 3, 24, 16),
]
IDS = (3, 1, 4, 1, 5)


def batch(*texts) -> torch.Tensor:
    return torch.tensor(texts or [IDS])


def random_ids(count: int, vocab_size: int = 23) -> list[int]:
    return torch.randint(vocab_size, (count,), generator=torch.Generator().manual_seed(1)).tolist()


@pytest.mark.parametrize(("L", "H", "C", "T"), SHAPES)
def test_forward_is_gpt2_as_its_papers_write_it(L, H, C, T):
    model, ids = random_gpt(L, H, C), random_ids(T)
    ours, loss = model(batch(ids))
    theirs, _ = oracle(model).forward(ids)
    assert ours.shape == (1, T, 23)
    assert loss is None
    np.testing.assert_allclose(ours[0].detach().numpy(), theirs, atol=1e-4)
    assert np.ptp(theirs) > 1  # the tolerance is small beside what there is to get wrong


@pytest.mark.parametrize(("L", "H", "C", "T"), SHAPES)
def test_a_patched_forward_is_gpt2_with_one_vector_replaced(L, H, C, T):
    model, ids = random_gpt(L, H, C), random_ids(T)
    vector = torch.randn(C, generator=torch.Generator().manual_seed(2))
    for layer in range(L):
        for position in {0, T // 2, T - 1}:
            ours, _ = model(batch(ids), patch_params=PatchParams(layer, position, vector))
            theirs, _ = oracle(model).forward(ids, {(layer, position): vector.numpy()})
            np.testing.assert_allclose(ours[0].detach().numpy(), theirs, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.half])
def test_scores_are_in_float32_in_half_precision_too(dtype):
    """What `reorder_and_upcast_attn` asks for, however sharply heads attend."""
    attention = random_gpt(1, 2, 32).transformer.h[0].attn
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, 64, 16, generator=generator).to(dtype) for _ in range(3))
    q *= 20
    scores = q.double() @ k.double().mT / 4
    later = torch.ones(64, 64).triu(1) > 0

    def mixed(scores: torch.Tensor) -> torch.Tensor:
        return scores.double().masked_fill(later, -math.inf).softmax(dim=-1) @ v.double()

    def apart(z: torch.Tensor) -> float:
        return (z.double() - mixed(scores)).abs().mean().item()

    assert apart(attention.mix(q, k, v)) < apart(mixed(scores.to(dtype))) / 2


def test_settings_that_are_missing_are_gpt2s():
    """As in a configuration that another program made."""
    config = CfgNode(n_layer=1, n_head=2, n_embd=8, vocab_size=9, block_size=4)
    config.merge_from_dict(dict.fromkeys(("embd_pdrop", "resid_pdrop", "attn_pdrop"), 0.0))
    assert GPT(config).transformer.h[0].mlp.act.approximate == "tanh"


def test_each_sequence_of_a_batch_can_have_its_own_patch(gpt):
    both = torch.randn(2, 8, generator=torch.Generator().manual_seed(3))
    together, _ = gpt(batch(IDS, IDS[::-1]), patch_params=PatchParams(1, 2, both))
    for row, ids in enumerate((IDS, IDS[::-1])):
        alone, _ = gpt(batch(ids), patch_params=PatchParams(1, 2, both[row]))
        torch.testing.assert_close(together[row], alone[0])


def test_layer_activations_are_the_outputs_of_the_blocks_as_the_next_one_read_them(gpt):
    patch = PatchParams(1, 4, torch.ones(8))
    for patch_params, patches in ((None, None), (patch, {(1, 4): np.ones(8)})):
        gpt(batch(IDS, IDS[::-1]), store_activations=True, patch_params=patch_params)
        assert list(gpt.layer_activations) == [0, 1, 2]
        for row, ids in enumerate((IDS, IDS[::-1])):
            _, stream = oracle(gpt).forward(ids, patches)
            for layer, activation in gpt.layer_activations.items():
                np.testing.assert_allclose(activation[row].numpy(), stream[layer], atol=1e-5)


def test_layer_activations_are_detached_copies():
    model = random_gpt()
    before, _ = model(batch(), store_activations=True)
    kept = model.layer_activations
    assert not any(activation.requires_grad for activation in kept.values())
    copies = [activation.clone() for activation in kept.values()]
    model(batch(IDS[::-1]), store_activations=True)  # a later pass does not write into them
    assert all(map(torch.equal, kept.values(), copies))
    for activation in model.layer_activations.values():
        activation.zero_()  # and who writes into them spoils neither the model
    after, _ = model(batch(), store_activations=True)
    assert torch.equal(before, after)
    for activation in model.layer_activations.values():
        activation.zero_()
    after.sum().backward()  # nor a gradient that is still to be computed


def test_last_token_logits_are_those_of_the_last_pass_that_stored_or_patched():
    model = random_gpt()
    assert model.last_token_logits is None
    patch = PatchParams(0, 1, torch.ones(8))
    for asked in ({"store_activations": True}, {"patch_params": patch}):
        logits, _ = model(batch(IDS, IDS[::-1]), **asked)
        assert torch.equal(model.last_token_logits, logits[:, -1])
        assert not model.last_token_logits.requires_grad
    model(batch([1]))
    assert torch.equal(model.last_token_logits, logits[:, -1])


@pytest.mark.parametrize(
    ("layer", "position", "shape", "text"),
    [
        (3, 0, (8,), "cannot patch layer 3: layers are 0 to 2"),
        (-1, 0, (8,), "cannot patch layer -1: layers are 0 to 2"),
        (0, 5, (8,), "cannot patch position 5: positions are 0 to 4"),
        (0, -1, (8,), "cannot patch position -1: positions are 0 to 4"),
        (0, 0, (), r"the activation has shape \(\); expected \(8,\) or \(1, 8\)"),
        (0, 0, (5, 8), r"the activation has shape \(5, 8\); expected \(8,\) or \(1, 8\)"),
    ],
)
def test_a_patch_that_does_not_fit_says_why(gpt, layer, position, shape, text):
    with pytest.raises(ValueError, match=text):
        gpt(batch(), patch_params=PatchParams(layer, position, torch.zeros(shape)))


def test_more_tokens_than_the_model_reads_are_refused(gpt):
    assert gpt(batch([1] * 16))[0].shape == (1, 16, 23)
    with pytest.raises(ValueError, match="17 tokens are more than the 16 this model can read"):
        gpt(batch([1] * 17))


def test_the_loss_is_the_mean_cross_entropy_of_the_targets_that_are_not_minus_one(gpt):
    targets = [2, -1, 7, -1, 0]
    _, loss = gpt(batch(), torch.tensor([targets]))
    logits, _ = oracle(gpt).forward(IDS)
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -np.mean([log_probs[at, id] for at, id in enumerate(targets) if id != -1])
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def greedy(model: GPT, ids, count: int, patches=None) -> list[int]:
    ids = list(ids)
    for _ in range(count):
        logits, _ = oracle(model).forward(ids[-model.block_size :], patches)
        ids.append(int(logits[-1].argmax()))
    return ids


@pytest.mark.parametrize("count", [5, 15])
def test_generate_takes_the_likeliest_token_again_and_again_by_the_last_block_size_tokens(
    gpt, count
):
    ids = random_ids(count)
    assert gpt.generate(batch(ids), 4).tolist() == [greedy(gpt, ids, 4)]


def test_generate_patches_every_pass(gpt):
    vector = 3 * torch.randn(8, generator=torch.Generator().manual_seed(4))
    found = gpt.generate(batch(), 4, patch_params=PatchParams(0, 4, vector)).tolist()
    patches = {(0, 4): vector.numpy()}
    assert found == [greedy(gpt, IDS, 4, patches)]
    first_pass_only = greedy(gpt, greedy(gpt, IDS, 1, patches), 3)
    assert found != [first_pass_only]


def test_a_text_that_outgrows_the_model_cannot_keep_its_patch(gpt):
    patch = PatchParams(0, 4, torch.zeros(8))
    assert gpt.generate(batch(), gpt.block_size - len(IDS) + 1, patch_params=patch).shape[1] == 17
    with pytest.raises(ValueError, match=r"in the 16 tokens this model can read.* become 17: ask"):
        gpt.generate(batch(), gpt.block_size - len(IDS) + 2, patch_params=patch)


@pytest.mark.parametrize("settings", [{}, UNUSUAL])
def test_a_token_more_is_as_in_the_whole_text(settings):
    gpt = random_gpt(3, 2, 8, **settings).requires_grad_(False)
    ids = torch.tensor([random_ids(9), random_ids(9)[::-1]])
    kv, x = [], gpt.embed(ids[:, :8])
    for block in gpt.transformer.h:
        kv.append(torch.stack(block.attn.qkv(block.ln_1(x))[1:]))
        x = block(x)
    states, past = gpt.extend(ids[:, 8:], torch.stack(kv))
    torch.testing.assert_close(gpt.lm_head(states), gpt(ids)[0][:, -1], atol=1e-5, rtol=0)
    assert past.shape == (3, 2, 2, 2, 9, 4)


def test_generate_leaves_the_activations_of_its_last_pass(gpt):
    ids = gpt.generate(batch(), 3, store_activations=True)
    logits, _ = gpt(ids[:, :-1])
    torch.testing.assert_close(gpt.last_token_logits, logits[:, -1])
    assert gpt.layer_activations[0].shape == (1, 7, 8)


def test_sampling_draws_from_the_softmax_of_the_top_k_at_a_temperature(gpt):
    torch.manual_seed(0)
    ids = torch.tensor([IDS]).expand(4000, -1)
    drawn = gpt.generate(ids, 1, temperature=2.0, do_sample=True, top_k=3)[:, -1]
    logits, _ = oracle(gpt).forward(IDS)
    best = np.argsort(-logits[-1])[:3]
    weights = np.exp(logits[-1][best] / 2.0)
    counts = np.bincount(drawn.numpy(), minlength=23)
    assert counts[best].sum() == 4000
    np.testing.assert_allclose(counts[best] / 4000, weights / weights.sum(), atol=0.04)


def test_sampling_from_the_single_likeliest_is_greedy_as_at_temperature_zero_or_near_it(gpt):
    for options in ({"top_k": 1}, {"temperature": 0}, {"temperature": 1e-45, "top_k": 1000}):
        sampled = gpt.generate(batch(), 4, do_sample=True, **options)
        assert torch.equal(sampled, gpt.generate(batch(), 4))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"temperature": -1.0}, "temperature must be 0 or more, not -1.0"),
        ({"temperature": math.nan}, "temperature must be 0 or more, not nan"),
        ({"top_k": 0}, "top_k must be 1 or more, or None for all tokens, not 0"),
        ({"top_k": -3}, "not -3"),
    ],
)
def test_a_temperature_or_top_k_that_is_none_is_refused(gpt, options, text):
    for do_sample in (False, True):
        with pytest.raises(ValueError, match=text):
            gpt.generate(batch(), 1, do_sample=do_sample, **options)


def configured(**settings) -> CfgNode:
    config = GPT.get_default_config()
    config.merge_from_dict(settings)
    return config


def test_a_model_type_stands_for_its_sizes():
    model = GPT(configured(model_type="gpt-nano", vocab_size=11, block_size=6))
    assert len(model.transformer.h) == model.config.n_layer == 3
    assert model.transformer.wte.weight.shape == (11, 48)
    assert MODEL_TYPES["gpt2-xl"] == {"n_layer": 48, "n_head": 25, "n_embd": 1600}


def test_new_weights_are_small_and_those_into_the_stream_smaller_with_depth():
    torch.manual_seed(0)
    model = GPT(configured(n_layer=8, n_head=2, n_embd=64, vocab_size=100, block_size=32))
    state = model.state_dict()
    assert state["transformer.wte.weight"].std().item() == pytest.approx(0.02, rel=0.05)
    assert state["transformer.h.7.mlp.c_fc.weight"].std().item() == pytest.approx(0.02, rel=0.05)
    for name in ("attn.c_proj", "mlp.c_proj"):
        std = state[f"transformer.h.7.{name}.weight"].std().item()
        assert std == pytest.approx(0.02 / 4, rel=0.05)  # sqrt(2 * 8) = 4
    assert not state["transformer.h.0.attn.c_attn.bias"].any()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"vocab_size": 9, "block_size": 4}, "model_type 'gpt' is none of gpt2, gpt2-medium"),
        ({"model_type": "gpt-nano", "block_size": 4}, "the configuration lacks vocab_size"),
        ({"n_layer": 2, "vocab_size": 9}, "lacks n_head, n_embd, block_size"),
        (
            {"n_layer": 1, "n_head": 3, "n_embd": 8, "vocab_size": 9, "block_size": 4},
            "n_embd=8 cannot be split evenly among n_head=3 heads",
        ),
        (
            {"model_type": "gpt-nano", "vocab_size": 9, "block_size": 4}
            | {"activation_function": "mish"},
            "activation_function 'mish' is none of gelu_new, gelu_fast",
        ),
    ],
)
def test_an_incomplete_configuration_says_what_it_lacks(settings, text):
    with pytest.raises(ValueError, match=text):
        GPT(configured(**settings))


def test_only_the_weights_of_linear_layers_decay(gpt):
    optimizer = gpt.configure_optimizers(
        CfgNode(learning_rate=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    )
    names = {id(parameter): name for name, parameter in gpt.named_parameters()}
    decay, rest = (
        {names[id(parameter)] for parameter in group["params"]} for group in optimizer.param_groups
    )
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert [group["lr"] for group in optimizer.param_groups] == [1e-3, 1e-3]
    linear = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    assert decay == {f"transformer.h.{n}.{name}.weight" for n in range(3) for name in linear}
    assert decay | rest == set(names.values())
    assert not decay & rest
