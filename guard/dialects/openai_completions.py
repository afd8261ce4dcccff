"""OpenAI completions, the older API without roles, as the official SDK sends them to ``<base_url>/completions``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from guard.counting import count_text
from guard.openai_shape import OpenAIErrors, count_usage
from guard.prompts import read_prompts
from guard.reading import MOST_CHOICES, ModelNames, canonical, collect, fields, flag, missing, text, whole_number
from guard.types import Ask, JSONObject, Route, Tally, Turn

_MOST_LOGPROBS = 1_000
# What a field of the body is; one that is not named here is text like any other.
_FIELDS: dict[str, Literal["always", "at times", "tuned", "score", "budget", "choices", "stop"]] = {
    **dict.fromkeys(("model", "prompt", "stream", "user"), "always"),
    **dict.fromkeys(("stream_options", "seed", "logit_bias"), "at times"),
    **dict.fromkeys(("temperature", "top_p", "top_k", "min_p", "echo"), "tuned"),
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "repetition_penalty", "response_format"), "tuned"),
    **dict.fromkeys(("logprobs", "prompt_logprobs"), "score"),
    **dict.fromkeys(("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens"), "budget"),
    "num_predict": "budget",
    **dict.fromkeys(("n", "best_of"), "choices"),
    "stop": "stop",
}


class OpenAICompletions(OpenAIErrors):
    name = "openai_completions"
    paths = ("/v1/completions", "/completions")

    def __init__(self) -> None:
        self._models = ModelNames()

    def read(self, body: Mapping[str, Any], route: Route) -> Ask:
        for key in ("model", "prompt"):
            # A prompt of null is the empty document; one that is missing may be anything.
            if key not in body:
                raise missing(key)
        turns: list[Turn] = []
        prompts = 1 if body["prompt"] is None else read_prompts(body["prompt"], "prompt", turns)
        texts: list[str] = []
        parameters: JSONObject = {}
        top_logprobs = media = 0
        stated: list[int] = []
        choices = 1
        for key, value in body.items():
            kind = _FIELDS.get(key)
            if kind in ("always", "at times") or value is None:
                continue
            if kind is None:
                media += collect({key: value}, texts)
                continue
            parameters[key] = value
            if kind == "budget":
                # Nothing at all may be asked for: with ``echo`` the prompt alone comes back.
                stated.append(whole_number(value, key, least=0))
            elif kind == "choices":
                choices = max(choices, whole_number(value, key, MOST_CHOICES))
            elif kind == "score":
                top_logprobs = max(top_logprobs, 1, whole_number(value, key, _MOST_LOGPROBS, 0))
            else:
                media += collect(value, texts, keys=True)
        choices *= prompts
        bias = body.get("logit_bias")
        return Ask(
            self.name,
            self._models.of(body["model"]),
            flag(body["stream"], "stream") if body.get("stream") is not None else False,
            "",
            tuple(turns),
            b"",
            canonical(parameters) if parameters else b"",
            max(stated) * choices if stated else None,
            choices,
            text(body["user"], "user") if body.get("user") is not None else "",
            media,
            top_logprobs,
            0 if bias is None else len(fields(bias, "logit_bias")),
            tuple(texts),
        )

    def count(self, payload: Mapping[str, Any], tally: Tally) -> None:
        choices = payload.get("choices")
        if type(choices) is list:
            for choice in choices:
                words = choice.get("text") if type(choice) is dict else None
                if type(words) is str:
                    count_text(words, tally)
        count_usage(payload, tally)


PLUGIN = OpenAICompletions
