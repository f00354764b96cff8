"""A readable GPT-2 with minGPT's names, and activation patching inside its forward pass.

The package stands alone: it knows nothing of Patchboard's `core`, and can be read or reused
without it. `model` is the network, `settings` what tells one of the family from another, `trainer`
the training loop, `utils` the small rest.

- What is in a folder: `checkpoint` the configuration and the weights, `weights` their files; `bpe`
  the tokenizer, `tokenizer_files` what a folder says about it, of which `vocabulary` and
  `added_tokens` are parts; `files` how anybody's files are read.
- Where it comes from: `hub` finds and fetches models, in `places` of this machine and over the
  network; `repository` has names and records of the hub, `releases` those that are known;
  `download` brings one file, as a `part`, in the `background`, and tells its `progress`; `checked`
  says whether it still is what it was.
"""
