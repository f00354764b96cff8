"""GPT-2 in plain NumPy, float64: the oracle that knows nothing of our model but its weights.

Written from the formulas of Vaswani et al. 2017 (attention), Radford et al. 2019 (LayerNorm before
each sub-layer, one more at the end), Ba et al. 2016 (LayerNorm), Hendrycks & Gimpel 2016 (GELU).
One text at a time and one head at a time: slow, and nothing to get wrong.

Shapes: T tokens, C channels, D = C / n_head channels of a head, V tokens in the vocabulary.
"""

from collections.abc import Mapping

import numpy as np
import torch

EMBEDDING = -1  # as a layer: patches the input of block 0


class NumpyGPT2:
    """`state` is a state_dict with GPT-2's names, projection weights as (out, in)."""

    def __init__(self, state: Mapping[str, torch.Tensor], n_layer: int, n_head: int):
        self.w = {name: tensor.detach().double().numpy() for name, tensor in state.items()}
        self.n_layer = n_layer
        self.n_head = n_head

    def forward(self, ids, patches: Mapping[tuple[int, int], np.ndarray] | None = None):
        """Token ids (T,) -> logits (T, V) and the residual stream: layer -> (T, C), with the
        embedding as layer -1. `patches` puts a vector (C,) at each (layer, position) it names."""
        w = self.w
        x = w["transformer.wte.weight"][list(ids)]  # (T, C)
        x = x + w["transformer.wpe.weight"][: len(ids)]  # (T, C)
        stream = {}
        for layer in range(EMBEDDING, self.n_layer):
            if layer != EMBEDDING:
                x = self.block(x, f"transformer.h.{layer}.")  # (T, C)
            for (at, position), vector in (patches or {}).items():
                if at == layer:
                    x[position] = vector  # (C,)
            stream[layer] = x.copy()  # (T, C)
        return self.layer_norm(x, "transformer.ln_f") @ w["lm_head.weight"].T, stream

    def block(self, x, name):
        x = x + self.attention(self.layer_norm(x, name + "ln_1"), name + "attn.")  # (T, C)
        return x + self.mlp(self.layer_norm(x, name + "ln_2"), name + "mlp.")  # (T, C)

    def attention(self, x, name):
        q, k, v = np.split(self.linear(x, name + "c_attn"), 3, axis=1)  # (T, C) each
        heads = [
            self.head(*(part[:, columns] for part in (q, k, v)))  # (T, D)
            for columns in np.split(np.arange(x.shape[1]), self.n_head)
        ]
        return self.linear(np.concatenate(heads, axis=1), name + "c_proj")  # (T, C)

    def head(self, q, k, v):
        scores = q @ k.T / np.sqrt(q.shape[1])  # (T, T): row attends to column
        future = np.triu(np.ones_like(scores), k=1) > 0  # (T, T)
        return softmax(np.where(future, -np.inf, scores)) @ v  # (T, D)

    def mlp(self, x, name):
        return self.linear(gelu(self.linear(x, name + "c_fc")), name + "c_proj")  # (T, 4 C) inside

    def linear(self, x, name):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]  # (T, out)

    def layer_norm(self, x, name):
        mean, variance = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)  # (T, 1)
        scaled = (x - mean) / np.sqrt(variance + 1e-5)  # (T, C)
        return self.w[name + ".weight"] * scaled + self.w[name + ".bias"]  # (T, C)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
