"""What others do, first: a word classifier that judges each prompt by itself.

Naive Bayes on hashed words (document frequencies), numpy only. It is fitted on the shared corpora *without* the sources that
the scenario's campaign draws from, nor those that share their problems, and its threshold lets 0.3 % of ordinary prompts be
flagged, measured on ordinary sources that were left out one by one. The ordinary sources of the log it has otherwise seen:
it is treated kindly.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import orjson
from detection_variants import SHARED
from numpy.typing import NDArray

FALSE_POSITIVES = 0.003
"""Share of ordinary prompts (or windows) that a baseline's threshold lets be flagged, as in the window test's paper."""
BUCKETS = 1 << 14
_LOOK_CHARS = 2000
_MOST_ROWS = 600
# Chinese and Japanese have no blanks: a character counts as a word.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
# Other sources with the same questions under another template; never on the two sides of one split.
_SAME_QUESTIONS = {
    "openthoughts_r1_reasoning_calls": "eval_math_harness",
    "ultrafeedback_rubric_calls": "chatbot_arena_users",
}

Codes = NDArray[np.int32]


def codes(system: str, user: str) -> Codes:
    """The distinct hashed words of the first 2,000 characters of both texts."""
    text = f"{system[:_LOOK_CHARS]}\n{user[:_LOOK_CHARS]}".lower()
    found = {zlib.crc32(word.encode(errors="replace")) % BUCKETS for word in _WORD.findall(text)}
    return np.fromiter(found, np.int32, len(found))


class Source:
    """One corpus file: its rows as hashed words, and how many rows have each."""

    def __init__(self, name: str, extraction: bool, rows: list[Codes]) -> None:
        self.name, self.extraction, self.rows = name, extraction, rows
        self.seen = np.zeros(BUCKETS)
        for row in rows:
            self.seen[row] += 1


class Words:
    """A fitted classifier: a weight for each bucket, and the score above which a prompt is flagged."""

    def __init__(self, weights: NDArray[np.float64], threshold: float = 0.0) -> None:
        self.weights, self.threshold = weights, threshold

    def score(self, row: Codes) -> float:
        """How much the words speak for extraction, evened out over long and short texts."""
        return float(self.weights[row].sum() / np.sqrt(len(row))) if len(row) else 0.0

    def scores(self, rows: Iterable[Codes]) -> NDArray[np.float64]:
        return np.array([self.score(row) for row in rows])


def sources(data: Path = SHARED / "data") -> list[Source]:
    """Every corpus of both sides, at most 600 rows of each, evenly taken."""
    found = []
    for side in ("benign", "extraction"):
        for path in sorted((data / side).glob("*.jsonl")):
            rows = [orjson.loads(line) for line in path.read_bytes().splitlines() if line]
            rows = rows[:: max(1, len(rows) // _MOST_ROWS)]
            hashed = [codes(row.get("system") or "", row.get("user") or "") for row in rows]
            found.append(Source(path.stem, side == "extraction", hashed))
    return found


def fitted(known: Iterable[Source]) -> Words:
    """Logarithm of how much more frequent a word is in extraction than in ordinary prompts."""
    share = []
    for side in (True, False):
        chosen = [source for source in known if source.extraction is side]
        rows = sum(len(source.rows) for source in chosen)
        share.append((sum((source.seen for source in chosen), np.zeros(BUCKETS)) + 0.5) / (rows + 1))
    return Words(np.log(share[0]) - np.log(share[1]))


def without(known: Iterable[Source], held_out: Collection[str]) -> list[Source]:
    """The sources but for those held out and those that share their questions."""
    pairs = [*_SAME_QUESTIONS.items()]
    related = {b for a, b in pairs if a in held_out} | {a for a, b in pairs if b in held_out}
    return [source for source in known if source.name not in held_out and source.name not in related]


def classifier(known: list[Source], held_out: Collection[str]) -> Words:
    """Fitted without ``held_out``; its threshold from ordinary sources left out one by one."""
    rest = without(known, held_out)
    fresh = [fitted(without(rest, {source.name})).scores(source.rows) for source in rest if not source.extraction]
    return Words(fitted(rest).weights, float(np.quantile(np.concatenate(fresh), 1 - FALSE_POSITIVES)))


def held_out_auc(known: list[Source]) -> float:
    """Mean area under the curve over every pair of an extraction and an ordinary source, fitted without either."""
    areas = []
    for bad in (source for source in known if source.extraction):
        for good in (source for source in known if not source.extraction):
            model = fitted(without(known, {bad.name, good.name}))
            areas.append(auc(model.scores(bad.rows), model.scores(good.rows)))
    return float(np.mean(areas))


def auc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """The probability that a positive scores above a negative; ties count half."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.sum() / (2 * len(positive) * len(negative)))
