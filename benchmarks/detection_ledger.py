"""What a log holds, in arrays: who asked, when, whether it was extraction, in which language. Read once, then compared with
as many decision logs as there are."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import orjson
from detection_variants import SHARED
from numpy.typing import NDArray

from guard.replay.language import UNKNOWN, guess

PARTS = 40
"""Into how many equal spans of time the leak is cut for the curve."""


class Ledger(NamedTuple):
    """One entry an exchange. ``language`` indexes ``languages``; ``account`` indexes ``accounts``."""

    at: NDArray[np.float64]
    account: NDArray[np.int32]
    extraction: NDArray[np.bool_]
    ordinary: NDArray[np.bool_]
    language: NDArray[np.int16]
    accounts: list[str]
    languages: list[str]


class Speakers(NamedTuple):
    """Harm to the ordinary users of one language: prompts in it, those contained, and how many accounts sent those;
    accounts whose own language it is, and those of them that were touched."""

    exchanges: int = 0
    contained: int = 0
    senders: int = 0
    accounts: int = 0
    touched: int = 0


def turns(body: Mapping[str, Any]) -> tuple[str, str]:
    """(system, last user turn) of a chat request; ``""`` where there is none."""
    messages = body.get("messages") or []
    system = _text(body.get("system"))
    user = ""
    for message in messages:
        if message.get("role") in ("system", "developer"):
            system = system or _text(message.get("content"))
        elif message.get("role") == "user":
            user = _text(message.get("content"))
    return system, user


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(
            part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    return ""


def read(log: Path, look: Callable[[int, str, str], None] | None = None) -> Ledger:
    """The whole log. ``look`` gets every exchange's number, system prompt and last user turn as it goes by."""
    at: list[float] = []
    account: list[int] = []
    extraction: list[bool] = []
    ordinary: list[bool] = []
    language: list[int] = []
    accounts: dict[str, int] = {}
    languages: dict[str, int] = {UNKNOWN: 0}
    with log.open("rb") as lines:
        for n, line in enumerate(lines):
            record = orjson.loads(line)
            label = record["label"]
            system, user = turns(record["request"]["body"])
            at.append(record["at"])
            account.append(accounts.setdefault(record["account"]["id"], len(accounts)))
            extraction.append(label["extraction"])
            ordinary.append(label["campaign"] is None)
            spoken = guess(user) if label["campaign"] is None else UNKNOWN
            language.append(languages.setdefault(spoken, len(languages)))
            if look is not None:
                look(n, system, user)
    return Ledger(
        np.array(at, np.float64),
        np.array(account, np.int32),
        np.array(extraction, np.bool_),
        np.array(ordinary, np.bool_),
        np.array(language, np.int16),
        list(accounts),
        list(languages),
    )


def contained(decisions: Path) -> NDArray[np.bool_]:
    """Which exchanges were kept from being answered in full, by the evaluation's own rule."""
    rule = _score().contained
    with decisions.open("rb") as lines:
        return np.fromiter((rule(orjson.loads(line)) for line in lines), np.bool_)


def _score() -> ModuleType:
    """The evaluation's judge as a module; it is a script and lies outside of this repository."""
    spec = importlib.util.spec_from_file_location("shared_score", SHARED / "eval" / "score.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{SHARED / 'eval' / 'score.py'} can't be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def by_language(ledger: Ledger, kept: NDArray[np.bool_]) -> dict[str, Speakers]:
    """Harm by language. An account speaks the language that most of its prompts are in, as far as that is known."""
    spoken = np.zeros((len(ledger.accounts), len(ledger.languages)), np.int64)
    np.add.at(spoken, (ledger.account[ledger.ordinary], ledger.language[ledger.ordinary]), 1)
    seen = spoken.sum(1) > 0
    spoken[:, 0] = 0  # a prompt in no known language only counts where all are
    own = np.argmax(spoken, 1)
    touched = np.zeros(len(ledger.accounts), np.bool_)
    touched[ledger.account[kept & ledger.ordinary]] = True
    found = {}
    for index, name in enumerate(ledger.languages):
        asked = ledger.ordinary & (ledger.language == index)
        met = asked & kept
        speakers = seen & (own == index)
        found[name] = Speakers(
            int(asked.sum()),
            int(met.sum()),
            len(np.unique(ledger.account[met])),
            int(speakers.sum()),
            int((speakers & touched).sum()),
        )
    return found


def curve(ledger: Ledger, kept: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Leak over time: (days since the log began, share of the extraction answered in full in that span); spans without any are left out."""
    return list(_spans(ledger, kept))


def _spans(ledger: Ledger, kept: NDArray[np.bool_]) -> Iterator[tuple[float, float]]:
    if not ledger.extraction.any():
        return
    days = (ledger.at[ledger.extraction] - ledger.at[0]) / 86_400
    leaked = ~kept[ledger.extraction]
    edges = np.linspace(0, (ledger.at[-1] - ledger.at[0]) / 86_400, PARTS + 1)
    for first, last in pairwise(edges.tolist()):
        within = (days >= first) & (days <= last)
        if within.any():
            yield (first + last) / 2, float(leaked[within].mean())
