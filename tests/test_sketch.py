from __future__ import annotations

import re
from fractions import Fraction
from hashlib import blake2b
from math import isqrt
from random import Random
from sys import byteorder

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.plain import view
from guard.samples import GIST
from guard.sketch import EMPTY, FIRST_BYTES, HEAD_BYTES, LONG_BYTES, TAIL_BYTES, Sketch, Sketcher

SECRET = b"a secret for tests"
SKETCHER = Sketcher(SECRET)
MASK = (1 << 64) - 1
LINE = "the a river stone seven under walk answer of puzzle light ceiling 0 paper which when ü жук 数 every short"
WORDS = LINE.split()


# -- the written specification, word by word and slowly ------------------------------------------------------------


def tidy(letters: bytes) -> bytes:
    return b"".join(b" " + word for word in re.sub(rb"(.)\1+", rb"\1", letters, flags=re.DOTALL).split(b" ") if word)


def hashed(data: bytes, base: int) -> int:
    h = sum(byte * pow(base, k, 1 << 64) for k, byte in enumerate(data)) & MASK
    h ^= h >> 32
    h = h * 0xFF51AFD7ED558CCD & MASK
    return h ^ h >> 32


def lowest(hashes: list[int], kept: int) -> list[int]:
    return list(dict.fromkeys(sorted(hashes)[: 4 * kept]))[:kept]


def nearest(dividend: int, square: int) -> int:
    """dividend·100 ÷ √square, rounded to the nearest integer, to even at .5; exact."""
    sign = -1 if dividend < 0 else 1
    wanted = Fraction(dividend * dividend * 10_000, square)
    down = isqrt(wanted.numerator // wanted.denominator)
    half = Fraction(2 * down + 1, 2) ** 2
    return sign * (down + (wanted > half or (wanted == half and down % 2 == 1)))


def passages_slowly(shingles: list[int]) -> bytes:
    found = [s + 3 * t & MASK for s, t in zip(shingles, shingles[3:], strict=False)]
    return b"".join([p.to_bytes(8, byteorder) for p in found if p < 1 << 61])


def base_of(secret: bytes) -> int:
    return int.from_bytes(blake2b(secret, digest_size=8, person=b"sketch base").digest(), "little") | 1


def shingles_slowly(text: bytes, base: int) -> list[int]:
    words = [b" " + word for word in text.split(b" ")[1:]]
    return [hashed(b"".join(words[i : i + 3]), base) for i in range(max(1, len(words) - 2))]


def slowly(letters: bytes, secret: bytes = SECRET) -> Sketch:
    base = base_of(secret)
    text = tidy(letters)
    if len(text) > HEAD_BYTES + TAIL_BYTES:
        text = tidy(text[:HEAD_BYTES] + b" " + text[-TAIL_BYTES:])
    if not text:
        return EMPTY
    words = [b" " + word for word in text.split(b" ")[1:]]
    begins = [sum(map(len, words[:i])) for i in range(len(words))]
    shingles = shingles_slowly(text, base)
    kept: list[int] = []
    last = max(FIRST_BYTES, len(text) - 200)
    between = 2 if len(text) <= LONG_BYTES else 0
    for first, end, count in ((0, FIRST_BYTES, 4), (FIRST_BYTES, last, between), (last, len(text), 2)):
        kept += lowest([h for h, begin in zip(shingles, begins, strict=False) if first <= begin < end], count)
    opening = closing = 0
    if len(words) >= 4:
        opening = 3 * shingles[0] + shingles[1] & MASK
        closing = 3 * shingles[-2] + shingles[-1] & MASK
    sums = [0] * GIST
    for word in words:
        h = hashed(word, base)
        for d in range(GIST):
            sums[d] += 1 if h >> (d // 4 + 16 * (d % 4)) & 1 else -1
    square = sum(x * x for x in sums)
    gist = bytes(nearest(x, square) & 0xFF for x in sums) if square else bytes(GIST)
    passages = passages_slowly(shingles) if len(text) > LONG_BYTES else b""
    return Sketch(tuple(dict.fromkeys(kept)), opening, closing, gist, passages)


# -- the tests -----------------------------------------------------------------------------------------------------


def some_words(seed: int, count: int, longest: int = 10) -> str:
    dice = Random(seed)
    return " ".join(
        "".join(dice.choices("abcdefghijkmnopqrstuvwxyz0", k=dice.randint(1, longest))) for _ in range(count)
    )


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 40, 79, 80, 90, 120, 150, 155, 160, 300, 430, 500, 650, 1_500])
def test_the_specification_bit_for_bit(count: int) -> None:
    """Texts of any length have exactly the sketch that the specification says, short, around each cut, and long."""
    for seed in range(5):
        letters = some_words(seed, count).encode()
        assert SKETCHER.sketch(letters) == slowly(letters)


@given(st.lists(st.sampled_from([*WORDS, " ", "   ", "000", "0000000", "x" * 90, "y" * 1_000]), max_size=120))
@settings(max_examples=150, deadline=None)
def test_the_specification_on_any_spacing(words: list[str]) -> None:
    """Runs of spaces and zeros, repeated and very long words, characters of several bytes: all as specified."""
    letters = " ".join(words).encode()

    assert SKETCHER.sketch(letters) == slowly(letters)


@pytest.mark.parametrize("size", range(3_996, 4_010))
def test_the_specification_at_the_cut(size: int) -> None:
    """One byte more or less where a text is cut, also where a space stands there."""
    text = some_words(7, 1_400, 5)
    for letters in (text[:size].encode(), (text[:3_199] + "  " + text[3_201:size]).encode(), (b"xz" * size)[:size]):
        assert SKETCHER.sketch(letters) == slowly(letters)


@given(
    st.lists(
        st.lists(st.sampled_from([*WORDS, " ", "   ", "000", "0000000", "x" * 90, "y" * 1_000]), max_size=40),
        max_size=9,
    )
)
@settings(max_examples=100, deadline=None)
def test_many_together_are_what_each_is_alone(texts: list[list[str]]) -> None:
    """Any texts, empty and long ones among them, in one call: the same sketches, bit for bit, in the same order."""
    letters = [" ".join(words).encode() for words in texts]

    assert SKETCHER.sketches(letters) == [SKETCHER.sketch(one) for one in letters]


def test_many_together_around_every_bound() -> None:
    """Likewise of every number of words up to 90, of a text cut at each place of its words, and of first and last shingles."""
    text = some_words(7, 1_400, 5)
    letters = [some_words(count, count).encode() for count in range(91)]
    sizes = [*range(390, 410), *range(590, 610), *range(990, 1_010), *range(3_990, 4_012), 5_000]
    letters += [text[:size].encode() for size in sizes]
    letters += [(text[:at] + "  " + text[at + 2 : 4_600]).encode() for at in range(3_196, 3_203)]
    letters += [(text[:3_300] + "  " + text[3_302:size]).encode() for size in range(4_096, 4_106)]
    letters += [(b"xz" * size)[:size] for size in (1, 399, 400, 1_000, 1_001, 3_999, 4_000, 4_001, 5_000)]

    assert SKETCHER.sketches(letters) == [SKETCHER.sketch(one) for one in letters]
    assert SKETCHER.sketches(letters[40:44]) == [slowly(one) for one in letters[40:44]]
    assert SKETCHER.sketches([]) == []


def test_nothing_has_no_traits() -> None:
    """An empty text and one of spaces."""
    assert SKETCHER.sketch(b"") == SKETCHER.sketch(b"   ") == EMPTY
    assert SKETCHER.shingles(b" ", 2) == ()


def test_few_words_are_one_shingle_without_affixes() -> None:
    """Up to three words are one trait; from four on there is a beginning and an end."""
    for text in (b"one", b"one two", b"one two three"):
        found = SKETCHER.sketch(text)
        assert (len(found.shingles), found.opening, found.closing) == (1, 0, 0)
    four = SKETCHER.sketch(b"one two three four")
    assert len(four.shingles) == 2
    assert four.opening == four.closing != 0


def test_at_most_eight_shingles_and_a_short_gist() -> None:
    """What is kept of a text does not grow with it."""
    for count in (10, 100, 1_000, 20_000):
        found = SKETCHER.sketch(some_words(3, count).encode())
        assert len(found.shingles) == (4 if count == 10 else 8 if count == 100 else 6)
        assert len(found.gist) == GIST


def test_the_key_decides() -> None:
    """Under another key nothing is the same, so nobody without it can aim at a trait."""
    letters = some_words(1, 200).encode()
    here, there = SKETCHER.sketch(letters), Sketcher(b"another secret").sketch(letters)

    assert set(here.shingles).isdisjoint(there.shingles)
    assert (here.opening, here.closing) != (there.opening, there.closing)
    assert here.gist != there.gist


def test_hashes_do_not_collide() -> None:
    """Fifty thousand different texts of three words have as many different shingles, spread over all 64 bits."""
    dice = Random(9)
    octal = {48 + i: f"{'bcdefghj'[i]}{'nopqrstu'[i]}" for i in range(8)}
    texts = {
        " ".join(dice.choices(WORDS, k=2))
        + " "
        + "abcdefgh"[n % 8]
        + "mnopqrst"[n // 8 % 8]
        + f"{n // 64:o}".translate(octal)
        for n in range(50_000)
    }
    hashes = {SKETCHER.shingles(text.encode(), 1)[0] for text in sorted(texts)}

    assert len(hashes) == len(texts)
    for bit in range(64):
        assert abs(sum(h >> bit & 1 for h in hashes) / len(hashes) - 0.5) < 0.02


TEMPLATE = (
    "dear tutor here is a riddle for you to chew on please walk through it the way a patient teacher would name each thing that "
    "you tried in vain then write what you came up with on its own line and close with a rule of thumb that helps with riddles "
    "of that kind the riddle goes like this {} take all the time that you need and leave nothing out of what went through your "
    "mind since the readers want to follow you without pen and paper and will send questions if a gap is left anywhere"
)


def shared(one: str, other: str) -> float:
    """The share of shingles of the first text that the second has too."""
    first, second = (set(SKETCHER.sketch(view(text).letters).shingles) for text in (one, other))
    return len(first & second) / len(first)


def mean(shares: list[float]) -> float:
    return sum(shares) / len(shares)


def test_slots_leave_the_template_known() -> None:
    """Whatever fills a slot of thirty words, shingles of a template of a hundred stay, and both ends."""
    found = [TEMPLATE.format(some_words(seed, 30)) for seed in range(30)]

    assert mean([shared(found[0], other) for other in found[1:]]) > 0.4
    assert len({SKETCHER.sketch(view(text).letters).opening for text in found}) == 1
    assert len({SKETCHER.sketch(view(text).letters).closing for text in found}) == 1


def test_rewording_leaves_shingles() -> None:
    """One word of twenty replaced: traits are left to find the template by."""
    dice = Random(4)
    words = TEMPLATE.format("it flies without wings").split()
    shares = []
    for seed in range(30):
        changed = [some_words(1_000 * seed + i, 1) if dice.random() < 0.05 else word for i, word in enumerate(words)]
        shares.append(shared(" ".join(words), " ".join(changed)))

    assert mean(shares) > 0.6
    assert min(shares) > 0


def test_greetings_leave_shingles() -> None:
    """A greeting before and thanks behind: half of the shingles stay, though both ends change."""
    text = TEMPLATE.format("it flies without wings")
    shares = [shared(text, f"{some_words(n, 6)} {text} {some_words(n + 99, 5)}") for n in range(30)]

    assert mean(shares) > 0.5


def test_other_texts_share_nothing() -> None:
    """Two texts of the same common words in another order have no shingle in common, as a rule."""
    dice = Random(2)
    words = TEMPLATE.split()
    shares = [shared(TEMPLATE, " ".join(dice.sample(words, len(words)))) for _ in range(30)]

    assert mean(shares) < 0.05


def test_gists_tell_subjects_apart() -> None:
    """The order of words says nothing; texts that share half of their words are nearer than texts that share none."""

    def gist(words: list[str]) -> list[int]:
        return [byte - 256 if byte > 127 else byte for byte in SKETCHER.sketch(" ".join(words).encode()).gist]

    def cosine(one: list[str], other: list[str]) -> float:
        return sum(a * b for a, b in zip(gist(one), gist(other), strict=True)) / 10_000

    near, far = [], []
    for seed in range(60):
        words, others = some_words(seed, 60).split(), some_words(seed + 500, 60).split()
        assert gist(words) == gist(words[::-1])
        near.append(cosine(words, words[:30] + others[:30]))
        far.append(cosine(words, others))

    assert mean(near) > 0.4
    assert abs(mean(far)) < 0.15


def test_the_middle_of_a_long_text_says_nothing() -> None:
    """Beyond both cuts nothing is looked at: a sketch costs the same for any length."""
    start, end = some_words(1, 700), some_words(2, 300)

    assert SKETCHER.sketch(f"{start} {some_words(3, 90)} {end}".encode()) == SKETCHER.sketch(
        f"{start} {some_words(4, 5_000)} {end}".encode()
    )


@pytest.mark.parametrize("count", [0, 1, 5, 6, 7, 40, 1_500, 20_000])
def test_all_passages_of_a_whole_text(count: int) -> None:
    """Those of a text of any length are as specified: one in eight of its rows of six words."""
    letters = some_words(count, count).encode()
    found = SKETCHER.passages(letters)

    assert found == (passages_slowly(shingles_slowly(tidy(letters), base_of(SECRET))) if count else b"")
    assert len(found) // 8 == pytest.approx(max(0, count - 5) / 8, abs=2 + count / 20)


def test_passages_of_a_sketch_are_those_of_the_whole_text() -> None:
    """Where nothing is cut, a sketch has all of them."""
    letters = some_words(1, 600).encode()

    assert LONG_BYTES < len(letters) < HEAD_BYTES + TAIL_BYTES
    assert SKETCHER.sketch(letters).passages == SKETCHER.passages(letters) != b""


def test_doubled_letters_are_none() -> None:
    """Whoever doubles letters here and there wins nothing: a run of one byte counts as one."""
    dice, text = Random(8), some_words(1, 80)
    doubled = "".join([c * dice.choice((1, 2, 3)) for c in text])

    assert SKETCHER.sketch(doubled.encode()) == SKETCHER.sketch(text.encode())


def test_shingles_of_a_system_prompt_are_those_of_a_turn() -> None:
    """A template that moves to the system prompt stays known: the lowest shingles of a short text are the same."""
    letters = b"answer as a patient tutor would in the words of a child"

    assert SKETCHER.shingles(letters, 2) == SKETCHER.sketch(letters).shingles[:2]
