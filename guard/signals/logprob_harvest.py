"""Asks for what reveals the model's distribution: log-probabilities and biased tokens.

What it sees: ``logprobs``/``top_logprobs`` and ``logit_bias`` in the request. Log-probabilities together with a bias that
is varied from request to request recover logits and the last layer's projection of an API-protected model (Carlini et al.,
"Stealing Part of a Production Language Model", 2024; Finlayson et al., "Logits of API-Protected LLMs Leak Proprietary
Information", 2024), so both at once read as strongest.

What honest traffic sets it off: classifiers that read one token's probability, evaluation harnesses, calibration studies.

Cost: none worth naming.
"""

from __future__ import annotations

from guard.types import Ask


class LogprobHarvest:
    name = "logprob_harvest"
    group = "content"

    def read(self, ask: Ask, text: bytes) -> float:
        if ask.top_logprobs and ask.logit_bias:
            return 1.0
        if ask.top_logprobs:
            # One alternative is what a classifier reads; the more of the distribution is asked for, the stronger.
            return 0.3 + 0.3 * min(ask.top_logprobs, 20) / 20
        if ask.logit_bias > 20:
            return 0.3
        return 0.0


PLUGIN = LogprobHarvest
