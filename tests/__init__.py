"""The tests mirror the modules: `tests/core/test_study.py` is about `core/study.py`.

They need no network. `numpy_gpt2` and `hooked_gpt2` are independent oracles, `builders`
makes small models.
"""
