"""The tests mirror the modules: `tests/core/test_pair.py` is about `core/pair.py`.

They need no network. `numpy_gpt2` is the independent oracle, `builders` makes small models.
"""
