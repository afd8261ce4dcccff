from __future__ import annotations

from dataclasses import replace

from guard.signals.logprob_harvest import PLUGIN
from guard.types import Ask

ASK = Ask("openai_chat", "m", False, "", (), b"", b"", None)


def read(**fields: int) -> float:
    return PLUGIN().read(replace(ASK, **fields), b"")


def test_nothing_is_read_where_nothing_is_asked() -> None:
    """An ordinary request, and a small bias (banning a word), read nothing."""
    assert read() == 0.0
    assert read(logit_bias=3) == 0.0


def test_more_of_the_distribution_reads_stronger() -> None:
    """One log-probability is what a classifier reads; twenty, or any with a bias, are what a harvest needs."""
    assert 0 < read(top_logprobs=1) < read(top_logprobs=20) < read(top_logprobs=1, logit_bias=1) == 1.0


def test_a_wide_bias_alone_reads_weakly() -> None:
    """Biasing many tokens at once is how logits are probed."""
    assert 0 < read(logit_bias=300) < 0.5
