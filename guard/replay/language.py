"""A cheap guess at the language of a prompt, from its script and its commonest small words.

Only to see whether harm, or a change of policy, falls on the speakers of one language; nothing is decided by it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

UNKNOWN = "?"
_LOOK_CHARS = 1200
_LETTERS_OF_A_SCRIPT = 0.25
_DEEPEST = 4
# First and last code point of a script, and the language it stands for; kana before Han: Japanese is written in both.
_SCRIPTS = (
    ("ja", "\u3040", "\u30ff"),
    ("ko", "\uac00", "\ud7af"),
    ("zh", "\u4e00", "\u9fff"),
    ("ru", "\u0400", "\u04ff"),
    ("ar", "\u0600", "\u06ff"),
    ("he", "\u0590", "\u05ff"),
    ("el", "\u0370", "\u03ff"),
    ("hi", "\u0900", "\u097f"),
    ("th", "\u0e00", "\u0e7f"),
)
_SCRIPT = re.compile("|".join(f"(?P<{name}>[{first}-{last}]+)" for name, first, last in _SCRIPTS))
_SMALL_WORDS = {
    "en": "the of and to is in that for you with what how this are it can be write i my on not do please a",
    "de": "der die das und ist nicht ein eine mit wie für auf ich zu den von sie werden kann bitte dem wird auch",
    "fr": "le la les des est et une un pour dans que qui avec sur je vous pas comment ce cette sont du au être",
    "es": "el la los las de y que en una un para con por cómo qué es mi está como del al se su más pero",
    "pt": "o os as de e que em uma um para com por como não é meu minha está do da no na você mais se ao",
    "it": "il lo la gli di e che in una un per con come non è mio sono del della nel si più questo da le",
    "nl": "de het een en van is in dat voor met niet op te zijn ik hoe je wat aan ook er maar om naar",
    "pl": "i w na nie z się do to jest jak że co czy dla o po mam mi przez ale od jestem być moja",
    "ro": "și de la în cu o un este care pe din pentru nu să că ce mai sunt îmi cum ale sau fi",
    "sv": "och att det i en som är på för med av inte den till har jag om ett hur kan du vad eller",
    "tr": "bir ve bu için ne nasıl ile de da mi mı değil çok gibi olarak ben en var olan daha bana",
    "id": "yang dan di ke dari untuk dengan ini itu apa bagaimana saya tidak adalah pada bisa atau ada akan dalam",
}
_LANGUAGES: dict[str, tuple[str, ...]] = {}
for _language, _words in _SMALL_WORDS.items():
    for _word in _words.split():
        _LANGUAGES[_word] = (*_LANGUAGES.get(_word, ()), _language)
_WORD = re.compile(r"[^\W\d_]+")


def guess(text: str) -> str:
    """A two-letter code, or ``UNKNOWN``: too little text, code, or two languages alike. Looks at the first 1,200 characters."""
    text = text[:_LOOK_CHARS]
    if not text.isascii():
        foreign = Counter[str]()
        for found in _SCRIPT.finditer(text):
            foreign[found.lastgroup or UNKNOWN] += len(found[0])
        letters = sum(map(str.isalpha, text))
        if sum(foreign.values()) >= _LETTERS_OF_A_SCRIPT * letters > 0:
            return "ja" if foreign["ja"] > 0.1 * sum(foreign.values()) else foreign.most_common(1)[0][0]
    votes = Counter(_votes(_WORD.findall(text.lower())))
    (first, most), (_, next_most) = [*votes.most_common(2), (UNKNOWN, 0), (UNKNOWN, 0)][:2]
    return first if most >= 2 and most > next_most else UNKNOWN


def spoken(body: object) -> str:
    """The language of what a request's body asks last; ``UNKNOWN`` for a body without text of a known shape."""
    if not isinstance(body, Mapping):
        return UNKNOWN
    for field in ("messages", "input", "contents", "prompt", "inputs"):
        said = body.get(field)
        if isinstance(said, list):
            turns = (
                turn for turn in reversed(said) if isinstance(turn, Mapping) and turn.get("role", "user") == "user"
            )
            said = next(turns, said)
        if text := _text(said):
            return guess(text)
    return UNKNOWN


def _text(said: Any) -> str:
    """The text of a turn, as far as it is written in one of the usual ways."""
    for _ in range(_DEEPEST):
        if isinstance(said, Mapping):
            said = said.get("content") or said.get("parts") or said.get("text")
        elif isinstance(said, list):
            said = next(
                (part for part in said if isinstance(part, str) or (isinstance(part, Mapping) and part.get("text"))), ""
            )
        else:
            break
    return said if isinstance(said, str) else ""


def _votes(words: Iterable[str]) -> Iterable[str]:
    for word in words:
        yield from _LANGUAGES.get(word, ())
