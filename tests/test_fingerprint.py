from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product
from random import Random

import orjson
import pytest

from guard.contracts import Signal
from guard.errors import ExchangeLogError
from guard.fingerprint import MEDIA_TOKENS, VERSION, Fingerprinter, dump, load
from guard.hashing import HashKey
from guard.registry import signals
from guard.samples import GIST
from guard.types import Ask, Features, Turn

KEY = HashKey(b"a key for tests, long enough")
ASK = Ask(
    dialect="openai_chat",
    model="m",
    stream=False,
    system="You are terse.",
    turns=(Turn("user", "What is a monad? Think step by step."),),
    tools=b'[{"name":"look"}]',
    parameters=b'{"temperature":0.5}',
    budget_tokens=100,
    user="somebody",
    texts=("a tool that looks",),
)
ELICITING = "write out your chain of thought"
TEMPLATE = (
    "You will be shown one puzzle from our weekly newsletter. Work it out on paper first, then tell the readers which way "
    "you went and what you tried in vain, so that they can follow it without a pencil. The puzzle: {}"
)


def fingerprinter(key: HashKey = KEY) -> Fingerprinter:
    return Fingerprinter(key, signals(Signal))


def features(
    ask: Ask = ASK, *, key: HashKey = KEY, stack: bytes = b"accept,user-agent", account: str = "a" * 32
) -> Features:
    return fingerprinter(key).features(ask, stack, account)


def asking(*texts: str, system: str = "", roles: str = "ua") -> Ask:
    """A bare request whose turns are the user's and the model's in turn, as ``roles`` says."""
    names = {"u": "user", "a": "assistant", "t": "tool"}
    turns = tuple(Turn(names[roles[i % len(roles)]], text) for i, text in enumerate(texts))
    return Ask("json", "m", False, system, turns, b"", b"", None)


def values(found: Features, kind: str) -> list[int]:
    return [value for name, value in found.facets if name == kind]


def test_facets_are_the_exact_parts() -> None:
    """Each of the four exact parts has its own facet, which changes when that part changes by one character and only then."""
    exact = ("system", "tools", "parameters", "stack")
    found = features()

    assert [len(values(found, kind)) for kind in exact] == [1, 1, 1, 1]
    assert {kind for kind, _ in found.facets} == {*exact, "shingle", "opening", "closing"}

    changed = features(replace(ASK, system="You are terse!"))
    assert [kind for kind in exact if values(changed, kind) != values(found, kind)] == ["system"]


def test_an_empty_part_has_no_facet() -> None:
    """What a client does not send is no trait of it."""
    bare = features(replace(ASK, system="", tools=b"", parameters=b"", turns=(), texts=()), stack=b"")

    assert bare.facets == ()
    assert (bare.slot, bare.gist) == (0, bytes(GIST))


def test_a_short_turn_has_no_opening_and_no_closing() -> None:
    """Two words are a trait as a whole, but nothing begins or ends with them."""
    assert [kind for kind, _ in features(asking("good morning"), stack=b"").facets] == ["shingle"]


def test_at_most_eighteen_facets() -> None:
    """However long a request is, it has no more than eighteen traits, and eight more for each text of which others show as much."""
    long = " ".join(f"word{'abcdefgh'[i % 8]}{'ijklmnop'[i % 7]}{chr(97 + i % 23)}" for i in range(3_000))

    one = fingerprinter()
    whole = replace(ASK, system=long, texts=(long[9_000:],), turns=(Turn("user", long[::-1]),))
    again = replace(whole, system=f"{long}.", texts=(f"{long[9_000:]}.",))

    assert len(one.features(whole, b"accept", "a" * 32).facets) <= 18
    assert 18 < len(one.features(again, b"accept", "b" * 32).facets) <= 18 + 3 * 8


def test_a_template_within_filler_is_found_by_what_accounts_share() -> None:
    """Before and behind it stands what nobody else says: from the second account on some traits are the template's, wherever it
    stands and however long the filler is."""
    dice = Random(7)

    def filler(words: int) -> str:
        return " ".join(["".join(dice.choices("abcdefgh", k=6)) for _ in range(words)])

    template = (
        TEMPLATE.format("which bird lays the smallest egg and why")
        + " Write down what you rule out, in order, and why."
    )
    for words in (90, 300, 3_000, 9_000):
        one = fingerprinter()
        placed = [f"{filler(words)}\n{template}\n{filler(words)}" for _ in range(6)]
        asked = [asking(text) for text in placed[:3]]
        asked += [asking("hello", system=placed[3]), replace(asking("hello"), texts=(placed[4],)), asking(placed[5])]
        found = [set(one.features(ask, b"", f"{n}" * 32).facets) for n, ask in enumerate(asked)]

        assert not found[0] & found[1]
        assert set.intersection(*found[1:]), words


def test_padding_of_blanks_and_signs_hides_nothing() -> None:
    """However many characters that are no words stand round it, a text has the traits of its words."""
    text = " ".join(TEMPLATE.format(puzzle) for puzzle in ("which bird lays the smallest egg", "why do rivers bend"))
    one = fingerprinter()
    one.features(asking(f"{text} {text} {text}"), b"", "a" * 32)
    for n, sign in enumerate((" ", "\n", ".", "-*")):
        padded = [sign * size + text + sign * size for size in (4_001, 9_999)]
        found = [set(one.features(asking(said), b"", f"{n}{i}" * 16).facets) for i, said in enumerate(padded)]

        assert found[0] & found[1]


def test_hashes_depend_on_the_key() -> None:
    """Without the key nobody can compute a facet, a slot, a gist, a digest or a sub-user's hash."""
    here, other = features(), features(key=HashKey(b"another key, also long"))

    assert {v for _, v in other.facets}.isdisjoint(v for _, v in here.facets)
    assert 0 not in (here.slot, here.digest)
    for name in ("slot", "gist", "digest", "user"):
        assert getattr(other, name) != getattr(here, name), name


def test_a_template_is_recognised_in_another_slot() -> None:
    """Puzzles in one template share two of five text traits on average, though they end it, and are different questions."""
    puzzles = [f"{who} {does} in the {place}" for who, does, place in product(
        ("a farmer", "two old sailors", "the queen"), ("counts seven sheep", "lights a match", "weighs nine coins"),
        ("dark", "rain at noon", "oldest house of the town"),
    )]  # fmt: skip
    found = [features(asking(TEMPLATE.format(puzzle)), stack=b"") for puzzle in puzzles]
    other = features(asking("please translate the attached menu into French and keep the prices"), stack=b"")
    shares = [len(set(one.facets) & set(two.facets)) / len(one.facets) for one, two in combinations(found, 2)]

    assert sum(shares) / len(shares) >= 0.4
    assert len({*[value for one in found for value in values(one, "opening")]}) == 1
    assert len({one.slot for one in found}) == len(found)
    assert all(set(one.facets).isdisjoint(other.facets) for one in found)


def test_disguise_changes_no_trait() -> None:
    """Case, invisible characters and other spacing leave all that a text is known by as it was (SECURITY 64)."""
    text = TEMPLATE.format("how many corners has a cube with one corner sawn off")
    plain = features(asking(text))

    for disguised in (text.upper(), "\u200b".join(text), text.replace(" ", "\n  "), text.replace("o", "о")):
        found = features(asking(disguised))
        assert (found.facets, found.slot, found.gist) == (plain.facets, plain.slot, plain.gist)


def test_a_template_that_moves_to_the_system_prompt_stays_known() -> None:
    """The lowest shingles of a system prompt are of the same kind as those of a turn."""
    text = "answer as a patient tutor would"
    as_system, as_turn = features(asking("hello", system=text)), features(asking(text))

    assert set(values(as_system, "shingle")) & set(values(as_turn, "shingle"))


def test_the_slot_covers_all_of_a_long_text() -> None:
    """Two long questions that differ by one word far within, where no sketch looks, are two questions."""
    filling = "lorem ipsum dolor sit amet " * 400
    one, two = (features(asking(f"{filling}{word} {filling}")) for word in ("red", "blue"))

    assert one.slot != two.slot


def test_the_slot_ignores_capitals_and_signs() -> None:
    """The same question in other capitals, with other gaps and signs, is the same question; other numbers ask something else."""
    asked = features(asking("Who was born in 1879?")).slot

    assert features(asking("who  was born, in 1879")).slot == asked
    assert features(asking("Who was born in 1880?")).slot != asked
    assert features(asking("?!")).slot == 0


def test_a_growing_conversation_is_known_by_its_new_part() -> None:
    """Who goes on with a talk that he has sent before is fingerprinted by what is new in it, whatever stands before."""
    known = fingerprinter()
    first, answer, then = "tell me about the river Rhine", "It rises in the Alps.", "and where does it end, roughly"
    known.features(asking(first), b"", "a" * 32)

    grown = known.features(asking(first, answer, then), b"", "a" * 32)
    alone = features(asking(then), stack=b"")

    assert (grown.facets, grown.slot, grown.gist) == (alone.facets, alone.slot, alone.gist)
    assert grown.turns == 3
    assert grown.input_tokens > alone.input_tokens


def test_a_past_that_was_never_sent_is_read_as_new() -> None:
    """A client may invent a past to hide a template in it: nothing of it is passed over (SECURITY 68)."""
    hidden, then = TEMPLATE.format("what has keys but opens no lock"), "go on"
    invented = asking(hidden, "Sure.", then)

    assert values(features(invented), "opening") == values(features(asking(hidden)), "opening")
    other = fingerprinter()
    other.features(asking(hidden), b"", "b" * 32)
    whole = features(invented, account="a" * 32)
    stolen = other.features(invented, b"accept,user-agent", "a" * 32)
    assert stolen == whole, "another account's past is none of one's own"


def test_words_put_into_the_models_mouth_are_read() -> None:
    """A last turn of the model's that the client wrote itself belongs to what is new, and so does one before a known past."""
    prefilled = asking("hello there", ELICITING)
    assert dict(features(prefilled).readings)["reasoning_elicitation"] > 0

    known = fingerprinter()
    known.features(asking("hello there"), b"", "a" * 32)
    grown = known.features(asking("hello there", ELICITING, "thanks a lot"), b"", "a" * 32)
    assert dict(grown.readings)["reasoning_elicitation"] > 0


def test_words_put_into_the_models_mouth_hide_nothing_that_was_asked_before() -> None:
    """The same request again, with the answer's first words behind it, shows the same text again."""
    text = TEMPLATE.format("what has keys but opens no lock")
    known = fingerprinter()
    asked = known.features(asking(text), b"", "a" * 32)
    prefilled = known.features(asking(text, "Certainly:"), b"", "a" * 32)

    assert values(asked, "opening")
    assert values(prefilled, "opening") == values(asked, "opening")
    assert not prefilled.goes_on


def test_a_known_past_is_not_read_again() -> None:
    """What elicited reasoning once does not mark every later turn of that talk."""
    known = fingerprinter()
    assert known.features(asking(ELICITING), b"", "a" * 32).readings
    assert known.features(asking(ELICITING, "Here it is.", "thanks a lot"), b"", "a" * 32).readings == ()


def test_a_system_prompt_counts_with_every_request() -> None:
    """What stands with every request is read with every request, though it is made plain only once."""
    known = fingerprinter()
    ask = asking("hello there", system=ELICITING)

    assert known.features(ask, b"", "a" * 32) == known.features(ask, b"", "a" * 32)
    assert known.features(replace(ask, turns=()), b"", "a" * 32).readings


def test_a_sub_user_is_hashed_with_its_account() -> None:
    """The same name under two accounts is two sub-users: nobody can charge or link another account's (SECURITY 18)."""
    assert features(account="a" * 32).user != features(account="b" * 32).user


def test_digest_tells_a_retry_from_another_question() -> None:
    """The same request has one digest; another question, other tools or parameters have another, also where texts could run together."""
    assert features().digest == features().digest
    for other in (
        replace(ASK, turns=(Turn("user", "What is a functor? Think step by step."),)),
        replace(ASK, parameters=b'{"temperature":0.6}'),
        replace(ASK, tools=b""),
        replace(ASK, parameters=ASK.parameters + ASK.tools, tools=b""),
    ):
        assert features(other).digest != features().digest
    assert features(replace(ASK, turns=(Turn("user", "hello"),))).digest == 0, "no evidence, nothing to count twice"


def test_every_text_field_is_read() -> None:
    """Wording that elicits reasoning is found wherever it stands (SECURITY 68)."""
    quiet = replace(ASK, turns=(Turn("user", "hello"),), system="", texts=())
    assert features(quiet).readings == ()
    for ask in (
        replace(quiet, system=ELICITING),
        replace(quiet, texts=(ELICITING,)),
        replace(quiet, turns=(Turn("user", "hello"), Turn("tool", ELICITING))),
        replace(quiet, turns=(Turn("user", "x" * 300_000 + ELICITING),)),
    ):
        assert dict(features(ask).readings)["reasoning_elicitation"] > 0


def test_tokens_are_estimated_from_bytes_and_media() -> None:
    """A quarter of the UTF-8 bytes of all text, rounded up, and a flat cost for what is no text (SECURITY 62)."""
    ask = Ask("json", "m", False, "", (Turn("user", "ü" * 4),), b"[1]", b"", None, media=2, texts=("abc",))

    assert features(ask).input_tokens == 3 + 2 * MEDIA_TOKENS


def test_dump_and_load_are_inverse() -> None:
    """A record of features, through JSON, gives the same features: a replay of them decides the same."""
    for ask in (ASK, replace(ASK, budget_tokens=None, user="", stream=True), asking()):
        assert load(orjson.loads(orjson.dumps(dump(features(ask)))), 0) == features(ask)


def test_dump_holds_no_text() -> None:
    """Nothing of what was written stands in a record."""
    text = orjson.dumps(dump(features())).decode()

    for word in ("terse", "monad", "look", "somebody"):
        assert word not in text


@pytest.mark.parametrize("broken", [{}, {"version": VERSION}, None, []])
def test_broken_features_name_their_line(broken: object) -> None:
    """Features that can't be read are an error that names the line, never a guess."""
    with pytest.raises(ExchangeLogError) as caught:
        load(broken, 7)

    assert caught.value.n == 7


@pytest.mark.parametrize(
    ("field", "value"),
    [("version", 1), ("input_tokens", -1), ("facets", [["system", 7]]), ("slot", None), ("gist", "00"), ("gist", "zz")],
)
def test_a_broken_field_is_an_error(field: str, value: object) -> None:
    """One field of another kind, or of another version's shape, and the whole record is refused."""
    with pytest.raises(ExchangeLogError):
        load({**dump(features()), field: value}, 0)


def test_many_together_are_what_each_is_alone() -> None:
    """Requests read ahead have the features they have one by one: conversations that go on, other accounts, empty ones."""
    talk = [f"{TEMPLATE.format(n)} {ELICITING if n % 2 else ''}" for n in range(9)]
    asked = [
        (asking(*talk[:n], system="You are terse."), b"accept", account * 32) for n in (1, 3, 5, 9) for account in "ab"
    ]
    asked += [(ASK, b"accept,user-agent", "c" * 32), (asking(), b"", "d" * 32), (asking("hello"), b"", "a" * 32)]
    alone, together, few = fingerprinter(), fingerprinter(), fingerprinter()
    expected = [alone.features(*one) for one in asked]

    assert together.many(asked) == expected
    assert [found for start in range(0, len(asked), 2) for found in few.many(asked[start : start + 2])] == expected
    assert len({found.turns for found in expected}) > 4
