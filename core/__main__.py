"""The command line: `python -m core patch`, `many`, `paths`, `set`, `check` and others."""

import argparse
import os
import signal
import sys
from typing import NoReturn

if __name__ == "__main__":  # Ctrl-C; a KeyboardInterrupt gets lost while torch is being imported
    _LAST_LINE = b"\r\x1b[K" * os.isatty(2) + b"patchboard: stopped.\n"
    signal.signal(signal.SIGINT, lambda *_: (os.write(2, _LAST_LINE), os._exit(130)))

from core import output
from core.commands import checking, components, maps, pairs
from core.engine import work
from core.errors import UserError
from core.many import cli as many_pairs
from core.worksheets import cli as worksheets


def main(arguments: list[str] | None = None) -> int:
    """Run one command. The exit status is 0; 1 if a check failed or none was run; 2 for a mistake,
    with one line on standard error; 130 after Ctrl-C; 141 if nobody reads on what is printed."""
    output.prepare_streams()
    try:
        try:
            work.choose_threads()
            given = sys.argv[1:] if arguments is None else arguments
            if given[:2] == many_pairs.MERGE.split():
                given = [many_pairs.MERGE, *given[2:]]
            options = _parser().parse_args(given)
            return options.run(options)
        finally:
            sys.stdout.flush()
    except UserError as error:
        return output.end(2, str(error))
    except BrokenPipeError:
        return output.end(141)
    except OSError as error:
        if error.filename is not None:
            raise
        return output.end(2, f"cannot write to standard output: {error.strerror}.")


class _Parser(argparse.ArgumentParser):
    """argparse prints its usage before an error; a mistake here is one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m core", description="Activation patching on GPT-2.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for some in (maps, pairs, components, worksheets, checking):
        some.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
