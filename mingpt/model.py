"""GPT-2, readable top to bottom, with activation patching inside its forward pass.

Names and signatures are minGPT's (github.com/karpathy/minGPT), so that programs written for it
run here. The architecture is GPT-2's: learned positions, LayerNorm before each sub-layer, tanh
GELU, an unembedding tied to the token embedding; what others have changed about it since is in
`mingpt.settings`.

Shapes at line ends: B sequences of T tokens, C = n_embd channels, H heads of D = C / H channels,
V tokens in the vocabulary.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
import torch.nn as nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mingpt import checkpoint, hub, settings
from mingpt.utils import CfgNode as CN

MODEL_TYPES = {
    # the four sizes OpenAI released
    "gpt2": {"n_layer": 12, "n_head": 12, "n_embd": 768},  # 124M parameters
    "gpt2-medium": {"n_layer": 24, "n_head": 16, "n_embd": 1024},  # 350M
    "gpt2-large": {"n_layer": 36, "n_head": 20, "n_embd": 1280},  # 774M
    "gpt2-xl": {"n_layer": 48, "n_head": 25, "n_embd": 1600},  # 1558M
    # others that minGPT's programs name
    "openai-gpt": {"n_layer": 12, "n_head": 12, "n_embd": 768},
    "gopher-44m": {"n_layer": 8, "n_head": 16, "n_embd": 512},
    "gpt-mini": {"n_layer": 6, "n_head": 6, "n_embd": 192},
    "gpt-micro": {"n_layer": 4, "n_head": 4, "n_embd": 128},
    "gpt-nano": {"n_layer": 3, "n_head": 3, "n_embd": 48},
}


class PatchParams(NamedTuple):
    """One replacement: the output of block `layer` at `position` becomes `activation`.

    `layer` and `position` count from 0; `activation` is (C,), or (B, C) for one per sequence.
    """

    layer: int
    position: int
    activation: torch.Tensor


class CausalSelfAttention(nn.Module):
    """Multi-head self-attention in which a position sees itself and what came before. `layer` is
    the block it is in, for the models that scale by it."""

    def __init__(self, config: CN, layer: int = 0):
        super().__init__()
        if config.n_embd % config.n_head:
            raise ValueError(
                f"n_embd={config.n_embd} cannot be split evenly among n_head={config.n_head} heads"
            )
        self.n_head = config.n_head
        # What every product of a query with a key is multiplied by to make a score.
        self.scale = (config.n_embd // config.n_head) ** -0.5 if config.scale_attn_weights else 1.0
        if config.scale_attn_by_inverse_layer_idx:
            self.scale /= layer + 1
        self.attn_pdrop = config.attn_pdrop
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)  # query, key, value side by side
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def qkv(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, T, C) -> the heads' queries, keys and values, (B, H, T, D) each."""
        q, k, v = self.c_attn(x).chunk(3, dim=-1)
        H = self.n_head
        return split_heads(q, H), split_heads(k, H), split_heads(v, H)

    def mix(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, dropout: float = 0.0
    ) -> torch.Tensor:
        """softmax(scale q k^T) v over the keys that each query may see: z, (B, H, T, D). A single
        query is that of the last position, and sees all of them."""
        return F.scaled_dot_product_attention(
            q, k, v, dropout_p=dropout, is_causal=q.shape[-2] > 1, scale=self.scale
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.mix(*self.qkv(x), dropout=self.attn_pdrop if self.training else 0.0)
        return self.resid_dropout(self.c_proj(merge_heads(z)))  # (B, T, C)


def split_heads(x: torch.Tensor, n_head: int) -> torch.Tensor:
    """(B, T, C) -> (B, H, T, D)."""
    B, T, C = x.shape
    return x.reshape(B, T, n_head, C // n_head).transpose(1, 2)


def merge_heads(z: torch.Tensor) -> torch.Tensor:
    """(B, H, T, D) -> (B, T, C), the inverse of `split_heads`."""
    B, H, T, D = z.shape
    return z.transpose(1, 2).reshape(B, T, H * D)


class MLP(nn.ModuleDict):
    """Position-wise: widen, four times as GPT-2 does, GELU, narrow again."""

    def __init__(self, config: CN):
        inner = config.n_inner or 4 * config.n_embd
        super().__init__(
            {
                "c_fc": nn.Linear(config.n_embd, inner),
                "act": settings.activation(config.activation_function),
                "c_proj": nn.Linear(inner, config.n_embd),
                "dropout": nn.Dropout(config.resid_pdrop),
            }
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for step in self.values():
            x = step(x)
        return x  # (B, T, C)


class Block(nn.Module):
    """One layer: attention, then MLP, each adding its output to the residual stream."""

    def __init__(self, config: CN, layer: int = 0):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.attn = CausalSelfAttention(config, layer)
        self.ln_2 = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.mlp = MLP(config)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.ln_1(x))  # resid_mid
        return x + self.mlp(self.ln_2(x))  # resid_post


class GPT(nn.Module):
    """The language model. `config` needs `vocab_size`, `block_size` and either a `model_type`
    of `MODEL_TYPES` or all of `n_layer`, `n_head` and `n_embd`; it may have any of
    `mingpt.settings.SETTINGS`. `notes` says what was found beside the model where it was loaded.

    After a forward pass with `store_activations` or `patch_params`:

    - `layer_activations`: layer index -> (B, T, C), the output of that block (resid_post),
      detached copies; filled only with `store_activations`.
    - `last_token_logits`: (B, V), the logits of the last position.
    """

    @staticmethod
    def get_default_config() -> CN:
        config = CN()
        config.model_type = "gpt"
        config.n_layer = None
        config.n_head = None
        config.n_embd = None
        config.vocab_size = None  # must be given
        config.block_size = None  # must be given: the most tokens the model can read
        config.embd_pdrop = 0.1
        config.resid_pdrop = 0.1
        config.attn_pdrop = 0.1
        config.merge_from_dict(settings.SETTINGS)
        return config

    def __init__(self, config: CN):
        super().__init__()
        _complete(config)
        self.config = config
        self.block_size = config.block_size
        self.layer_activations: dict[int, torch.Tensor] = {}
        self.last_token_logits: torch.Tensor | None = None
        self.notes: tuple[str, ...] = ()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(config.vocab_size, config.n_embd),
                "wpe": nn.Embedding(config.block_size, config.n_embd),
                "drop": nn.Dropout(config.embd_pdrop),
                "h": nn.ModuleList(Block(config, layer) for layer in range(config.n_layer)),
                "ln_f": nn.LayerNorm(config.n_embd, config.layer_norm_epsilon),
            }
        )
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.transformer.wte.weight
        self._init_weights()

    def _init_weights(self) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):
                # Each of the 2 * n_layer additions to the residual stream is scaled down, so
                # that the stream's variance does not grow with depth (GPT-2 paper, section 2.3).
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.config.n_layer))
            elif parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    @classmethod
    def from_pretrained(
        cls, name_or_folder: str | Path, dtype: torch.dtype = torch.float32
    ) -> Self:
        """The trained model `gpt2`, `gpt2-medium`, `gpt2-large` or `gpt2-xl`, or a local folder
        in Hugging Face's layout; in evaluation mode, on the CPU. A `str` that is one of these four
        names is a name; everything else is a folder, and so is every `Path`.

        A named model is downloaded once (see `mingpt.hub`). Raises `hub.HubError` when it cannot
        be had and `checkpoint.CheckpointError` when the files do not hold a GPT-2.
        """
        is_name = isinstance(name_or_folder, str) and name_or_folder in hub.MODELS
        folder = hub.fetch(name_or_folder) if is_name else Path(name_or_folder)
        config = cls.get_default_config()
        config.merge_from_dict(checkpoint.read_config(folder))
        with torch.device("meta"), _Uninitialised():  # shapes only: the file's tensors move in
            model = cls(config)
        state, model.notes = checkpoint.read_state(
            folder, model.state_dict(), tied=config.tie_word_embeddings, dtype=dtype
        )
        model.load_state_dict(state, assign=True)
        return model.eval()

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As torch's own. It takes what minGPT saved, too: that has its causal masks beside the
        weights, and an unembedding of its own, which a model has from then on that tied the two
        (and an optimizer made before does not know)."""
        state = {k: v for k, v in state_dict.items() if not checkpoint.is_causal_mask(k)}
        if self.config.tie_word_embeddings and checkpoint.has_own_unembedding(state):
            self.config.tie_word_embeddings = False
            own = self.lm_head.weight.detach().clone()
            self.lm_head.weight = nn.Parameter(own, self.lm_head.weight.requires_grad)
        loaded = super().load_state_dict(state, strict, assign)
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.transformer.wte.weight
        return loaded

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype = torch.float32) -> None:
        """Write `config.json` and `model.safetensors` in Hugging Face's GPT-2 layout."""
        checkpoint.write(self.config, self.state_dict(), Path(folder), dtype)

    def configure_optimizers(self, train_config: CN) -> torch.optim.AdamW:
        """AdamW with `learning_rate`, `betas` and `weight_decay` of `train_config`; only the
        weights of linear layers decay, not embeddings, biases and LayerNorms."""
        embeddings = {self.transformer.wte.weight, self.transformer.wpe.weight}
        parameters = list(self.parameters())
        decay = [p for p in parameters if p.dim() >= 2 and p not in embeddings]
        no_decay = [p for p in parameters if p.dim() < 2 or p in embeddings]
        groups = [
            {"params": decay, "weight_decay": train_config.weight_decay},
            {"params": no_decay, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=train_config.learning_rate, betas=train_config.betas)

    def embed(self, idx: torch.Tensor, first: int = 0) -> torch.Tensor:
        """Token ids (B, T), of a text's tokens from position `first` on -> the residual stream
        before block 0, (B, T, C)."""
        T = first + idx.shape[1]
        if T > self.block_size:
            raise ValueError(f"{T} tokens are more than the {self.block_size} this model can read")
        positions = torch.arange(first, T, device=idx.device)  # (T - first,)
        embedded = self.transformer.wte(idx) + self.transformer.wpe(positions)
        return self.transformer.drop(embedded)

    def forward(
        self,
        idx: torch.Tensor,
        targets: torch.Tensor | None = None,
        *,
        store_activations: bool = False,
        patch_params: PatchParams | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Token ids (B, T) -> logits (B, T, V) and, given `targets` (B, T), the mean
        cross-entropy in nats over the targets that are not -1.

        `patch_params` replaces one block output at one position before the next block reads it;
        what is stored is what the next block read. Raises ValueError for a patch that does not
        fit the input.
        """
        x = self.embed(idx)  # (B, T, C)
        if patch_params is not None:
            self._check_patch(patch_params, x)
        if store_activations:
            self.layer_activations = {}
        for layer, block in enumerate(self.transformer.h):
            x = block(x)  # (B, T, C)
            if patch_params is not None and layer == patch_params.layer:
                x = x.clone()
                x[:, patch_params.position] = patch_params.activation.to(x)
            if store_activations:
                self.layer_activations[layer] = x.detach().clone()
        logits = self.lm_head(self.transformer.ln_f(x))  # (B, T, V)
        if store_activations or patch_params is not None:
            self.last_token_logits = logits[:, -1].detach().clone()  # (B, V)

        loss = None
        if targets is not None:
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
        return logits, loss

    def _check_patch(self, patch: PatchParams, x: torch.Tensor) -> None:
        B, T, C = x.shape
        if not 0 <= patch.layer < self.config.n_layer:
            raise ValueError(
                f"cannot patch layer {patch.layer}: layers are 0 to {self.config.n_layer - 1}"
            )
        if not 0 <= patch.position < T:
            raise ValueError(f"cannot patch position {patch.position}: positions are 0 to {T - 1}")
        if tuple(patch.activation.shape) not in {(C,), (B, C)}:
            raise ValueError(
                f"the activation has shape {tuple(patch.activation.shape)}; expected ({C},)"
                f" or ({B}, {C})"
            )

    def extend(self, idx: torch.Tensor, past: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One token more, (B, 1), after T others, of which `past` (L, 2, B, H, T, D) has the keys
        and values in every block: its state after the final LayerNorm, (B, C), and `past` with it.

        A position sees only those before it, so this is what `forward` gives for the whole text;
        and where the T others were patched, they stay so."""
        x = self.embed(idx, first=past.shape[-2])  # (B, 1, C)
        grown = []
        for block, before in zip(self.transformer.h, past, strict=True):
            q, k, v = block.attn.qkv(block.ln_1(x))
            kv = torch.cat((before, torch.stack((k, v))), dim=-2)  # (2, B, H, T + 1, D)
            x = x + block.attn.c_proj(merge_heads(block.attn.mix(q, *kv)))
            x = x + block.mlp(block.ln_2(x))
            grown.append(kv)
        return self.transformer.ln_f(x)[:, 0], torch.stack(grown)

    @torch.no_grad()
    def generate(
        self,
        idx: torch.Tensor,
        max_new_tokens: int,
        temperature: float = 1.0,
        do_sample: bool = False,
        top_k: int | None = None,
        *,
        store_activations: bool = False,
        patch_params: PatchParams | None = None,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Continue token ids (B, T) to (B, T + max_new_tokens), the likeliest token each time,
        or with `do_sample` one drawn at `temperature` from the `top_k` likeliest (None: all), by
        `generator` if there is one; at temperature 0 the likeliest again. Raises ValueError for a
        temperature below 0 and a `top_k` below 1.

        Every new token is one forward pass over the last `block_size` tokens, and each of them
        stores and patches: what is left in `layer_activations` and `last_token_logits` belongs
        to the last one. A patch stays at its position of the text; ValueError for a text that
        would become too long for that. Call `model.eval()` first, or dropout is active.
        """
        if not temperature >= 0:  # NaN is not either
            raise ValueError(f"temperature must be 0 or more, not {temperature}")
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k must be 1 or more, or None for all tokens, not {top_k}")
        read = idx.shape[1] + max_new_tokens - 1  # tokens, by the last pass
        if patch_params is not None and max_new_tokens > 0 and read > self.block_size:
            raise ValueError(
                f"a patch stays in place in the {self.block_size} tokens this model can read, and"
                f" these would become {read}: ask for fewer new tokens"
            )
        for _ in range(max_new_tokens):
            logits, _ = self(
                idx[:, -self.block_size :],
                store_activations=store_activations,
                patch_params=patch_params,
            )
            new = sample(logits[:, -1], temperature if do_sample else 0.0, top_k, generator)
            idx = torch.cat((idx, new), dim=1)
        return idx


def sample(
    logits: torch.Tensor,
    temperature: float,
    top_k: int | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """A token id for each row of logits (B, V), (B, 1); at temperature 0 the likeliest."""
    best = logits.max(dim=-1, keepdim=True)
    if temperature == 0:
        return best.indices
    if top_k is not None:
        kth_best = logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]
        logits = logits.masked_fill(logits < kth_best, -torch.inf)
    scaled = (logits - best.values) / temperature  # at most 0: no temperature makes it infinite
    return torch.multinomial(F.softmax(scaled, dim=-1), num_samples=1, generator=generator)


class _Uninitialised(TorchFunctionMode):
    """Within it, `torch.nn.init` does nothing. On the meta device there is nothing to initialise,
    and yet torch's way of doing so there imports its compiler, for two seconds."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__module__", None) == "torch.nn.init":
            return None
        return function(*args, **(kwargs or {}))


def _complete(config: CN) -> None:
    """Fill in the sizes that `config.model_type` stands for, and GPT-2's own settings; raise
    ValueError for what is unset."""
    sizes = {name: getattr(config, name, None) for name in ("n_layer", "n_head", "n_embd")}
    if all(size is None for size in sizes.values()):
        if config.model_type not in MODEL_TYPES:
            raise ValueError(
                f"model_type {config.model_type!r} is none of {', '.join(MODEL_TYPES)};"
                " name one of these, or set n_layer, n_head and n_embd"
            )
        config.merge_from_dict(MODEL_TYPES[config.model_type])
    needed = ("n_layer", "n_head", "n_embd", "vocab_size", "block_size")
    unset = [name for name in needed if getattr(config, name, None) is None]
    if unset:
        raise ValueError(f"the configuration lacks {', '.join(unset)}")
    for name, value in settings.SETTINGS.items():
        if not hasattr(config, name):
            setattr(config, name, value)
