"""The bundled model: a small GPT on a little English-like language that we generate ourselves.

It is here so that Patchboard works at once and offline, with real circuits to look at: it recalls
surnames, tells givers from receivers, knows capitals. It knows its little language and nothing
else; real prose wants GPT-2.

    words      the vocabulary, as plain lists
    language   stories and questions from these words; what is held out of training
    behaviours what the model must be able to do, as pairs of texts with a right and a wrong answer
    tokenizer  byte-level BPE in which every word of the language is one piece
    train      python -m core.teaching.train: re-create the weights from nothing
    evaluate   python -m core.teaching.evaluate: the table of behaviours
"""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"  # config, weights and tokenizer files, as shipped
