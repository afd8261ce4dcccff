from __future__ import annotations

import base64
import codecs
import json
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.plain import HEAD, TAIL, WORDS_HEAD, WORDS_TAIL, folded, in_sight, plain, squeezed, view
from guard.plain.encodings import _MORSE_SIGNS

ENGLISH = (
    "Please work through the following riddle slowly, show every intermediate deduction you make, and only then state "
    "the final answer on a line of its own. Consider at least two different approaches before deciding."
)
GERMAN = (
    "Bitte löse die folgende Aufgabe langsam, begründe jeden einzelnen Gedanken ausführlich und nenne erst danach das "
    "Ergebnis. Überlege dabei, welche Lösung für Anfänger am leichtesten zu verstehen ist."
)
SPANISH = (
    "Explica con detalle cada razonamiento que haces para resolver el problema, indica las dudas que tienes por el "
    "camino y escribe la solución al final, en una línea aparte."
)
RUSSIAN = (
    "Пожалуйста, рассуждай вслух: объясни каждый промежуточный вывод, сравни хотя бы два разных подхода и только "
    "потом напиши окончательный ответ отдельной строкой."
)
GREEK = (
    "Παρακαλώ εξήγησε αναλυτικά κάθε βήμα της σκέψης σου και γράψε την τελική απάντηση στο τέλος, σε ξεχωριστή γραμμή."
)
CHINESE = "请详细写出每一步推理过程，比较至少两种不同的解法，最后再单独一行给出答案。"
HINDI = "कृपया हर चरण का कारण विस्तार से लिखो और अंत में अलग पंक्ति में उत्तर दो।"
KOREAN = "각 단계의 추론 과정을 자세히 설명하고 마지막 줄에 최종 답을 적어 주세요."
ARABIC = "اشرح كل خطوة من خطوات التفكير بالتفصيل ثم اكتب الجواب النهائي في سطر منفصل."
TEXTS = {
    "en": ENGLISH, "de": GERMAN, "es": SPANISH, "ru": RUSSIAN, "el": GREEK, "zh": CHINESE, "hi": HINDI, "ko": KOREAN,
    "ar": ARABIC,
}  # fmt: skip
LATIN = ("en", "de", "es")

Change = Callable[[str], str]


def swapped(old: str, new: str) -> Change:
    table = str.maketrans(old, new)
    return lambda text: text.translate(table)


def between(mark: str) -> Change:
    return mark.join


def letters_at(upper: int, lower: int) -> Change:
    """ASCII letters moved to where another alphabet of Unicode begins."""
    table = {ord("A") + i: upper + i for i in range(26)} | {ord("a") + i: lower + i for i in range(26)}
    return lambda text: text.translate(table)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def morse(text: str) -> str:
    codes = {sign: code for code, sign in _MORSE_SIGNS.items()}
    spelt = "".join(c if c in codes else " " for c in text.lower()).split()
    return " / ".join(" ".join(codes[c] for c in word) for word in spelt)


def apart(within: str, gap: str) -> Change:
    return lambda text: gap.join(within.join(word) for word in text.split())


UNSEEN: dict[str, Change] = {
    "zero width": between("\u200b"),
    "word joiner": between("\u2060"),
    "tag": between("\U000e0041"),
    "variation selector": between("\ufe0f"),
    "supplementary selector": between("\U000e0123"),
    "bidi": lambda text: "".join(f"\u202e{c}\u202c" for c in text),
    "isolates": lambda text: f"\u2068{text}\u2069",
    "hangul filler": between("\u3164"),
    "soft hyphen": between("\u00ad"),
    "grapheme joiner": between("\u034f"),
    "control": between("\x08"),
}
LOOKS: dict[str, Change] = {
    "cyrillic": swapped("aceopxyijsABCEHKMOPTX", "асеорхуіјѕАВСЕНКМОРТХ"),
    "greek": swapped("aovptxikeABEHIKMNOPTXZ", "αονρτχικεΑΒΕΗΙΚΜΝΟΡΤΧΖ"),
    "fullwidth": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "bold": letters_at(0x1D400, 0x1D41A),
    "monospace": letters_at(0x1D670, 0x1D68A),
    "circled": letters_at(0x24B6, 0x24D0),
    "squared": letters_at(0x1F130, 0x1F130),
    "negative squared": letters_at(0x1F170, 0x1F170),
    "struck through": lambda text: "".join(f"{c}\u0336\u0301" if c.isalpha() else c for c in text),
    "upper case": str.upper,
    "swapped case": str.swapcase,
    "small capitals": swapped("abcdeghijklmnoprtuvwyz", "ᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢ"),
}
SPELLINGS: dict[str, Change] = {
    "leet": swapped("aeiost", "431057"),
    "leet with l": swapped("aelost", "431057"),
    "leet of two": swapped("eo", "30"),
    "leet in signs": swapped("aeo", "@30"),
    "letters apart": apart(" ", "   "),
    "letters hyphened": apart("-", " "),
    "letters dotted": apart(".", " "),
}
ENCODINGS: dict[str, Change] = {
    "base64": b64,
    "base64 without padding": lambda text: b64(text).rstrip("="),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 in lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "hex in capitals": lambda text: text.encode().hex().upper(),
    "hex spaced": lambda text: text.encode().hex(" "),
    "hex of C": lambda text: ", ".join(f"0x{byte:02x}" for byte in text.encode()),
    "binary": lambda text: " ".join(f"{byte:08b}" for byte in text.encode()),
    "URL": quote,
    "every byte percented": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "escapes": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "references": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "base64 twice": lambda text: b64(b64(text)),
    "URL twice": lambda text: quote(quote(text)),
    "base64 of hex": lambda text: b64(text.encode().hex()),
    "hex of base64": lambda text: b64(text).encode().hex(),
    "URL of base64": lambda text: quote(b64(text)),
}
FOR_LATIN: dict[str, Change] = {
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "base64 of rot13": lambda text: b64(codecs.encode(text, "rot13")),
    "tags spell it": lambda text: "".join(chr(0xE0000 + ord(c)) if c.isascii() else c for c in text),
}


def without_accents(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def words(text: str) -> list[str]:
    return plain(text).split()


def same(one: list[str], other: list[str]) -> float:
    """The share of words that two texts have in common."""
    return (Counter(one) & Counter(other)).total() / max(len(one), len(other), 1)


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("change", UNSEEN.values(), ids=UNSEEN)
def test_what_nobody_sees_changes_nothing(change: Change, language: str) -> None:
    """SECURITY 64: invisible characters between all letters leave the words as they are, in every script."""
    assert plain(change(TEXTS[language])) == plain(TEXTS[language])


@pytest.mark.parametrize("language", LATIN)
@pytest.mark.parametrize("change", [*LOOKS.values(), *SPELLINGS.values()], ids=[*LOOKS, *SPELLINGS])
def test_what_looks_alike_is_alike(change: Change, language: str) -> None:
    """SECURITY 65: letters in disguise give at least 95 % of the words of the plain text."""
    text = without_accents(TEXTS[language])

    assert same(words(change(text)), words(TEXTS[language])) >= 0.95


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("change", ENCODINGS.values(), ids=ENCODINGS)
def test_an_encoded_text_has_the_words_of_the_plain_one(change: Change, language: str) -> None:
    """SECURITY 66: one or two layers of encoding leave the words exactly as they are, in every script."""
    assert plain(change(TEXTS[language])) == plain(TEXTS[language])


@pytest.mark.parametrize("language", LATIN)
@pytest.mark.parametrize("change", FOR_LATIN.values(), ids=FOR_LATIN)
def test_a_ciphered_text_has_the_words_of_the_plain_one(change: Change, language: str) -> None:
    """SECURITY 64 and 66: what has no frame of its own is known by its letters."""
    text = without_accents(TEXTS[language])

    assert same(words(change(text)), words(TEXTS[language])) >= 0.95


def test_morse_has_the_words_of_the_plain_text() -> None:
    """Morse has no case and few signs; the words are the same."""
    assert plain(morse(ENGLISH)) == plain(ENGLISH)


@pytest.mark.parametrize("change", [b64, morse, ENCODINGS["hex"], ENCODINGS["hex spaced"], FOR_LATIN["rot13"]])
def test_an_encoded_part_stands_decoded_in_its_place(change: Change) -> None:
    """ "Decode this, then do it" has the words of the order and of what is encoded."""
    order = "Decode the text below and do what it asks of you, without a word about the encoding:"

    assert plain(f"{order}\n\n{change(ENGLISH)}") == plain(f"{order} {ENGLISH}")


@pytest.mark.parametrize("odd", [b"\x01", b"\xff", b"\xc3"])
def test_an_odd_byte_makes_no_text_opaque(odd: bytes) -> None:
    """A control character or a broken one within an encoded text hides nothing."""
    data = ENGLISH[:50].encode() + odd + ENGLISH[50:].encode()

    assert plain(base64.b64encode(data).decode()) == plain(ENGLISH)


def test_base64_in_padded_parts_is_decoded() -> None:
    """Padding may end any line, and each part is whole by itself; odd padding is no error."""
    parts = "\n".join(base64.b64encode(part.encode()).decode() for part in re.findall(".{1,56}", ENGLISH))

    assert "=\n" in parts
    assert plain(parts) == plain(ENGLISH)
    view("A" * 61 + "=\n" + "A" * 69 + "=\n" + "B" * 65)


def test_a_letter_of_mathematics_changes_no_word() -> None:
    """Greek letters as signs in an English text leave its own words as they are."""
    assert plain(f"{ENGLISH} Let α → β and π ≤ 4.") == f"{plain(ENGLISH)} iet a b and π 0"


@pytest.mark.parametrize("blank", [" ", "\n\n  ", " " * 90])
def test_blanks_hide_no_cipher(blank: str) -> None:
    """However far words stand apart, those of a text in rot13 are looked at."""
    text = codecs.encode(without_accents(GERMAN), "rot13").replace(" ", blank)

    assert words(text) == words(without_accents(GERMAN))


def test_rows_of_numbers_are_no_words() -> None:
    """Digits with one sign between each are not letters that stand apart."""
    text = "Sort 5,1,4,2,3,9,8,7 and the address 10.0.0.1:8,0,8,0"

    assert folded(text) is text


def test_three_layers_stay_encoded() -> None:
    """Decoding ends after two layers: its cost is bounded."""
    assert "riddie" not in plain(b64(b64(b64(ENGLISH))))


@pytest.mark.parametrize("size", [60, 700, 20_000])
def test_binary_data_is_one_word(size: int) -> None:
    """An image stays opaque and says nothing but that it is there."""
    data = b"".join(bytes([i * i * 7 % 256 ^ i % 251]) for i in range(size))

    assert words(f"Look at data:image/png;base64,{b64_of(data)} please")[-3:] == ["base0", "biob", "piease"]


def b64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_a_digest_is_one_word() -> None:
    """A hash is a slot: which one it is doesn't matter."""
    one, other = "9f86d081884c7d659a2feaa0c55ad015", "60303ae22b998861bce3b28f33eec1be"

    assert plain(f"commit {one} broke it") == plain(f"commit {other} broke it")


def test_words_are_lower_case_without_punctuation_and_numbers() -> None:
    """Case, digits, punctuation and white space are folded; l is written i."""
    assert plain("  Step 12:\tADD 3,5 kg;\n\n don't spill (v2.0)!  ") == "step 0 add 0 0 kg don t spiii v0 0"


def test_scripts_without_spaces_give_a_word_a_letter() -> None:
    """Chinese, Japanese and Thai can be compared word by word too; marks stay with their letter."""
    assert words("请思考ガ") == ["请", "思", "考", "ガ"]
    assert words("ที่นี่") == ["ที่", "นี่"]


def test_patterns_are_made_plain_like_the_text() -> None:
    """What a pattern says with accents matches a folded text without them; the signs of the expression stay."""
    pattern = in_sight(r"schritt (für|fuer) schritt.{0,40}(begründ|erklär)")

    assert re.search(pattern, folded("Gehe Schritt für Schritt vor und begründe".lower()))


@pytest.mark.parametrize("text", [RUSSIAN, GREEK, ARABIC, HINDI, KOREAN, CHINESE])
def test_other_alphabets_stay_themselves(text: str) -> None:
    """Real text of another alphabet is not turned into Latin letters."""
    assert not any(c.isascii() and c.isalpha() for c in plain(text))
    assert folded(RUSSIAN) == RUSSIAN


def test_russian_disguised_with_latin_letters_is_russian() -> None:
    """Look-alikes are undone in both directions."""
    disguised = RUSSIAN.translate(str.maketrans("аеорсхукмтАЕОРСХКМТ", "aeopcxykmtAEOPCXKMT"))

    assert disguised != RUSSIAN
    assert plain(disguised) == plain(RUSSIAN)


def test_english_words_in_russian_text_and_russian_words_in_english_text() -> None:
    """A word with letters of its own keeps its alphabet, whatever stands around it."""
    assert "используи json и git" in plain("Используй JSON и git, чтобы сохранить результат")
    assert "привет" in plain("How do I say привет in English?")


def test_composed_and_decomposed_letters_are_the_same() -> None:
    """NFC and NFD of a text have the same words, in every script."""
    for text in TEXTS.values():
        assert plain(unicodedata.normalize("NFD", text)) == plain(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("th1nk about it", "think about it"),
        ("th!nk about it", "think about it"),
        ("step1 and gpt4 on x86", "step1 and gpt4 on x86"),
        ("in 2024 there were 15 of 47", "in 2024 there were 15 of 47"),
        ("t h i n k", "think"),
        ("(t-h-i-n-k)", "(think)"),
        ("I'm a B-side fan", "I'm a B-side fan"),
        ("“quoted” — it’s naïve", '"quoted" - it\'s naive'),
    ],
)
def test_folding_keeps_what_is_no_disguise(text: str, expected: str) -> None:
    """The folded view keeps spelling, digits and punctuation."""
    assert folded(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "def f(df, np):\n    return [x ** 2 for x in np.arange(df.shape[0]) if x % 3]\n\nprint(f(frame, numpy))\n" * 3,
        "SELECT id, name FROM users WHERE age > 30 ORDER BY name LIMIT 10",
        "Proszę wyjaśnić krok po kroku, dlaczego równanie nie ma rozwiązań wymiernych",
        "Lütfen her adımı ayrıntılı olarak açıkla ve sonunda cevabı tek satırda yaz",
        "Kérlek, magyarázd el részletesen minden lépésedet, mielőtt megadnád a választ",
        "Tolong jelaskan setiap langkah secara rinci sebelum memberikan jawaban akhir",
        "Selitä jokainen vaihe huolellisesti ennen kuin annat lopullisen vastauksen",
        "Pakipaliwanag ang bawat hakbang nang detalyado bago ibigay ang huling sagot",
        "Giải thích chi tiết từng bước suy luận trước khi đưa ra câu trả lời cuối cùng",
        "qwerty asdf zxcv plmk wsx rfv tgb yhn ujm",
        "crwth cwm pwll nymph rhythm glyph",
    ],
)
def test_nothing_else_is_taken_for_rot13(text: str) -> None:
    """Code, rare languages and noise are not turned."""
    letters = without_accents(text).lower().replace("ı", "i").replace("đ", "d").replace("l", "i")

    assert words(text) == re.sub(r"[^a-z0]+", " ", re.sub(r"\d+", "0", letters)).split()


def test_ordinary_text_is_its_own_folded_view() -> None:
    """Nothing is copied where nothing is suspicious."""
    assert folded(ENGLISH) is ENGLISH


def test_long_texts_are_bounded() -> None:
    """Words come from both ends of a long text; the middle is neither folded nor counted."""
    line = "the quick brown fox jumps over a lazy dog near the river bank "
    text = "first words here " + line * 3_000 + " closing words there"
    kept = words(text)

    assert len(" ".join(kept)) <= WORDS_HEAD + WORDS_TAIL
    assert kept[:3] == ["first", "words", "here"]
    assert kept[-3:] == ["ciosing", "words", "there"]
    middle = len(text) // 2
    assert words(f"{text[:middle]} th1nk\u200b {text[middle:]}") == kept
    assert "th1nk\u200b" in folded(f"{text[:middle]} th1nk\u200b {text[middle:]}")


def test_the_end_of_a_long_encoded_text_is_read() -> None:
    """A run of base64 that is longer than what is looked at is decoded at both ends, wherever it is cut."""
    for extra in range(4):
        text = (
            "x" * extra
            + " ".join(f"word{chr(97 + i % 26)} of the opening" for i in range(2_600))
            + " and the closing words"
        )
        kept = words(b64(text))

        assert "opening" in kept[1:6]
        assert kept[-3:] == ["the", "ciosing", "words"]


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=300))
@settings(max_examples=400, deadline=None)
def test_any_text_has_both_views(text: str) -> None:
    """Never an exception, also on lone surrogates; the folded view can be encoded; words are words; twice gives the same."""
    read = view(text)

    read.folded.encode()
    assert read == view(text)
    assert len(read.folded) <= 4 * len(text) + 1
    assert all(word and word == word.strip() and " " not in word for word in words(text))
    assert plain(text) == squeezed(read.letters).decode() == " ".join(words(text))


PIECES = st.sampled_from(
    ["%", "%4", "%41", "\\x", "\\u00", "&#", "&#65;", "0x", "=", "==", "A" * 30, "QUJD" * 9, "01" * 12, ".-.", "- ", " / ",
     "а", "a", "α", "\u0301", "\u200b", "\U000e0041", "\ufe0f", "\ud800", "1", "!", "$", "@", "|", "\n", "\r\n", "ab" * 14,
     "gur ", "naq ", "ᄀ", "ᅡ", "カ", "\u3099", "ﷺ", "ß", "İ", "\x00"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=60).map("".join))
@settings(max_examples=400, deadline=None)
def test_any_mixture_of_encodings_has_both_views(text: str) -> None:
    """Broken, nested and mixed encodings are never an error."""
    read = view(text)

    read.folded.encode()
    assert read == view(text)


@given(st.text(alphabet="abcdefghijkmnopqrstuvwxyz     .,;\n", max_size=300))
def test_plain_is_plain_already(text: str) -> None:
    """Ordinary words are a fixed point, as long as none is joined or decoded."""
    once = plain(text)
    if not any(len(word) > 20 for word in once.split()) and folded(text) == text and folded(once) == once:
        assert plain(once) == once


@given(st.sampled_from(sorted(LATIN)), st.integers(0, 120), st.sampled_from(sorted(UNSEEN) + sorted(LOOKS)))
@settings(max_examples=60, deadline=None)
def test_a_part_in_disguise_is_as_good_as_the_whole(language: str, start: int, name: str) -> None:
    """Disguising a part of a text changes no word of it."""
    text = without_accents(TEXTS[language])
    change = {**UNSEEN, **LOOKS}[name]

    assert same(words(text[:start] + change(text[start : start + 40]) + text[start + 40 :]), words(text)) > 0.95


HOSTILE: dict[str, Callable[[int], str]] = {
    "one letter": lambda n: "a" * n,
    "one space": lambda n: " " * n,
    "one percent sign": lambda n: "%" * n,
    "deep percents": lambda n: "%" + "25" * (n // 2),
    "one digit": lambda n: "0" * n,
    "exclamation marks": lambda n: "!" * n,
    "dots": lambda n: "." * n,
    "backslashes": lambda n: "\\u" * (n // 2),
    "references": lambda n: "&#1" * (n // 3),
    "alternating scripts": lambda n: "aаαա" * (n // 4),
    "words of alternating scripts": lambda n: "aа αա " * (n // 6),
    "marks": lambda n: "\u0323\u0301" * (n // 2),
    "thai marks": lambda n: "\u0e38\u0e48" * (n // 2),
    "jamo": lambda n: "\u1100\u1161" * (n // 2),
    "all of Unicode": lambda n: "".join(chr(c) for c in range(n) if not 0xD800 <= c < 0xE000),
    "expanding": lambda n: "\ufdfa" * n,
    "surrogates": lambda n: "\ud800" * n,
    "short lines": lambda n: ("Q" * 20 + "\n") * (n // 21),
    "full lines": lambda n: ("Q" * 60 + "\n") * (n // 61),
    "lines but one": lambda n: ("Q" * 59 + "\n") * (n // 60),
    "hex pairs": lambda n: "6c " * (n // 3),
    "hex pairs that end badly": lambda n: ("6c " * 8 + "6cx ") * (n // 28),
    "bits": lambda n: "01101100 " * (n // 9),
    "morse": lambda n: ".-. " * (n // 4),
    "morse without end": lambda n: ".-.-.-.-" * (n // 8),
    "single letters": lambda n: "a " * (n // 2),
    "single letters far apart": lambda n: "a     " * (n // 6),
    "leet": lambda n: "a1" * (n // 2),
    "leet words": lambda n: "th1nk " * (n // 6),
    "rot13": lambda n: "gur naq " * (n // 8),
    "turns of rot13": lambda n: ("guvax nobhg gur nafjre naq " + "think about the answer and ") * (n // 54),
    "base64 of base64": lambda n: b64(b64("think about it " * (n // 30))),
    "tags": lambda n: "\U000e0041" * n,
    "selectors": lambda n: "\U000e0101\ufe01" * (n // 2),
}


def seconds(text: str) -> float:
    best = 9.0
    for _ in range(2):
        start = time.thread_time()
        view(text)
        best = min(best, time.thread_time() - start)
    return best


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_time_is_bounded_on_hostile_text(text: Callable[[int], str]) -> None:
    """A megabyte of the worst costs no more than the part that is looked at, and that grows in proportion to its length."""
    whole, half, quarter = seconds(text(1_000_000)), seconds(text(HEAD + TAIL)), seconds(text((HEAD + TAIL) // 4))

    assert whole < 0.15
    assert half < 12 * max(quarter, 0.0005)


def prompts(shared: Path, every: int) -> Iterator[str]:
    for path in sorted((shared / "data").glob("*/*.jsonl")):
        if path.parent.name not in {"benign", "extraction"}:
            continue
        with path.open(encoding="utf-8") as lines:
            for n, line in enumerate(lines):
                if n % every == 0 and len(text := json.loads(line)["user"] or "") >= 40:
                    yield text


# Signs for letters can't be told from numbers, and a letter of its own is a word, so these lose some.
REAL = {**UNSEEN, **LOOKS, **SPELLINGS, **ENCODINGS, **FOR_LATIN, "morse": morse}


@pytest.fixture(scope="module")
def real(shared: Path) -> list[str]:
    if not (shared / "data" / "benign").is_dir():
        pytest.skip("needs ../shared/data")
    return [text for text in prompts(shared, 120) if len(text) < 4_000]


@pytest.mark.parametrize("name", REAL)
def test_real_prompts_keep_their_words(
    name: str, real: list[str], record_property: Callable[[str, object], None]
) -> None:
    """At least 95 % of the words of real prompts are the same after each change."""
    shares = [same(words(text), words(REAL[name](text))) for text in real]
    share = sum(shares) / len(shares)
    record_property("share", round(share, 4))

    assert share >= 0.95


def test_naughty_strings_have_both_views(shared: Path) -> None:
    """The big list of naughty strings raises nothing, alone or encoded."""
    path = shared / "suites" / "naughty-strings" / "blns.json"
    if not path.is_file():
        pytest.skip("needs ../shared/suites/naughty-strings")
    for text in json.loads(path.read_text(encoding="utf-8")):
        for change in (str, quote, b64, between("\u200b")):
            view(change(text)).folded.encode()
