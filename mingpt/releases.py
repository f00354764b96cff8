"""OpenAI's releases of GPT-2, and a small one of Hugging Face's: their files on the hub."""

from mingpt.part import File
from mingpt.repository import MAIN, Release


def _release(name: str, revision: str, config: File, weights: File) -> Release:
    vocabulary = File(
        "vocab.json",
        1_042_301,
        checksum="196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    )
    merges = File(
        "merges.txt",
        456_318,
        checksum="1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    )
    return Release(f"openai-community/{name}", revision, (config, vocabulary, merges, weights))


MODELS = {
    "gpt2": _release(
        "gpt2",
        revision="607a30d783dfa663caf39e06633721c8d4cfcd7e",
        config=File(
            "config.json",
            665,
            checksum="0daed7749b4f02b8f76240d5444551d7b08712dab4d0adb8239c56ba823bb7b4",
        ),
        weights=File(
            "model.safetensors",
            548_105_171,
            checksum="248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
        ),
    ),
    "gpt2-medium": _release(
        "gpt2-medium",
        revision="6dcaa7a952f72f9298047fd5137cd6e4f05f41da",
        config=File("config.json", 718),
        weights=File("model.safetensors", 1_519_984_962),
    ),
    "gpt2-large": _release(
        "gpt2-large",
        revision="32b71b12589c2f8d625668d2335a01cac3249519",
        config=File("config.json", 666),
        weights=File("model.safetensors", 3_247_159_078),
    ),
    "gpt2-xl": _release(
        "gpt2-xl",
        revision="15ea56dee5df4983c59b2538573817e1667135e2",
        config=File("config.json", 689),
        weights=File("model.safetensors", 6_431_829_964),
    ),
    "distilgpt2": Release(  # of no commit that we know: about how large its files are
        "distilbert/distilgpt2",
        MAIN,
        (
            File("config.json", 762),
            File("vocab.json", 1_042_301),
            File("merges.txt", 456_318),
            File("model.safetensors", 352_824_413),
        ),
    ),
}
