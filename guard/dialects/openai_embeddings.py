"""OpenAI embeddings, as the official SDK sends them to ``<base_url>/embeddings``. They cost input and no output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guard.counting import report_input, report_output
from guard.openai_shape import OpenAIErrors
from guard.prompts import read_prompts
from guard.reading import ModelNames, canonical, collect, missing, text
from guard.types import Ask, Route, Tally, Turn

_READ = frozenset({"model", "input", "user"})
_TUNED = frozenset({"dimensions", "encoding_format", "truncate", "input_type", "truncate_prompt_tokens"})


class OpenAIEmbeddings(OpenAIErrors):
    name = "openai_embeddings"
    paths = ("/v1/embeddings", "/embeddings")

    def __init__(self) -> None:
        self._models = ModelNames()

    def read(self, body: Mapping[str, Any], route: Route) -> Ask:
        for key in ("model", "input"):
            if body.get(key) is None:
                raise missing(key)
        turns: list[Turn] = []
        read_prompts(body["input"], "input", turns)
        texts: list[str] = []
        parameters = {key: body[key] for key in _TUNED if body.get(key) is not None}
        media = sum(
            [
                collect({key: value}, texts, keys=key in _TUNED)
                for key, value in body.items()
                if key not in _READ and (key not in _TUNED or type(value) is dict or type(value) is list)
            ]
        )
        return Ask(
            self.name,
            self._models.of(body["model"]),
            False,
            "",
            tuple(turns),
            b"",
            canonical(parameters) if parameters else b"",
            0,
            user=text(body["user"], "user") if body.get("user") is not None else "",
            media=media,
            texts=tuple(texts),
        )

    def count(self, payload: Mapping[str, Any], tally: Tally) -> None:
        usage = payload.get("usage")
        if type(usage) is dict:
            report_input(usage.get("prompt_tokens"), tally)
        if type(payload.get("data")) is list:
            report_output(0, tally)


PLUGIN = OpenAIEmbeddings
