"""The command line: ``guard COMMAND …``. Each file in this folder is one command, named after its file.

A command's module defines ``SUMMARY`` (one line), ``arguments(parser)`` and ``run(options) -> int``; it imports what is heavy
inside ``run``, so that help is quick. Files that begin with an underscore are no commands.

Exit codes: 0 it is so, or it was done; 1 the answer is no (not found, not healthy, mistakes, a bar missed); 2 the question
was wrong or nobody could be reached; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence

from guard import __version__
from guard.errors import GuardError

OK, NO, TROUBLE, INTERRUPTED = 0, 1, 2, 130


def commands() -> tuple[str, ...]:
    """The names of all commands, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. Expected trouble is one sentence on stderr, never a traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        options = _parser(words).parse_args(words)
        code = int(options.run(options))
        sys.stdout.flush()  # here, where a closed pipe is expected
        return code
    except SystemExit as end:  # argparse has said what is wrong
        return end.code if isinstance(end.code, int) else TROUBLE
    except GuardError as error:
        print(f"guard: {error}", file=sys.stderr)
        return TROUBLE
    except BrokenPipeError:  # `guard … | head`: whoever read has enough
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return OK
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="guard",
        description="Keeps extraction campaigns from taking a model, in front of any model endpoint.",
        epilog="exit codes: 0 yes or done, 1 no, 2 wrong question or nobody reached. `guard COMMAND --help` says more.",
    )
    parser.add_argument("--version", action="version", version=f"guard {__version__}")
    parsers = parser.add_subparsers(metavar="COMMAND", required=True)
    names = commands()
    # One command's own help and run need no other command's module.
    for name in (words[0],) if words and words[0] in names else names:
        module = importlib.import_module(f"{__name__}.{name}")
        command = parsers.add_parser(name, help=module.SUMMARY, description=module.__doc__ or module.SUMMARY,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
        module.arguments(command)
        command.set_defaults(run=module.run)
    return parser
