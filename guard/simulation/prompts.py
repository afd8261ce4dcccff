"""What simulated accounts ask: from words of our own (``lexicon.py``), or from a folder of real prompts.

A folder is read once. ``*.txt`` holds one prompt a line, ``*.md`` and ``*.prompt`` one prompt in all. What lies in its folder
``campaign`` is what campaigns ask, what lies in ``ordinary`` what everybody else does; where a side has no folder it takes what
lies beside them. A file is a topic (of single-prompt files: their folder), for people come back to what they asked about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

from guard.errors import InstallError
from guard.simulation.lexicon import (
    ANSWERING,
    ASKING,
    CLOSINGS,
    DEMANDS,
    EXAMS,
    FRAMES,
    FURTHER,
    LITTLE,
    QUEUES,
    TASKS,
    TOPICS,
    WHEN,
    WHO,
)

MOST_BYTES = 64 * 1024 * 1024
_LINES, _WHOLE = frozenset({".txt"}), frozenset({".md", ".prompt"})
_FIXED_WORDS = 18
_NUMBER = re.compile(r"\d+")


class Wording(NamedTuple):
    """The fixed text round a slot: how a tool, a script or a queue asks."""

    system: str = ""
    before: str = ""
    after: str = ""

    def asking(self, slot: str) -> list[dict[str, str]]:
        """The messages that ask for ``slot``; a system text stands first."""
        content = "\n\n".join([part for part in (self.before, slot, self.after) if part])
        asked = {"role": "user", "content": content}
        return [{"role": "system", "content": self.system}, asked] if self.system else [asked]


PLAIN = Wording()


@dataclass(frozen=True, slots=True)
class Prompts:
    """``ordinary`` and ``campaign``: prompts by topic. Empty: made up from the lexicon, as many as are asked for."""

    ordinary: Mapping[str, Sequence[str]]
    campaign: Mapping[str, Sequence[str]]

    @property
    def topics(self) -> tuple[str, ...]:
        """What ordinary people may ask about."""
        return tuple(self.ordinary or TOPICS)

    @property
    def queues(self) -> tuple[str, ...]:
        """What campaigns may be about."""
        return tuple(self.campaign or QUEUES)

    def question(self, dice: Random, topic: str) -> str:
        """An ordinary prompt. Made-up ones are hardly ever the same twice."""
        if self.ordinary:
            return dice.choice(self.ordinary[topic])
        return _made(ASKING, dice, TOPICS[topic])

    def task(self, dice: Random, queue: str, n: int) -> str:
        """The n-th prompt of a campaign's queue. Real ones are gone through in order, and when they are through, again with
        other numbers in them."""
        if self.campaign:
            turn, place = divmod(n, len(self.campaign[queue]))
            prompt = self.campaign[queue][place]
            return _NUMBER.sub(lambda _: str(dice.randrange(2, 1000)), prompt) if turn else prompt
        return _made(TASKS, dice, QUEUES[queue])

    def exam(self, dice: Random) -> str:
        """A task of an evaluation: several answers to choose from."""
        question = self.question(dice, dice.choice(self.topics))
        options = zip("ABCD", dice.sample(EXAMS, 4), strict=True)
        return "\n".join([question, *(f"({letter}) the {option}" for letter, option in options)])


OWN = Prompts({}, {})


def further(dice: Random, topic: str) -> str:
    """What is said later in a conversation."""
    opening, middle, end = [_filled(dice.choice(part), dice, _words(topic)) for part in FURTHER]
    return f"{opening} {middle}{end}"


def answer(dice: Random, topic: str) -> str:
    """What a model might have answered."""
    return " ".join([_filled(dice.choice(ANSWERING), dice, _words(topic)) for _ in range(dice.randint(1, 3))])


def demanding(dice: Random, queue: str) -> Wording:
    """A campaign's fixed text: it asks for what a student model is taught with. Some word of it is nobody else's."""
    before = f"{dice.choice(FRAMES).format(what=queue)} {_prose(dice, _words(queue))}"
    return Wording(before=before, after=f"{dice.choice(DEMANDS)} {dice.choice(CLOSINGS)}")


def fixed(dice: Random, topic: str, *, system: bool) -> Wording:
    """An ordinary owner's fixed text: of a tool, an app or a script."""
    text = f"You help with {topic}. {_prose(dice, _words(topic))} {_prose(dice, _words(topic))}"
    return Wording(system=text) if system else Wording(before=text, after="Answer with the result only.")


def read(folder: Path) -> Prompts:
    """Real prompts. Raises ``InstallError`` for a folder that can't be read, holds none, or more than 64 MiB."""
    if not folder.is_dir():
        raise InstallError(f"{folder.name} is no folder: --prompts names a folder of text files")
    sides: dict[str, dict[str, list[str]]] = {"ordinary": {}, "campaign": {}, "": {}}
    total = 0
    for path in sorted(folder.rglob("*")):
        if path.suffix not in _LINES | _WHOLE or not path.is_file():
            continue
        inside = path.relative_to(folder)
        try:
            total += path.stat().st_size
            if total > MOST_BYTES:
                raise InstallError(f"the prompts take more than {MOST_BYTES >> 20} MiB: a part of them is enough")
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise InstallError(f"{inside}: {error.strerror}") from None
        side = inside.parts[0] if len(inside.parts) > 1 and inside.parts[0] in sides else ""
        whole = path.suffix in _WHOLE
        found = [text.strip()] if whole else [line.strip() for line in text.splitlines()]
        sides[side].setdefault(str(inside.parent if whole else inside), []).extend(filter(None, found))
    ordinary, campaign = (_filled_topics(sides[side]) or _filled_topics(sides[""]) for side in ("ordinary", "campaign"))
    if not ordinary and not campaign:
        raise InstallError(
            f"{folder.name} holds no prompts: .txt files with one a line, or .md or .prompt files of one each"
        )
    return Prompts(ordinary, campaign)


def _filled_topics(topics: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {name: prompts for name, prompts in topics.items() if prompts}


def _words(topic: str) -> Sequence[str]:
    """The words of a topic; a topic of real prompts has none of its own here."""
    return TOPICS.get(topic) or QUEUES.get(topic) or TOPICS["letters"]


def _filled(form: str, dice: Random, words: Sequence[str]) -> str:
    numbers = {name: dice.randrange(3, 900) for name in "nmk"}
    return form.format(
        a=dice.choice(words), b=dice.choice(words), who=dice.choice(WHO), when=dice.choice(WHEN), **numbers
    )


def _made(parts: Sequence[Sequence[str]], dice: Random, words: Sequence[str]) -> str:
    """One or two sentences of one part each."""
    said = [" ".join([_filled(dice.choice(part), dice, words) for part in parts])]
    if dice.random() < 0.5:
        said.append(" ".join([_filled(dice.choice(part), dice, words) for part in parts]))
    return " ".join([sentence[0].upper() + sentence[1:] for sentence in said])


def _prose(dice: Random, words: Sequence[str]) -> str:
    said = [dice.choice(LITTLE if n % 2 else words) for n in range(_FIXED_WORDS)]
    return " ".join(said).capitalize() + "."
