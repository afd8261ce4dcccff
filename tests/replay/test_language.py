"""Which language a prompt is in, as far as one can tell cheaply."""

from __future__ import annotations

from typing import Any

import pytest

from guard.replay.language import guess, spoken

GERMAN = "Wie kann ich das mit der Heizung für den Winter machen?"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How do I write a letter to the landlord about this?", "en"),
        ("Wie kann ich das mit der Heizung für den Winter machen?", "de"),
        ("Comment est-ce que je fais une tarte avec des pommes ?", "fr"),
        ("¿Cómo puedo escribir una carta para el casero?", "es"),
        ("请帮我写一封信给房东，说明暖气的问题", "zh"),
        ("大家さんに手紙を書きたいです", "ja"),
        ("집주인에게 편지를 쓰고 싶어요", "ko"),
        ("Как написать письмо хозяину квартиры?", "ru"),
        ("x = y[3] ** 2; print(z)", "?"),
        ("", "?"),
    ],
)
def test_languages_are_told_apart(text: str, language: str) -> None:
    """By script, else by small words; code and nothing are no language."""
    assert guess(text) == language


@pytest.mark.parametrize(
    "body",
    [
        {
            "messages": [
                {"role": "user", "content": GERMAN},
                {"role": "assistant", "content": "What do you mean by that?"},
            ]
        },
        {"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": GERMAN}]}]},
        {"input": GERMAN},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": GERMAN}]}]},
        {"contents": [{"role": "user", "parts": [{"text": GERMAN}]}]},
        {"contents": [{"parts": [{"text": GERMAN}]}]},
        {"prompt": [GERMAN]},
    ],
)
def test_what_was_asked_last_is_found_in_every_api(body: Any) -> None:
    """Whatever shape the API gives it; what the model said doesn't count."""
    assert spoken(body) == "de"


@pytest.mark.parametrize(
    "body", [None, [], "text", {}, {"messages": 3}, {"messages": [[[[[["deep"]]]]]]}, {"input": {"content": {}}}]
)
def test_what_has_no_text_has_no_language(body: Any) -> None:
    """And nothing breaks on it."""
    assert spoken(body) == "?"
