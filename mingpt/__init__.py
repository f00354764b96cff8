"""A readable GPT-2 with minGPT's names, and activation patching inside its forward pass.

The package stands alone: it knows nothing of Patchboard's `core`, and can be read or reused
without it. `model` is the network, `settings` what tells one of the family from another, `bpe` the
tokenizer, `trainer` the training loop, `checkpoint` the file format, `hub` the download of OpenAI's
weights, `utils` the small rest.
"""
