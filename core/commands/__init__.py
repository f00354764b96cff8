"""The commands of `python -m core`: each room of them adds its own to the parser."""
