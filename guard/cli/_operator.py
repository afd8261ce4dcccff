"""What the commands that talk to a running guard share: where it is, asking it, and printing without being tricked."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tomllib
from typing import Any

from guard.channel import call
from guard.errors import AdminError
from guard.types import JSONObject

DEFAULT_POLICY = "guard.toml"


def add_channel(parser: argparse.ArgumentParser) -> None:
    """The options that say which guard is meant, and ``--json``."""
    where = parser.add_argument_group("which guard")
    where.add_argument("--socket", metavar="PATH", default="", help="its Unix socket")
    where.add_argument(
        "--policy", metavar="FILE", default="", help="the policy file that names the socket (default: guard.toml here)"
    )
    where.add_argument("--tcp", metavar="HOST:PORT", default="", help="over TCP; needs --token-file")
    where.add_argument("--token-file", metavar="FILE", default="", help="the file with the operator's token")
    parser.add_argument("--json", action="store_true", help="the answer as JSON")


def add_why(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    parser.add_argument("--why", metavar="TEXT", default="", required=required, help="the reason, for the audit")


def add_for(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--for", dest="for_s", metavar="TIME", type=seconds, default=None, help="how long: 90s, 15m, 2h, 7d"
    )


def add_subject(parser: argparse.ArgumentParser, also: str = "") -> None:
    parser.add_argument(
        "subject", metavar="SUBJECT", help=f"account:<id>, org:<id>, {also}or the 32 hex digits that guard shows"
    )


def seconds(text: str) -> float:
    """``90s``, ``15m``, ``2h``, ``7d`` → seconds, for argparse."""
    from guard.quantities import duration_s  # noqa: PLC0415 - pulls in the policy file's grammar

    try:
        return duration_s(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{': '.join(map(str, error.args))} (found {text!r})") from None


def ask(options: argparse.Namespace, verb: str, **arguments: Any) -> JSONObject:
    """The running guard's answer. Raises ``AdminError``, with what to do."""
    given = {name: value for name, value in arguments.items() if value not in (None, "")}
    if options.tcp:
        return call(options.tcp, verb, token=_token(options.token_file), **given)
    return call(socket_path(options), verb, **given)


def socket_path(options: argparse.Namespace) -> str:
    """``--socket``, or what the policy file says. Raises ``AdminError`` where neither does."""
    if options.socket:
        return str(options.socket)
    table = policy_table(options)
    path = table.get("admin", {}).get("socket", "") if isinstance(table.get("admin", {}), dict) else ""
    if not isinstance(path, str) or not path:
        raise AdminError(
            f"{options.policy or DEFAULT_POLICY} names no socket: set [admin] socket and reload, or name one with --socket"
        )
    return beside(path, options)


def policy_table(options: argparse.Namespace) -> JSONObject:
    """The policy file as TOML, mistakes and all: at three in the morning the file may be the broken part."""
    path = options.policy or DEFAULT_POLICY
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise AdminError(
            f"there is no {path}: name the socket with --socket, or the policy file with --policy"
        ) from None
    except OSError as error:
        raise AdminError(f"{path} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AdminError(f"{path} is no TOML ({error}): name the socket with --socket") from None


def beside(path: str, options: argparse.Namespace) -> str:
    """A path of the policy file: as it stands where it exists, else seen from the policy file's folder."""
    if os.path.isabs(path) or os.path.exists(path):
        return path
    near = os.path.join(os.path.dirname(options.policy or DEFAULT_POLICY), path)
    return near if os.path.exists(near) else path


def show(options: argparse.Namespace, answer: JSONObject, text: str) -> None:
    """Prints the answer: JSON where that was asked for, else ``text``."""
    print(json.dumps(answer, indent=2) if options.json else plain(text))


def plain(text: str) -> str:
    """Text without anything that moves a terminal's cursor or colours it; line breaks stay."""
    return "".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def paint(text: str, colour: str) -> str:
    """``text`` in red, yellow or green on a terminal, as it is elsewhere."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{ {'red': 31, 'green': 32, 'yellow': 33}[colour] }m{text}\x1b[0m"


def _token(path: str) -> str:
    if not path:
        raise AdminError("over TCP the operator's token is needed: --token-file FILE")
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AdminError(f"the token file {path} can't be read: {getattr(error, 'strerror', '') or error}") from None
