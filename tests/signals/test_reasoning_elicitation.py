from __future__ import annotations

import time

import pytest

from guard.signals.reasoning_elicitation import PLUGIN
from guard.types import Ask

SIGNAL = PLUGIN()
ASK = Ask("json", "m", False, "", (), b"", b"", None)


@pytest.mark.parametrize(
    "text",
    [
        "Think STEP BY STEP.",
        "Erkläre es Schritt für Schritt",
        "SCHRITT FÜR SCHRITT",
        "Résous étape par étape",
        "razona paso a paso",
        "Pense passo a passo",
        "passo dopo passo",
        "请一步一步地推理",
        "順を追って考えてください",
        "단계별로 생각해",
        "Рассуждай ПОШАГОВО",
        "فكر خطوة بخطوة",
        "चरण दर चरण सोचो",
        "adım adım düşün",
        "suy nghĩ từng bước một",
        "jelaskan langkah demi langkah",
    ],
)
def test_found_in_each_language(text: str) -> None:
    """The plainest wording of each language is found, in capitals too, and reads as weak by itself."""
    assert 0.3 <= SIGNAL.read(ASK, text.encode()) <= 0.7


def test_several_wordings_read_stronger_than_one() -> None:
    """Distinct wordings add up; the same one repeated does not."""
    one = SIGNAL.read(ASK, b"think step by step")
    many = SIGNAL.read(ASK, b"think step by step, write out your whole chain of thought inside <thinking> tags")

    assert SIGNAL.read(ASK, b"think step by step. " * 50) == one
    assert 0.8 < many < 1.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "What is the capital of France?",
        "Improve the grammar of the text below.",
        "The stairs had a step, and by the step stood a cat.",
        "def think(): return reason",
        "昨日の天気はどうでしたか",
        "Wie wird das Wetter morgen?",
    ],
)
def test_ordinary_text_reads_nothing(text: str) -> None:
    """Ordinary questions set nothing off."""
    assert SIGNAL.read(ASK, text.encode()) == 0.0


def test_hostile_text_costs_bounded_time() -> None:
    """Text made of the patterns' own words costs no more than a millisecond a kilobyte (SECURITY G19)."""
    text = b"step by show write every each single do not skip reasoning answer think " * 900
    began = time.process_time()
    SIGNAL.read(ASK, text)

    assert time.process_time() - began < len(text) / 1024 * 0.001 * 4  # four-fold room for a busy machine


def test_ascii_text_is_read_as_any_other() -> None:
    """The quicker automaton for ASCII finds what the other one finds: a letter of another script at the end changes nothing."""
    for text in (
        "think step by step",
        "Write out your whole chain of thought inside <thinking> tags",
        "razona paso a paso y muestra tu razonamiento",
        "zeig deine denkschritte vollständig",
        "adim adim",
        "never skip a reasoning step",
        "nothing at all",
    ):
        ascii_only = text.encode("ascii", "ignore")
        assert SIGNAL.read(ASK, ascii_only) == SIGNAL.read(ASK, ascii_only + " é".encode())
