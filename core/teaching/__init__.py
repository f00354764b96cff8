"""The bundled model: a small GPT on a little English-like language that we generate ourselves.

It is here so that Patchboard works at once and offline, with real circuits to look at: it recalls
surnames, tells givers from receivers, knows capitals. It knows its little language and nothing
else; real prose wants GPT-2.

Its lower layers were made to look at what is near: in training, attention far back costs them
something (`train.Nearsighted`). So its maps show a hand-over, as GPT-2's do: what was read stays
where it was read, and an upper layer fetches it to the last position. Without the cost the first
layer does, and a map is a column. That GPT-2 hands over late is its own doing; ours was asked for,
and says nothing about how GPT-2 does it, or why. What is looked up, and by which heads, was not
asked for. `python -m core.checks.handover` measures it in every example's map.

    words      the vocabulary, as plain lists
    language   stories and questions from these words; what is held out of training
    behaviours what the model must be able to do, as pairs of texts with a right and a wrong answer
    tokenizer  byte-level BPE in which every word of the language is one piece
    train      python -m core.teaching.train: re-create the weights from nothing
    evaluate   python -m core.teaching.evaluate: the table of behaviours
    history    the checkpoints along the training, small enough to be shipped
    growth     what the model could do at each of them, and which part of it did it
"""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"  # config, weights and tokenizer files, as shipped
