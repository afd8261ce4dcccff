from __future__ import annotations

import gc
import sys
import threading
import time
from importlib.resources import files
from pathlib import Path

import hyperscan
import pytest

from guard import scanning
from guard.errors import InstallError
from guard.scanning import Finder, Patterns

FILES = sorted(path.name.removesuffix(".toml") for path in (files("guard") / "patterns").iterdir())
ASKED = b"think step by step, then compare the responses"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pattern folder of the test's own, read afresh and forgotten afterwards."""
    (tmp_path / "patterns").mkdir()
    monkeypatch.setattr(scanning, "files", lambda package: tmp_path)
    monkeypatch.setattr(scanning, "_library", scanning._library.__wrapped__)
    return tmp_path / "patterns"


def test_each_file_reads_its_own_marks() -> None:
    """One pass serves all files, and none sees another's marks, in whatever order and however often they ask."""
    reasoning, grading, probing = (
        Patterns(name) for name in ("reasoning_elicitation", "rubric_grading", "refusal_probing")
    )
    first = reasoning.reading(ASKED), grading.reading(ASKED), probing.reading(ASKED)

    assert first[0] > 0
    assert first[1] > 0
    assert first[2] == 0
    assert [reader.reading(ASKED) for reader in (reasoning, reasoning, grading)] == [first[0], first[0], first[1]]
    assert reasoning.reading(b"nothing") == grading.reading(b"nothing") == 0.0


def test_text_is_let_go_once_every_file_has_read_it() -> None:
    """No prompt stays in memory until the next one comes."""
    text = b"think step by step " * 2
    before = sys.getrefcount(text)
    readers = [Patterns(name) for name in FILES]
    for reader in readers:
        reader.reading(text)
    gc.collect()

    assert sys.getrefcount(text) == before


def test_case_does_not_matter_in_any_script() -> None:
    """Capitals of ASCII and of Cyrillic are found as small letters are."""
    reader = Patterns("reasoning_elicitation")

    assert reader.reading(b"THINK STEP BY STEP") == reader.reading(b"think step by step") > 0
    assert reader.reading("ПОШАГОВО".encode()) == reader.reading("пошагово".encode()) > 0


def test_threads_scan_apart() -> None:
    """Threads that scan different texts at once read what they read alone."""
    reader, wrong = Patterns("reasoning_elicitation"), []
    expected = {text: reader.reading(text) for text in (ASKED * 50, b"chain of thought " * 100, b"nothing " * 300)}

    def read(text: bytes) -> None:
        wrong.extend(text for _ in range(200) if reader.reading(text) != expected[text])

    threads = [threading.Thread(target=read, args=(text,)) for text in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong


@pytest.mark.parametrize(
    "text",
    [
        b"step by show write every each single do not skip reasoning answer think ",
        b"rate the quality of the responses score from 1 to 10 responses a: response 1: ",
        b"100 500 new diverse user training prompts pairs question and question-answer ",
        b"would you refuse the following requests prompts so that the model will not ",
        b"0" * 64 + b" ",
        b"<think<think",
        "请对以下的的的回答进行评估请对".encode(),
        "0 0 шаг за обучающие данные пары вопрос-".encode(),
    ],
)
def test_hostile_text_costs_bounded_time(text: bytes) -> None:
    """Text of 100 KB made of the patterns' own words costs at most a millisecond a kilobyte for all files (SECURITY G19)."""
    readers = [Patterns(name) for name in FILES]
    text *= 100_000 // len(text)
    began = time.process_time()
    for reader in readers:
        reader.reading(text)

    assert time.process_time() - began < len(text) / 1024 * 0.001 * 4  # four-fold room for a busy machine


def test_time_grows_with_the_text_only() -> None:
    """Eight times the text costs about eight times the time: no expression explodes."""
    reader = Patterns(FILES[0])
    piece = b"rate the these each both following two responses on a scale from 0 to 0 prompts "

    def cost_s(text: bytes) -> float:
        def once() -> float:
            began = time.process_time()
            reader.reading(text)
            return time.process_time() - began

        return min(once() for _ in range(7))

    assert cost_s(piece * 1600) < 8 * cost_s(piece * 200) * 4 + 0.001


def test_a_mark_counts_once_and_sets_count_whole(folder: Path) -> None:
    """1 − Π(1 − strength): each mark once in all languages, a set only when all of it is found."""
    (folder / "mine.toml").write_text(
        'version = 2\n[marks.a]\nstrength = 0.5\nen = ["apple", "pear"]\nde = "apfel"\n'
        '[marks.b]\nstrength = 0.2\nen = "banana"\n[[together]]\nmarks = ["a", "b"]\nstrength = 0.5\n'
    )
    library = scanning._library()

    assert library.sets == {"mine": ((1, 0.5), (2, 0.2), (3, 0.5))}
    assert library.bits == (1, 1, 1, 2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("version = 1\n[marks]\n", "version 1"),
        ("version = 2\n", "marks"),
        ('version = 2\n[marks.a]\nstrength = 1.5\nen = "x"\n', "strength 1.5"),
        ('version = 2\n[marks.a]\nen = "x"\n', "strength"),
        ('version = 2\n[marks.a]\nstrength = 0.5\nEnglish = "x"\n', "English"),
        ('version = 2\n[marks.a]\nstrength = 0.5\nen = "Apple"\n', "lower case"),
        ('version = 2\n[marks.a]\nstrength = 0.5\nen = "ok"\nde = "(?<=x)y"\n', "broken.toml, mark a, de"),
        ('version = 2\n[marks.a]\nstrength = 0.5\nen = "x"\n[[together]]\nmarks = ["b"]\nstrength = 0.1\n', "'b'"),
        ("version = ", "can't be read"),
    ],
)
def test_a_broken_file_is_an_install_error_that_names_the_place(folder: Path, content: str, said: str) -> None:
    """Which file, and what about it."""
    (folder / "broken.toml").write_text(content)

    with pytest.raises(InstallError, match=r"broken\.toml") as error:
        scanning._library()
    assert said in str(error.value)


def test_a_file_that_is_not_there_is_an_install_error() -> None:
    """The message says which ones are."""
    with pytest.raises(InstallError, match="rubric_grading"):
        Patterns("nothing_of_the_kind")


def test_the_next_start_takes_up_what_was_compiled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same expressions are compiled once; other ones, or a damaged file, are compiled anew, and one file is kept."""
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    compiled = []
    compile_all = scanning._compiled
    monkeypatch.setattr(scanning, "_compiled", lambda found: compiled.append(found) or compile_all(found))

    def start(word: str) -> list[int]:
        (folder / "mine.toml").write_text(f'version = 2\n[marks.a]\nstrength = 0.5\nen = "{word}"\n')
        found: list[int] = []
        automaton = scanning._library().automaton
        automaton.scan(b"an apple", scanning._note, context=found, scratch=hyperscan.Scratch(automaton))
        return found

    assert start("apple") == start("apple") == [0]
    assert len(compiled) == 1
    assert start("pear") == []
    assert len(compiled) == 2
    (kept,) = folder.parent.glob("**/patterns.*.hs")
    kept.write_bytes(b"something else")
    assert start("pear") == []
    assert len(compiled) == 3


def test_nothing_is_kept_where_python_keeps_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``PYTHONDONTWRITEBYTECODE`` holds for it, too."""
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (folder / "mine.toml").write_text('version = 2\n[marks.a]\nstrength = 0.5\nen = "apple"\n')
    scanning._library()

    assert not list(folder.parent.glob("**/*.hs"))


def test_a_finder_names_each_expression_once() -> None:
    """Whatever of its expressions is somewhere in a text, across line ends and in bytes that are no UTF-8."""
    finder = Finder(rb"a.c", rb"[0-9]{3}", rb"zz")

    assert sorted(finder.found(b"\xffa\nc abc 1234567")) == [0, 1]
    assert finder.found(b"A-C ab 12") == finder.found(b"") == []


def test_finders_of_threads_search_apart() -> None:
    """One finder serves threads at once: each has scratch space of its own."""
    finder = Finder(rb"needle")
    wrong: list[bytes] = []

    def search(text: bytes, found: list[int]) -> None:
        wrong.extend(text[:9] for _ in range(300) if finder.found(text) != found)

    threads = [
        threading.Thread(target=search, args=(b"hay " * size + tail, found))
        for size in (10, 5_000)
        for tail, found in ((b"needle", [0]), (b"", []))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong
