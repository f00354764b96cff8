"""Path patching in the three passes of Wang et al. 2022, with hooks on Hugging Face's GPT-2."""

from itertools import product

import torch
from transformers import GPT2LMHeadModel

from core.engine.paths import Paths
from core.question.receivers import Receiver
from tests.hooked_gpt2 import Edit, Hooked, ablated, put

Sender = tuple[str, int, int | None]  # its site, its layer, its head


def senders(L: int, H: int, receiver: Receiver) -> list[Sender]:
    """All that come before a receiver, the embedding first."""
    layers = L if receiver.kind == "logits" else receiver.layer
    with_heads = layers + 1 if receiver.kind == "mlp" else layers
    heads = [("head_z", layer, head) for layer, head in product(range(with_heads), range(H))]
    return [("resid_pre", 0, None), *heads, *(("mlp_out", layer, None) for layer in range(layers))]


def hooked_paths(
    model: GPT2LMHeadModel,
    base: tuple[int, ...],
    source: tuple[int, ...] | str,
    receiver: Receiver,
    frozen: str = "all",
) -> dict[Sender, torch.Tensor]:
    """Of every sender the last position's logits (V,). The activations of both texts are kept
    first; then, for each sender, it is patched with everything frozen put back to the base's and
    what arrives at the receiver is kept; then only that is put into the base."""
    hooked = Hooked(model)
    L, H = len(hooked.blocks), hooked.heads
    old, new = {}, {}
    for site in ("resid_pre", "head_z", "mlp_out"):
        old[site] = hooked.kept(base, site)
        new[site] = (
            {layer: ablated(x, source, site) for layer, x in old[site].items()}
            if isinstance(source, str)
            else hooked.kept(source, site)
        )
    return {
        sender: _patched(hooked, base, receiver, _held(sender, L, receiver, frozen, old, new))
        for sender in senders(L, H, receiver)
    }


def _held(sender: Sender, L: int, receiver: Receiver, frozen: str, old, new) -> list[Edit]:
    """The edits of the second pass: the sender patched, and what is frozen as in the base."""
    at, layer, head = sender
    edits = {("head_z", other): lambda _, x=old["head_z"][other]: x for other in range(L)}
    if frozen == "all":
        edits |= {("mlp_out", other): lambda _, x=old["mlp_out"][other]: x for other in range(L)}
    if receiver.kind == "mlp":  # its output is what its input is known by
        edits.pop(("mlp_out", receiver.layer), None)
    if head is None:
        edits[at, layer] = lambda _: new[at][layer]
    else:
        z = old[at][layer].clone()
        z[:, head] = new[at][layer][:, head]
        edits[at, layer] = lambda _: z
    return [(site, layer, change) for (site, layer), change in edits.items()]


def _patched(hooked: Hooked, base, receiver: Receiver, held: list[Edit]) -> torch.Tensor:
    """The logits of the third pass; of the receiver "logits" those of the second."""
    position = slice(None) if receiver.position is None else receiver.position
    match receiver.kind:
        case "logits":
            return hooked.run(base, held)
        case "mlp":
            sites, at = ["mlp_out"], (position,)
        case parts:
            sites, at = [f"head_{part}" for part in parts], (position, receiver.head)
    layer = receiver.layer
    return hooked.run(
        base, [(site, layer, put(at, hooked.kept(base, site, held)[layer])) for site in sites]
    )


def by_sender(paths: Paths) -> dict[Sender, torch.Tensor]:
    """Our last states of all senders, those that come too late too."""
    L, H = paths.heads.shape[:2]
    heads = {
        ("head_z", layer, head): paths.heads[layer, head]
        for layer, head in product(range(L), range(H))
    }
    mlps = {("mlp_out", layer, None): paths.mlps[layer] for layer in range(L)}
    return {("resid_pre", 0, None): paths.embedding, **heads, **mlps}
