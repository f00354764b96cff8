"""The tests mirror the modules: `tests/core/question/test_pair.py` is about `core/question/pair.py`.

They need no network. `numpy_gpt2` and `hooked_gpt2` are independent oracles,
`builders` makes small models.
"""
