"""The pieces of the programs that `core.views.code` writes: what is said before each cell, and
its code, in which names that begin with a dollar sign are filled in.
"""

import textwrap

# What each metric of `core.question.metrics` is, of the `logits` of a patched run; of the logit
# difference itself nothing more.
MEASURES = {
    "logit_diff": "",
    "recovery": "(difference(logits) - difference(plain['corrupted'])) / (\n"
    "        difference(plain['clean']) - difference(plain['corrupted'])\n    )",
    "target_logit_change": "logits[target] - plain['clean'][target]",
    "target_prob": "logits.softmax(dim=0)[target]",
    "foil_prob": "logits.softmax(dim=0)[foil]",
    "prob_diff": "logits.softmax(dim=0)[foil] - logits.softmax(dim=0)[target]",
    "kl": "(plain['clean'].softmax(dim=0) * (plain['clean'].log_softmax(dim=0) -"
    " logits.log_softmax(dim=0))).sum()",
}

# What each ablation puts in, in words and of an activation of the clean run.
ABLATIONS = {
    "zero": ("zeros", "return torch.zeros_like(activation)"),
    "position_mean": (
        "its own mean over the positions",
        "return activation.mean(dim=-2, keepdim=True).expand_as(activation)",
    ),
}
MEAN_PATTERN = """\
seen = activation.mean(dim=-2, keepdim=True).expand_as(activation).tril()  # never a later one
    return seen / seen.sum(dim=-1, keepdim=True)"""

BOS = "start = torch.tensor([[tokenizer.encoder.bos]])  # both texts begin with <|endoftext|>\n"
AFTER_BOS, ALONE = "torch.cat((start, tokenizer({})), dim=1)", "tokenizer({})"
SPELL = "return repr(tokenizer.decode(index[None]))"
SPELL_SOME = f"""\
if index.item() not in tokenizer.encoder.decoder:
        return "(no token)"
    {SPELL}"""
TOKENS = """\
pairs = zip(clean[0], corrupted[0])
columns = [spelled(a) if a == b else f"{spelled(a)} / {spelled(b)}" for a, b in pairs]"""
TOP = """
    print(f"\\n{run} run: position (rank), token index, token, probability")
    for rank, (p, index) in enumerate(zip(*plain[run].softmax(dim=0).topk(20)), start=1):
        print(f"{rank:3}  {index:6}  {spelled(index):20}  {100 * p:.4g}%")
for run, logits in plain.items():
    print(f"{run} run: LD {$difference(logits):.4f}$on_map")
"""

# The pieces of both programs: what is said, and the code with names to be filled in.
BEGIN = (
    """Activation patching, one run for each cell. Two texts differ in a word, and two tokens
    compete to come next. In the $base run we replace, for $where, $what by $put_in, and measure
    what the model then predicts. Run this in Patchboard's folder, wherever the file lies.""",
    """
    ${stdlib}
    import matplotlib.pyplot as plt
    import torch

    sys.path.insert(0, ".")  # Patchboard's folder, in which this is run
    ${ours}from mingpt.bpe import BPETokenizer
    from mingpt.model import $from_model  # GPT-2, to be read

    torch.set_grad_enabled(False)  # nothing is trained here
    folder = $folder
    model, tokenizer = $load, BPETokenizer(folder)
    """,
)
TEXTS = (
    """Both texts need the same number of tokens, so that a position of one is a position of the
    other. Target and foil are one token each, which within a text begins with its space.""",
    """
    ${start}clean = $clean
    corrupted = $corrupted
    [target] = tokenizer.encoder.encode($target)
    [foil] = tokenizer.encoder.encode($foil)
    assert clean.shape == corrupted.shape, (clean.shape, corrupted.shape)  # (1, T) each
    L, T = model.config.n_layer, clean.shape[1]
    """,
)
FUNCTIONS = (
    """A token as it is written, and the logit difference LD = logit(foil) - logit(target) of what a
    run says at its last position: below 0 the target is ahead, above 0 the foil.$shows""",
    """
    def spelled(index):
        $spell


    def $difference(logits):
        return logits[foil] - logits[target]$measure$ablated
    """,
)
RUNS = (
    """Both texts once without a patch. With `store_activations` the model keeps the output of every
    layer: layer -> (1, T, C), C numbers for each of T positions. Softmax makes probabilities of the
    logits: these are the 20 tokens that are likeliest to come next.""",
    f"""
    activations, plain = {{}}, {{}}
    for run, ids in {{"clean": clean, "corrupted": corrupted}}.items():
        model(ids, store_activations=True)
        activations[run] = model.layer_activations
        plain[run] = model.last_token_logits[0]$float{textwrap.indent(TOP, "    ")}
    """,
)
FORWARD = (
    """`patch_params` of the model replaces the output of one layer at one position, and nothing
    else. So here is the forward pass of mingpt/model.py line by line, in which `put` is handed
    every activation under its name and gives back what goes on in its place.""",
    """
    def forward(ids, put):
        x = model.embed(ids)  # (1, T, C)
        later = torch.ones(T, T, dtype=torch.bool).triu(1)  # what a position may not see
        for layer, block in enumerate(model.transformer.h):
            x = put("resid_pre", layer, x)
            q, k, v = block.attn.qkv(block.ln_1(x))  # (1, H, T, C / H) each
            q, k, v = put("head_q", layer, q), put("head_k", layer, k), put("head_v", layer, v)
            scores = (q @ k.mT * block.attn.scale).masked_fill(later, -torch.inf)
            pattern = put("head_pattern", layer, scores.softmax(dim=-1))  # (1, H, T, T)
            z = put("head_z", layer, pattern @ v)
            x = x + put("attn_out", layer, block.attn.c_proj(merge_heads(z)))
            x = put("resid_mid", layer, x)
            x = x + put("mlp_out", layer, block.mlp(block.ln_2(x)))
            x = put("resid_post", layer, x)
        return model.lm_head(model.transformer.ln_f(x))[0, -1]$float
    """,
)
KEPT = (
    """Both texts once, with a `put` that changes nothing and keeps what it is handed. Softmax makes
    probabilities of the logits: these are the 20 tokens that are likeliest to come next.""",
    f"""
    activations, plain = {{"clean": {{}}, "corrupted": {{}}}}, {{}}
    for run, ids in {{"clean": clean, "corrupted": corrupted}}.items():

        def keep(name, layer, activation):
            activations[run][name, layer] = activation
            return activation

        plain[run] = forward(ids, keep){textwrap.indent(TOP, "    ")}
    """,
)
LOOPS = (
    """The two loops: each cell of the map is one run of the $base text, in which one layer's output
    at one position is replaced before the next layer reads it.""",
    """
    values = torch.zeros(L, T)
    for layer in range(L):
        for position in range(T):
            patch = PatchParams(layer, position, $put[0, position])
            model($base, patch_params=patch)
            values[layer, position] = measure(model.last_token_logits[0]$float)
    """,
)
SWAPPED = (
    """The map has one row more, before all layers: the embedding, which is what the first layer
    reads. At a position it is of that token alone, so that to patch it is to swap the token.""",
    """
    first = torch.zeros(1, T)
    for position in range(T):
        swapped = $base.clone()
        swapped[0, position] = $other[0, position]
        first[0, position] = measure(model(swapped)[0][0, -1]$float)
    values = torch.cat((first, values))
    """,
)
PATCHED = (
    """Each cell of the map is one run of the $base text, with a `put` that replaces the activation
    that the cell is of$windowed.""",
    """
    def patched(site, layers, *place):
        def put(name, layer, activation):
            if name == site and layer in layers:
                activation = activation.clone()
                activation[0][place] = $put[0][place]
            return activation

        return measure(forward($base, put))


    values = torch.zeros($shape)
    $loops
    ${inside}values[$names] = patched($site, $layers, $place)
    """,
)
INPUT = (
    """The map has one row more, before all layers: the embedding, which is what the first layer
    reads.""",
    """
    first = [patched("resid_pre", [0], position) for position in range(T)]
    values = torch.cat((torch.tensor([first]), values))
    """,
)
PICTURE = (
    """The map, layers by ${across}s, as a picture in map.png.""",
    """
    $columns
    rows = $rows
    plt.figure(figsize=(3 + 0.4 * len(columns), 2 + 0.3 * len(rows)))  # inches
    plt.matshow($shown, fignum=0, aspect="auto")
    plt.colorbar(label="$formula")
    plt.xticks(range(len(columns)), columns, rotation=90, parse_math=False)
    plt.yticks(range(len(rows)), rows)
    plt.gca().set(xlabel="$across", ylabel="layer", title="$title")
    plt.savefig("map.png", bbox_inches="tight")
    """,
)
FAST = (
    """The same map the fast way, as Patchboard's app computes it: what patched runs have in common
    is computed once. Run this in Patchboard's folder, wherever the file lies.""",
    """
    import sys

    sys.path.insert(0, ".")
    from core import catalogue, models
    from core.question.experiment import Experiment
    from core.study import Study
    from core.views.pictures import picture

    asked = Experiment(
    $asked
    )
    study = Study(asked, models.load(catalogue.find($model)$dtype))
    for fraction in study:  # both plain runs, then every cell
        print(f"{fraction:.0%}", end="\\r")
    print()
    result = study.read(asked)
    print(result.values)  # $axes
    with open("map.png", "wb") as file:
        file.write(picture($shown, "png"))
    """,
)
