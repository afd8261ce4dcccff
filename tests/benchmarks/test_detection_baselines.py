"""What others do, as the detection benchmark does it: a word classifier and a test on windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


@pytest.fixture
def source(load: Any) -> Any:
    """A corpus of these texts."""
    words = load("words")
    return lambda name, extraction, *texts: words.Source(name, extraction, [words.codes("", text) for text in texts])


def test_the_word_classifier_learns_words(load: Any, source: Any) -> None:
    """Words that only extraction uses speak for it; a source that is held out, or shares its questions, is not learned from."""
    words = load("words")
    known = [
        source("openthoughts_r1_reasoning_calls", True, "derive alpha", "derive beta"),
        source("other", True, "imitate gamma", "imitate delta"),
        source("eval_math_harness", False, "alpha plus beta"),
        *(source(f"plain{i}", False, "hello there", "good day") for i in range(2)),
    ]
    model = words.classifier(known, {"openthoughts_r1_reasoning_calls"})
    assert model.score(words.codes("", "imitate epsilon")) > model.threshold
    assert model.score(words.codes("", "good day")) <= model.threshold
    left = {each.name for each in words.without(known, {"openthoughts_r1_reasoning_calls"})}
    assert left == {"other", "plain0", "plain1"}


def test_the_area_under_the_curve(load: Any) -> None:
    """1 where all positives are above, 0.5 where both are alike."""
    auc = load("words").auc
    assert auc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1.0
    assert auc(np.array([1.0, 1.0]), np.array([1.0])) == 0.5


def test_the_window_test_finds_an_account_apart(load: Any, record: Any, written: Any) -> None:
    """An account whose prompts lie apart from ordinary history is flagged once its window is full, and not before."""
    ledger = load("ledger")
    accounts = [f"honest{i}" for i in range(30)]
    lines = [record(n, account, "hi") for n in range(6) for account in accounts]
    lines += [record(10 + n, "apart", "hi", "c") for n in range(6)]
    read = ledger.read(written("log.jsonl", lines))
    rng = np.random.default_rng(1)
    points = rng.normal(0, 0.1, (len(lines), 8)).astype(np.float32)
    points[-6:, 0] += 5
    flagged = load("windows").flagged(read, points, window=4)
    assert flagged[-6:].tolist() == [False, False, False, True, True, True]
    assert flagged[:-6].mean() < 0.02


def test_features_keep_similarity(load: Any) -> None:
    """The same words are at one place, other words far from it."""
    words, features = load("words"), load("windows").Features()
    a, b, c = (features.of(words.codes("", text)) for text in ("one two three", "three two one", "four five six"))
    assert np.allclose(a, b, atol=1e-5)
    assert float(a @ c) < float(a @ a) - 0.2
