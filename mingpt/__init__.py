"""A readable GPT-2 with minGPT's names, and activation patching inside its forward pass.

The package stands alone: it knows nothing of Patchboard's `core`, and can be read or reused
without it. `model` is the network, `settings` what tells one of the family from another, `bpe` the
tokenizer, `tokenizer_files` what a folder says about it, `trainer` the training loop, `checkpoint`
the file format, `repository` the names and records of the hub, `hub` finding and fetching models,
`utils` the small rest.
"""
