"""What would these rules have done to past traffic?

Decides an exchange log line by line. Decisions go to standard output or --out, everything else to standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

SUMMARY = "decide past traffic by a policy, or compare two"
_READ_BYTES = 262_144
_EPILOG = """\
The log is one JSON object a line, ordered by "at", as [record] writes it; its clock is the replay's clock. One decision
line is written for each, before the next is read (between two plain files output is buffered; see --unbuffered). A
policy in mode "observe" is replayed as if it were enforced; --as-it-stands keeps its mode. Limits on concurrency never
refuse here: a log does not say when an answer ended.

exit codes: 0 every line was decided or skipped; 1 guard itself failed on some (they are decided without the part that
failed); 2 a line can't be replayed (nothing after it is decided), or the policy or a file can't be used."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("log", metavar="LOG", help="an exchange log, or - for standard input")
    parser.add_argument("--policy", metavar="P", default="standard", help="a policy file or preset (default: standard)")
    parser.add_argument(
        "--against", metavar="Q", help="a second policy: what it would change, by tier, country and language"
    )
    parser.add_argument("--out", metavar="D", default="-", help="where decisions go (default: standard output)")
    parser.add_argument("--skip-broken", action="store_true", help="go on after a line that can't be replayed")
    parser.add_argument(
        "--as-it-stands", action="store_true", help="keep the policies' modes, also where that is observe"
    )
    parser.add_argument("--unbuffered", action="store_true", help="write each decision before the next line is read")
    parser.add_argument("--quiet", action="store_true", help="no progress and no summary")


def run(options: argparse.Namespace) -> int:
    from guard.config import load  # noqa: PLC0415 - what is heavy loads when it runs
    from guard.errors import ExchangeLogError  # noqa: PLC0415
    from guard.replay import Job, Progress, Replay  # noqa: PLC0415

    enforce = not options.as_it_stands
    replay = Replay(load(options.policy), enforce=enforce)
    other = Replay(load(options.against), enforce=enforce) if options.against else None
    job = Job(replay, other, skip_broken=options.skip_broken)
    with contextlib.ExitStack() as opened:
        try:
            source, out = _streams(options, opened)
        except OSError as error:
            return _trouble(f"{error.filename}: {error.strerror}")
        except ValueError as error:
            return _trouble(str(error))
        progress = Progress(sys.stderr, os.fstat(source.fileno()).st_size if _is_file(source) else 0)
        lines = progress.follow(source) if sys.stderr.isatty() and not options.quiet else source
        try:
            job.run(lines, out, flush=options.unbuffered or not (_is_file(source) and _is_file(out)))
        except ExchangeLogError as error:
            progress.clear()
            return _trouble(f"{_named(options.log)}: line {error.n} (the first is 0): {error.message}")
        except BrokenPipeError:
            raise  # the command line knows what that means
        except OSError as error:
            progress.clear()
            return _trouble(f"{_named(options.log)} or {_named(options.out)}: {error.strerror}")
        finally:
            progress.clear()
    if not options.quiet:
        print("\n".join(job.tally.report()), file=sys.stderr)
        if options.against:
            lines_of_change = job.comparison.report(_named(options.policy), _named(options.against))
            print("", *lines_of_change, sep="\n", file=sys.stderr)
    if job.faults:
        print(f"guard replay: guard itself failed, decisions can't be relied on: {job.faults}", file=sys.stderr)
        return 1
    return 0


def _streams(options: argparse.Namespace, opened: contextlib.ExitStack) -> tuple[BinaryIO, BinaryIO]:
    """Where lines come from and decisions go. Raises ``OSError``, and ``ValueError`` where both are one file."""
    source = sys.stdin.buffer if options.log == "-" else opened.enter_context(Path(options.log).open("rb", _READ_BYTES))  # noqa: SIM115
    if options.out == "-":
        return source, sys.stdout.buffer
    target = Path(options.out)
    if target.exists() and _is_file(source) and os.path.samestat(target.stat(), os.fstat(source.fileno())):
        raise ValueError(f"{options.out} is the log itself; decisions need a file of their own")
    return source, opened.enter_context(target.open("wb"))


def _trouble(message: str) -> int:
    print(f"guard replay: {message}", file=sys.stderr)
    return 2


def _named(source: str) -> str:
    return "standard input or output" if source == "-" else Path(source).name


def _is_file(stream: BinaryIO) -> bool:
    """Whether it is a plain file: nobody waits at the other end."""
    return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
