"""Letters of other alphabets that pass for Latin ones, decided word by word. Rule 4 of ``plain``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

_WORD = re.compile(r"[^\W\d_]+")
_BEYOND = re.compile(r"[^\W\d_\x00-\x7f]")


def _pairs(foreign: str, latin: str) -> dict[str, str]:
    return dict(zip(foreign.split(), latin.split(), strict=True))


# Both ways: who writes Russian or Greek can be disguised with Latin letters just as well.
_CYRILLIC = _pairs("а в с е н к м о р т у х", "a b c e h k m o p t y x")
_GREEK = _pairs("α β ε ζ η ι κ μ ν ο ρ τ υ χ", "a b e z n i k u v o p t u x")
# One way: alike to the eye, but nobody writes Russian or Greek with the Latin letter.
_PASSING = {
    **_pairs("і ї ј ѕ һ ԁ ԛ ԝ ӏ ғ ԍ ү ұ қ ң ҥ ҫ ҳ ҽ ҿ ӌ ѵ ѡ ԉ ԑ ә ө", "i i j s h d q w l f g y y k h h c x e e u v w n e e o"),
    **_pairs("І Ї Ј Ѕ Һ Ԁ Ԛ Ԝ Ӏ Ғ Ԍ Ү Ұ Қ Ң Ҫ Ҳ Ѵ Ә Ө", "I I J S H D Q W l F G Y Y K H C X V E O"),
    **_pairs("ϲ ϳ ϱ ϵ", "c j p e"),
    # Armenian, Coptic, Georgian, Cherokee, Lisu, Canadian syllabics
    **_pairs("օ ո ս հ ց ք յ զ ա գ կ ղ ե ռ ր ւ ի Տ Ս Օ Լ", "o n u h g p j q w q l n t n n i h S U O L"),
    **_pairs("ⲁ ⲃ ⲉ ⲏ ⲓ ⲕ ⲙ ⲛ ⲟ ⲣ ⲥ ⲧ ⲩ ⲭ Ⲁ Ⲃ Ⲉ Ⲏ Ⲓ Ⲕ Ⲙ Ⲛ Ⲟ Ⲣ Ⲥ Ⲧ Ⲩ Ⲭ", "a b e h i k m n o p c t y x A B E H I K M N O P C T Y X"),
    **_pairs("ს ყ ხ ჟ ი", "b y b g o"),
    **_pairs("Ꭰ Ꭱ Ꭲ Ꭺ Ꭻ Ꭼ Ꮃ Ꮇ Ꮋ Ꮐ Ꮓ Ꮞ Ꮟ Ꮢ Ꮤ Ꮥ Ꮩ Ꮪ Ꮮ Ꮯ Ꮲ Ꮶ Ᏼ Ᏻ Ꮍ Ꮎ Ꮖ Ꮷ Ꮒ", "D R T A J E W M H G Z 4 b R W S V S L C P K B G Y o I d h"),
    **_pairs("ꭰ ꭱ ꭲ ꭺ ꭻ ꭼ ꮃ ꮇ ꮋ ꮐ ꮓ ꮩ ꮪ ꮮ ꮯ ꮲ ꮶ", "d r t a j e w m h g z v s l c p k"),
    **_pairs("ꓐ ꓑ ꓓ ꓔ ꓖ ꓗ ꓙ ꓚ ꓜ ꓝ ꓟ ꓠ ꓡ ꓢ ꓣ ꓦ ꓧ ꓪ ꓫ ꓬ ꓮ ꓰ ꓲ ꓳ ꓴ", "B P D T G K J C Z F M N L S R V H W X Y A E I O U"),
    **_pairs("ᑌ ᑕ ᑭ ᑲ ᒍ ᒪ ᕼ ᗅ ᗞ ᗪ ᗰ ᗷ", "U C P b J L H A D D M B"),
}  # fmt: skip
# In a word that is Latin by its other letters: what only a reader of none of these alphabets takes for a Latin letter.
_FAUX = {
    **{c.upper(): latin.upper() for c, latin in _CYRILLIC.items()},
    **_pairs("Α Β Ε Ζ Η Ι Κ Μ Ν Ο Ρ Τ Υ Χ", "A B E Z H I K M N O P T Y X"),
    **_pairs("г п и я ш щ ц ь ъ ы б д з э л ф ч ю ж й ё є", "r n u r w w u b b b b d e e n o y o x u e e"),
    **_pairs("γ δ θ λ π σ ς φ ψ ω", "y d o l n o c o w w"),
}  # fmt: skip
_ALIKE = _CYRILLIC | _GREEK | _PASSING | _FAUX
_TABLE = str.maketrans(_ALIKE)
_ALIKE_LETTERS = frozenset(_ALIKE)
_CAPITALS = frozenset(c.upper() for c in [*_CYRILLIC, *_GREEK])
_SHARED = frozenset([*_CYRILLIC, *_GREEK, *_PASSING]) | _CAPITALS
_LATIN = frozenset("abcdefghijklmnopqrstuvwxyz")


class _Alphabet:
    """An alphabet with letters that pass for Latin ones in both directions."""

    __slots__ = ("back", "latin", "own")

    def __init__(self, first: int, end: int, pairs: dict[str, str]) -> None:
        letters = frozenset(c for c in map(chr, range(first, end)) if c.isalpha())
        self.own = letters - _SHARED
        """Letters that no Latin one passes for."""
        self.latin = _LATIN - frozenset(pairs.values())
        """Latin letters that pass for none of this alphabet."""
        back = {latin: c for c, latin in reversed(pairs.items())}
        self.back = str.maketrans(back | {latin.upper(): c.upper() for latin, c in back.items()})


_BOTH_WAYS = (_Alphabet(0x0400, 0x0530, _CYRILLIC), _Alphabet(0x0370, 0x0400, _GREEK))


def unalike(kinds: Iterable[str]) -> bool:
    """Whether a text of these characters beyond ASCII is its own undisguised one, because none resembles a Latin letter."""
    return _ALIKE_LETTERS.isdisjoint(kinds)


def undisguised(text: str) -> str:
    """``text`` (already ``seen``) with disguised words in one alphabet."""
    places = list(_beyond_ascii(text))
    words = Counter([text[start:end] for start, end in places])
    kinds = {word: _alphabet(word) for word in words}
    count: Counter[object] = Counter()
    for word, kind in kinds.items():
        count[kind] += words[word]
    main = max(_BOTH_WAYS, key=lambda alphabet: count[alphabet])
    others = max(count[main], count["other"])
    # Words of ASCII are Latin ones or could be anybody's: as many are counted as it takes to outweigh the others.
    latin = count["latin"]
    if latin < others:
        for found in _WORD.finditer(text):
            latin += found[0].isascii() and _alphabet(found[0]) == "latin"
            if latin >= others:
                break
    if latin < others:
        # Then Latin letters may be the disguise.
        places = [found.span() for found in _WORD.finditer(text)]
        kinds.update((word, _alphabet(word)) for word in dict.fromkeys([text[start:end] for start, end in places]))
    changes = {}
    for word, kind in kinds.items():
        if isinstance(kind, _Alphabet):
            changes[word] = word.translate(kind.back)
        elif kind == "latin":
            changes[word] = word.translate(_TABLE)
        elif kind == "either":
            is_latin = latin >= others or not main.latin.isdisjoint(word.lower())
            changes[word] = word.translate(_TABLE if is_latin else main.back)
    pieces: list[str] = []
    done = 0
    for start, end in places:
        word = text[start:end]
        pieces += text[done:start], changes.get(word, word)
        done = end
    return "".join(pieces) + text[done:]


def _beyond_ascii(text: str) -> Iterator[tuple[int, int]]:
    """Where the words begin and end that hold a letter beyond ASCII. A search for them would try each letter of all words."""
    end = 0
    for found in _BEYOND.finditer(text):
        start = found.start()
        if start < end:
            continue
        while start > end and (c := text[start - 1]).isalnum() and not c.isdecimal():
            start -= 1
        word = _WORD.match(text, start)
        end = word.end() if word else found.end()
        yield start, end


def _alphabet(word: str) -> object:
    """The alphabet of a word: one of ``_BOTH_WAYS``, "latin", "other" (none of these), or "either": the text decides."""
    letters = set(word)
    if word.isascii():
        small = set(word.lower())
        return "either" if any(small.isdisjoint(alphabet.latin) for alphabet in _BOTH_WAYS) else "latin"
    small = set(word.lower()) & _LATIN
    for alphabet in _BOTH_WAYS:
        if not letters.isdisjoint(alphabet.own):
            own = sum(c in alphabet.own for c in word)
            latin = sum(c in alphabet.latin for c in word.lower()) if small else 0
            return alphabet if own > latin else "latin"
    if small:
        return "either" if any(small.isdisjoint(alphabet.latin) for alphabet in _BOTH_WAYS) else "latin"
    return "either" if letters <= _SHARED else "other"
