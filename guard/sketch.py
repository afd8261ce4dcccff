"""Traits of a text that survive when slots, some words, greetings and closings change. Keyed: nobody without the key can aim.

Specification, version 2 (a faster implementation can replace this one bit for bit):

* Input are the ``letters`` of a text made plain (``plain``): its words in UTF-8. Any run of one byte counts as one such
  byte, so doubled letters are none; a space stands before each word, also the first one, and none at the end.
* Longer than ``HEAD_BYTES + TAIL_BYTES`` it is cut to its first ``HEAD_BYTES`` and last ``TAIL_BYTES`` bytes with a space between
  (where two or three spaces meet there they count as one), for all but the passages.
* The hash of the bytes b₀…bₙ of words i to j, each with the space before it, is h = Σ bₖ·rᵏ mod 2⁶⁴ with r, odd, from the key (Karp
  and Rabin 1987), mixed: h ^= h ≫ 32, h *= 0xFF51AFD7ED558CCD, h ^= h ≫ 32.
* *Shingles* are three words in a row (a text of fewer words is one shingle). Of each third of the text (the shingles that begin
  in the first ``FIRST_BYTES`` bytes; of the others those in the last ``LAST_BYTES``, and those between) the lowest few different
  hashes are kept, in order (bottom-k sketch, Broder 1997): what is fixed in a template comes up again and again, whatever stands
  round it. ``HEAD_KEPT``, ``MIDDLE_KEPT``, ``TAIL_KEPT`` say how many. Among the lowest 4·k that repeat each other there may be fewer.
  Of a text of more than ``LONG_BYTES`` none are kept from the middle: two of so many seldom are the template's.
* *Passages* are six words in a row: p = s + 3·t mod 2⁶⁴, s and t being the hashes of the first and of the last three. Those that lie below
  2⁶⁴ / ``PASSED`` are kept, in the order of the text, of a text of more than ``LONG_BYTES`` and of one that was cut (``passages.py`` says
  what for).
* *Opening* and *closing* stand for the first and last four words: 3·s + t mod 2⁶⁴, s and t being the hashes of the first (last) two
  shingles in the order of the text. A text of fewer than four words has neither.
* The *gist* is a random projection (Charikar 2002): bit (d div 4) + 16·(d mod 4) of a word's hash says whether the word counts + 1
  or − 1 in dimension d; the sum is scaled to a length of 100 and rounded to the nearest integer, to even at .5.

Cost: about 15 µs for a short text and 35 µs for 2,400 bytes, most of it for calling numpy some forty times; 11 µs on an average
where a hundred texts share the calls (``sketches``).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from guard.samples import GIST

HEAD_BYTES = 3_200
TAIL_BYTES = 800
HEAD_KEPT, MIDDLE_KEPT, TAIL_KEPT = 4, 2, 2
FIRST_BYTES = 400
LAST_BYTES = 200
LONG_BYTES = 1_000
PASSED = 8
SHINGLE_WORDS = 3
_AFFIX_WORDS = 4
_LONGEST = HEAD_BYTES + TAIL_BYTES + 2
_MASK = (1 << 64) - 1
_LOW = np.uint64((1 << 64) // PASSED)
_THREE = np.uint64(3)
_HALF, _MIXER = np.uint64(32), np.uint64(0xFF51AFD7ED558CCD)
_SPACE = np.frombuffer(b" ", np.uint8)
# Makes a named tuple of a tuple, without the two calls that its constructor costs.
_made = tuple.__new__
# Bits 0, 16, 32 and 48 of a hash shifted by 0 to 7 places: each is summed up in sixteen bits of its own.
_SHIFTS = np.arange(GIST // 4, dtype=np.uint64)[:, None]
_LANES = np.uint64(0x0001_0001_0001_0001)

Letters = NDArray[np.uint8]
Hashes = NDArray[np.uint64]


class Sketch(NamedTuple):
    """What is kept of a text: at most eight shingles, its first and last words (0: fewer than four), and its gist."""

    shingles: tuple[int, ...]
    opening: int
    closing: int
    gist: bytes
    """GIST signed bytes; all zero for a text without words."""
    passages: bytes = b""
    """Of a text longer than ``LONG_BYTES``, eight bytes each, as the machine orders them. Of one that was cut ``Sketcher.passages`` are all."""


EMPTY = Sketch((), 0, 0, bytes(GIST))


class Sketcher:
    """Makes sketches under one key. ``secret``: any bytes that nobody else knows."""

    __slots__ = ("_base", "_inverse", "_inverses", "_powers")

    def __init__(self, secret: bytes) -> None:
        base = int.from_bytes(blake2b(secret, digest_size=8, person=b"sketch base").digest(), "little") | 1
        inverse = pow(base, -1, 1 << 64)
        self._base, self._inverse = base, inverse
        self._powers, self._inverses = _powers(base, _LONGEST), _powers(inverse, _LONGEST)

    def sketch(self, letters: bytes) -> Sketch:
        """The sketch of a text by its ``letters``."""
        words, shingles, size, starts = self._hashed(letters)
        if not size:
            return EMPTY
        opening = closing = 0
        if len(words) >= _AFFIX_WORDS:
            first, second = shingles[:2].tolist()
            opening = 3 * first + second & _MASK
            first, second = shingles[-2:].tolist()
            closing = 3 * first + second & _MASK
        passages = b""
        if size <= FIRST_BYTES:
            kept = _lowest(shingles, HEAD_KEPT)
        else:
            head, tail = starts.searchsorted((FIRST_BYTES, max(FIRST_BYTES, size - LAST_BYTES))).tolist()
            if size > LONG_BYTES:
                passages = _passages(shingles)
            kept = _lowest(shingles[:head], HEAD_KEPT)
            if size <= LONG_BYTES:
                kept += _lowest(shingles[head:tail], MIDDLE_KEPT)
            kept += _lowest(shingles[tail:], TAIL_KEPT)
            kept = list(dict.fromkeys(kept))
        return Sketch(tuple(kept), opening, closing, _gist(words), passages)

    def sketches(self, texts: Sequence[bytes]) -> list[Sketch]:
        """The sketches of many texts by their ``letters``: what ``sketch`` makes of each, in a third of the time.

        They lie end to end in one array, each with a stop behind it that counts for nothing.
        """
        found = [EMPTY] * len(texts)
        said = [(i, letters) for i, text in enumerate(texts) if (letters := text.strip())]
        if not said:
            return found
        text, ends = _laid_out([letters for _, letters in said])
        begins = np.zeros_like(ends)
        begins[1:] = ends[:-1] + 1
        sizes = ends - begins
        spaces = (text == _SPACE).nonzero()[0]
        first = spaces.searchsorted(begins)
        last = np.append(first[1:], len(spaces))
        counts = last - first
        # Sums of all that stands before a place: those of words and shingles are differences.
        sums = np.zeros(len(text) + 1, np.uint64)
        np.multiply(np.concatenate([self._powers[: size + 1] for size in sizes.tolist()]), text, sums[1:])
        np.add.accumulate(sums, 0, None, sums)
        before = np.append(sums[spaces], sums[-1])
        inverses = self._inverses[spaces - np.repeat(begins, counts)]
        # A shingle begins with each word but the last two of a text, and with the first one anyhow.
        begin_one = np.ones(len(spaces), np.bool_)
        begin_one[last[counts > 1] - 1] = False
        begin_one[last[counts > SHINGLE_WORDS - 1] - 2] = False
        starts = begin_one.nonzero()[0]
        reach = np.minimum(starts + SHINGLE_WORDS, np.repeat(last, counts)[starts])
        words = (before[1:] - before[:-1]) * inverses
        shingles = (before[reach] - before[starts]) * inverses[starts]
        for hashes in (words, shingles):
            hashes ^= hashes >> _HALF
            hashes *= _MIXER
            hashes ^= hashes >> _HALF
        begin = starts.searchsorted(first)
        end = np.append(begin[1:], len(starts))
        openings = (3 * shingles[begin] + shingles[np.minimum(begin + 1, end - 1)]).tolist()
        closings = (3 * shingles[np.maximum(end - 2, begin)] + shingles[end - 1]).tolist()
        places = spaces[starts]
        heads = np.minimum(places.searchsorted(begins + FIRST_BYTES), end)
        tails = np.minimum(places.searchsorted(begins + np.maximum(FIRST_BYTES, sizes - LAST_BYTES)), end)
        gists = _gists(words, first, counts)
        bounds = zip(begin.tolist(), heads.tolist(), tails.tolist(), end.tolist(), strict=True)
        for n, ((i, _), (start, head, tail, stop)) in enumerate(zip(said, bounds, strict=True)):
            passages = _passages(shingles[start:stop]) if sizes[n] > LONG_BYTES else b""
            kept = _lowest(shingles[start:head], HEAD_KEPT)
            if head < stop:
                if sizes[n] <= LONG_BYTES:
                    kept += _lowest(shingles[head:tail], MIDDLE_KEPT)
                kept += _lowest(shingles[tail:stop], TAIL_KEPT)
                kept = list(dict.fromkeys(kept))
            opening = closing = 0
            if stop - start > _AFFIX_WORDS - SHINGLE_WORDS:
                opening, closing = openings[n], closings[n]
            gist = gists[n * GIST : (n + 1) * GIST]
            found[i] = _made(Sketch, (tuple(kept), opening, closing, gist, passages))
        return found

    def shingles(self, letters: bytes, kept: int) -> tuple[int, ...]:
        """The ``kept`` lowest shingles of a whole text: a system prompt's."""
        return tuple(_lowest(self._hashed(letters)[1], kept))

    def passages(self, letters: bytes) -> bytes:
        """Those of a whole text, however long it is."""
        text = _squeezed(np.frombuffer(b" " + letters.strip(), np.uint8))
        size = len(text)
        starts = (text == _SPACE).nonzero()[0]
        if len(starts) < 2 * SHINGLE_WORDS:
            return b""
        if size > len(self._powers):
            longest = 1 << size.bit_length()
            self._powers, self._inverses = _powers(self._base, longest), _powers(self._inverse, longest)
        sums = np.add.reduceat(self._powers[:size] * text, starts)
        shingles = (sums[:-2] + sums[1:-1] + sums[2:]) * self._inverses[starts[:-2]]
        shingles ^= shingles >> _HALF
        shingles *= _MIXER
        shingles ^= shingles >> _HALF
        return _passages(shingles)

    def _hashed(self, letters: bytes) -> tuple[Hashes, Hashes, int, NDArray[np.int64]]:
        """Hashes of words and of shingles, how many bytes the text has, and where its shingles begin."""
        letters = b" " + letters.strip()
        if len(letters) == 1:
            return _NOTHING
        text = _squeezed(np.frombuffer(letters, np.uint8))
        size = len(text)
        if size > HEAD_BYTES + TAIL_BYTES:
            text = _squeezed(np.concatenate((text[:HEAD_BYTES], _SPACE, text[-TAIL_BYTES:])))
            size = len(text)
        starts = (text == _SPACE).nonzero()[0]
        count = len(starts)
        sums = np.add.reduceat(self._powers[:size] * text, starts)
        inverses = self._inverses[starts]
        reach = max(1, count - SHINGLE_WORDS + 1)
        # Words, then shingles: one array for the mixer.
        hashes = np.empty(count + reach, np.uint64)
        words, shingles = hashes[:count], hashes[count:]
        np.multiply(sums, inverses, out=words)
        if count >= SHINGLE_WORDS:
            np.add(sums[:-2], sums[1:-1], out=shingles)
            shingles += sums[2:]
            shingles *= inverses[:reach]
        else:
            shingles[0] = np.add.reduce(sums)
        hashes ^= hashes >> _HALF
        hashes *= _MIXER
        hashes ^= hashes >> _HALF
        return words, shingles, size, starts[:reach]


def _laid_out(texts: list[bytes]) -> tuple[Letters, NDArray[np.int64]]:
    """Texts that are not empty, squeezed and cut, end to end, each with a stop behind it; and where the stops are."""
    text = _squeezed(np.frombuffer(b" " + b"\0 ".join(texts) + b"\0", np.uint8))
    ends = (text == 0).nonzero()[0]
    begins = np.zeros_like(ends)
    begins[1:] = ends[:-1] + 1
    long = ends - begins > HEAD_BYTES + TAIL_BYTES
    if not long.any():
        return text, ends
    kept = np.ones(len(text), np.bool_)
    for begin, end in zip(begins[long].tolist(), ends[long].tolist(), strict=True):
        cut, tail = begin + HEAD_BYTES, end - TAIL_BYTES
        kept[cut:tail] = False
        # One space stands between, whether one stood there or two or none.
        if text[cut - 1] == _SPACE[0]:
            kept[tail] = text[tail] != _SPACE[0]
        elif text[tail] != _SPACE[0]:
            kept[cut] = True
            text[cut] = _SPACE[0]
    text = text[kept]
    return text, (text == 0).nonzero()[0]


_NOTHING = np.empty(0, np.uint64), np.empty(0, np.uint64), 0, np.empty(0, np.int64)


def _squeezed(text: Letters) -> Letters:
    """Runs of a byte as one."""
    kept = np.empty(len(text), np.bool_)
    kept[0] = True
    np.not_equal(text[1:], text[:-1], out=kept[1:])
    return text[kept]


def _powers(base: int, most: int) -> Hashes:
    """base⁰ … baseⁿ mod 2⁶⁴, n being ``most``."""
    row = np.full(most + 1, base, np.uint64)
    row[0] = 1
    return np.multiply.accumulate(row)


def _passages(shingles: Hashes) -> bytes:
    """Of the shingles of a text in its order."""
    passages = shingles[SHINGLE_WORDS:] * _THREE
    passages += shingles[:-SHINGLE_WORDS]
    return passages[passages < _LOW].tobytes()


def _lowest(hashes: Hashes, kept: int) -> list[int]:
    """The lowest few different ones, in order. Sorts ``hashes``."""
    hashes.sort()
    # Some more than are wanted, because a text may repeat itself.
    return list(dict.fromkeys(hashes[: 4 * kept].tolist()))[:kept]


def _gist(words: Hashes) -> bytes:
    lanes = np.add.reduce(words >> _SHIFTS & _LANES, 1)
    sums = lanes.astype("<u8", copy=False).view("<u2").astype(np.float64)
    # Half of the sum, that is: its length doesn't matter.
    sums -= len(words) / 2
    length = sqrt(sums.dot(sums))
    if length == 0.0:
        return EMPTY.gist
    sums *= 100.0 / length
    gist: bytes = np.rint(sums, out=sums).astype(np.int8).tobytes()
    return gist


def _gists(words: Hashes, first: NDArray[np.int64], counts: NDArray[np.int64]) -> bytes:
    """Gists end to end; ``first`` are the places of each text's first word, ``counts`` how many it has."""
    lanes = np.add.reduceat(words >> _SHIFTS & _LANES, first, 1)
    sums = lanes.T.astype("<u8", "C").view("<u2").astype(np.float64)
    sums -= (counts / 2)[:, None]
    lengths = np.sqrt(np.add.reduce(sums * sums, 1))
    sums *= np.divide(100.0, lengths, np.zeros_like(lengths), where=lengths > 0.0)[:, None]
    gists: bytes = np.rint(sums, out=sums).astype(np.int8).tobytes()
    return gists
