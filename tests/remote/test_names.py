"""Names in a shared store: plain, bounded, and never two things under one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.remote import names

ANY = st.text(max_size=40) | st.sampled_from(["a:b", "{x}", "}{", "*", "\r\n", "\0", "\ud800", "~", "x" * 70])


@given(whose=ANY)
def test_a_key_is_plain_and_bounded(whose: str) -> None:
    """Nothing that a client sends stands in a key but letters, digits, - and _, and the tag is all of what is hashed to a slot."""
    key = names.key(whose)

    assert len(key) <= 70
    assert key.startswith("g1:{")
    assert key.count("{") == key.count("}") == 1
    assert key.endswith("}")
    tag = key.removeprefix("g1:{").removesuffix("}").lstrip("~")
    assert tag
    assert tag.isascii()
    assert all(letter.isalnum() or letter in "-_" for letter in tag)


@given(one=st.tuples(ANY, ANY, ANY), other=st.tuples(ANY, ANY, ANY))
def test_two_meters_have_two_fields(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    """However their parts are cut."""
    fields = [names.meter(limit, unit, "0", rest) for limit, unit, rest in (one, other)]

    assert (fields[0] == fields[1]) == (one == other)
    assert all(len(field) == 8 for field in fields)


def test_siblings_differ_in_the_last_byte_only() -> None:
    """A window that a reload adds finds those beside it."""
    fields = [names.meter("free", "tokens", str(ordinal), "") for ordinal in range(9)]

    assert {field[:7] for field in fields} == {fields[0][:7]}
    assert [field[7] for field in fields] == list(range(9))
    assert names.meter("free", "tokens", "1000", "")[:7] == fields[0][:7]


def test_whose_record_it_is() -> None:
    """An account's own meters lie with it, whatever else they are counted by; what is shared lies by itself."""
    assert (
        names.owner("account", "abc") == names.owner("user", "abc/u") == names.owner("account/model", "abc/m") == "abc"
    )
    assert names.owner("org", "abc") == "org|abc"
    assert names.owner("model", "a") != names.owner("region", "a")
    assert names.key(names.owner("", "")) != names.key(names.owner("model", ""))
    assert names.rest("user/model", "abc/u/m") == "u/m"
    assert names.rest("model", "a/b") == ""
