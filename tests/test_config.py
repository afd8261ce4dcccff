"""The policy file: what is right loads, what is wrong is named, all of it at once, and no key is dead.

``policies/good`` and ``policies/bad`` are data: dropping a file in is adding a test. A bad one says what is expected in its
first lines: ``# expect: <place> | <part of the message>``, one for each mistake.
"""

from __future__ import annotations

import json
import os
import re
import time
import tomllib
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from guard import schema
from guard.compiling import Origin, compile_policy
from guard.config import MOST_BYTES, json_schema, load, load_with_warnings, parse, preset, presets
from guard.errors import PolicyError
from guard.mistakes import Mistakes
from guard.settings import Policy, Window
from guard.types import Route

FOLDER = Path(__file__).parent / "policies"
GOOD, BAD = sorted((FOLDER / "good").glob("*.toml")), sorted((FOLDER / "bad").glob("*.toml"))
NOW = 1_800_000_000.0


def mistakes_of(source: str | bytes | Path) -> PolicyError:
    """The error of a policy that must have one."""
    with pytest.raises(PolicyError) as caught:
        parse(source, "the test") if isinstance(source, bytes) else load(source)
    return caught.value


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_policy_loads_without_warnings(path: Path) -> None:
    """Each file of ``policies/good``."""
    policy, warnings = load_with_warnings(path, now=NOW)
    assert warnings == ()
    assert policy.source == str(path)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_every_mistake_is_named_at_once(path: Path) -> None:
    """Each file of ``policies/bad``: exactly the expected mistakes, each at its place and on a line that exists."""
    text = path.read_text()
    expected = [
        line.removeprefix("# expect: ").split(" | ") for line in text.splitlines() if line.startswith("# expect: ")
    ]
    assert expected, "say what is expected in the first lines"
    left = list(mistakes_of(path).problems)
    for place, part in expected:
        found = [problem for problem in left if problem.place == place and part in str(problem)]
        assert found, f"missing: {place} | {part}\nleft: {[str(problem) for problem in left]}"
        left.remove(found[0])
        assert 0 <= found[0].line <= text.count("\n") + 1
    assert not left, [str(problem) for problem in left]


def test_there_are_plenty_of_bad_policies() -> None:
    """The folder is the specification of what is refused."""
    assert len(BAD) >= 40
    assert len(GOOD) >= 5


@pytest.mark.parametrize("name", presets())
def test_every_shipped_policy_loads_without_warnings(name: str) -> None:
    """By its name, and as the file it is; it refers to nothing that could be missing."""
    policy, warnings = load_with_warnings(name, now=NOW)
    assert warnings == ()
    assert policy.source == name
    assert load(preset(name)).rules == policy.rules


def test_observe_is_standard_that_only_watches() -> None:
    """What ``guard init`` writes differs from what is measured in the one switch."""
    observe, standard = load("observe"), load("standard")
    assert (observe.mode, standard.mode) == ("observe", "enforce")
    assert replace(observe, mode="enforce", source=standard.source, digest=standard.digest) == standard


def test_the_shipped_examples_in_comments_are_right() -> None:
    """Every commented key of ``observe`` loads once the comment signs are gone."""
    text = preset("observe")
    text = re.sub(r'(?m)^# (?=\[|\]|  ["{]|[a-z_]+ = |")', "", text).replace("#: ", "")
    policy = load(text, resolve=False)
    assert {"account", "free", "spend"} == {limit.id for limit in policy.limits}
    assert "embargo" in {rule.id for rule in policy.rules}
    assert policy.protect.routes
    assert policy.trust.hops
    assert policy.grants
    assert policy.admin.socket


def test_a_file_that_says_nothing_is_the_settings_defaults() -> None:
    """``schema.py`` and ``settings.py`` say the same when a file is silent."""
    policy = load("version = 1\n")
    assert replace(policy, source="built in", digest="") == Policy()


def test_the_shape_of_the_design_compiles_to_what_it_says() -> None:
    """Routes, limits, rules, grants and prices of a whole file, value by value."""
    policy = load(FOLDER / "good" / "shop.toml", resolve=False)
    assert policy.protect.routes == (
        Route("/v1/*", ""),
        Route("/complete", "json", (("prompt", "text"),)),
    )
    assert policy.identity.describe is None
    trial = policy.limits[0]
    assert trial.per == ("account",)
    assert trial.requests == (Window(10, 60), Window(300, 86_400))
    assert trial.tokens == (Window(150_000, 86_400),)
    assert (trial.concurrent, trial.mode) == (2, "enforce")
    known, maybe = policy.rules
    assert (known.action, known.mode) == ("refuse", "enforce")
    assert (maybe.action, maybe.mode) == ("degrade", "shadow")
    assert dict(maybe.options) == {"notice": "header", "reductions": ("logprobs", "reasoning")}
    assert policy.grants[0].subject == "org:lab"
    assert policy.grants[0].until == 4_086_547_200.0, "the end of that day, UTC"
    assert [(price.pattern, price.input, price.output) for price in policy.prices] == [("claude-*", 3.0, 15.0)]


def test_the_callable_is_imported_only_where_it_is_asked_for() -> None:
    """``resolve`` False checks a file on a machine that hasn't the operator's code."""
    text = 'version = 1\n[identity]\ndescribe = "json:loads"\n'
    assert load(text).identity.describe is json.loads
    assert load(text, resolve=False).identity.describe is None
    assert load(text.replace("json:", "no_such_shop:"), resolve=False)


@pytest.mark.parametrize(
    "body", ["raise RuntimeError('no database')", "def describe(:\n", "import no_such_module", "1 / 0"]
)
def test_a_module_that_fails_on_import_is_a_mistake_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    """The operator reads why, on one line."""
    (tmp_path / "broken_shop.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    (problem,) = mistakes_of('version = 1\n[identity]\ndescribe = "broken_shop:describe"\n').problems
    assert "can't be imported" in problem.message
    assert "\n" not in str(problem)


# -- what isn't even TOML ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "part", "line"),
    [
        (b"", "is empty", 0),
        (b" \n\t\r\n", "is empty", 0),
        (b"version = 1\nmode = '\xff'\n", "isn't UTF-8", 2),
        (b"\xff\xfev\x00e\x00r\x00", "isn't UTF-8", 1),
        (b"version = 1\n\x00", "isn't TOML", 2),
        (b"version = 1\nx = " + b"[" * 50_000, "nested too deep", 0),
        (b"version = 1\nx = " + b"{a=" * 50_000, "nested too deep", 0),
        (b"version = 1\na" + b".a" * 100_000 + b" = 1", "nested too deep", 0),
        (b'version = 1\n["a"' + b' . "a"' * 100_000 + b"]", "nested too deep", 0),
        (b"version = 1\nlimit" + b".a" * 40 + b" = 1", "nested too deep", 0),
        (b"# " + b"x" * MOST_BYTES, "is larger than", 0),
        (b"version: 1\nmode: observe\n", "isn't TOML", 1),
        (b'{"version": 1}', "isn't TOML", 1),
        (b"a: &a [x, x]\nb: &b [*a, *a]\n!!python/object:os.system {}\n", "isn't TOML", 1),
    ],
)  # fmt: skip
def test_what_is_no_toml_is_one_mistake(data: bytes, part: str, line: int) -> None:
    """Truncated, in another encoding, too large, too deep, another format: said in one sentence, quickly."""
    (problem,) = mistakes_of(data).problems
    assert part in str(problem)
    assert problem.line == line


def test_thousands_of_mistakes_are_told_in_a_moment() -> None:
    """A running guard reads the file between requests: the time grows with the mistakes, not with their square."""
    broken = "".join(f'[[limit]]\nid = "l{n}"\npeer = ["account"]\nrequests = "1/dy"\n' for n in range(5000))
    began = time.perf_counter()
    with pytest.raises(PolicyError) as caught:
        load("version = 1\n" + broken)

    assert len(caught.value.problems) == 15_000
    assert time.perf_counter() - began < 3


def test_files_that_cant_be_read_are_mistakes(tmp_path: Path) -> None:
    """Missing, a folder, a device, a pipe, a gigabyte, a name with NUL: never a hang, never another exception."""
    assert "No such file" in str(mistakes_of(tmp_path / "missing.toml"))
    assert "regular file" in str(mistakes_of(tmp_path))
    assert "regular file" in str(mistakes_of(Path("/dev/zero")))
    os.mkfifo(tmp_path / "pipe")
    assert "regular file" in str(mistakes_of(tmp_path / "pipe"))
    with (tmp_path / "huge.toml").open("wb") as file:
        file.truncate(1 << 30)
    assert "larger than" in str(mistakes_of(tmp_path / "huge.toml"))
    assert "NUL" in str(mistakes_of(Path("a\0b.toml")))
    assert "did you mean 'standard'?" in str(mistakes_of("standrad"))


def test_a_secret_in_the_wrong_place_is_not_repeated() -> None:
    """Values of unknown keys and of credential settings stay out of the message."""
    text = (
        'version = 1\ntoken = "sk-canary-1"\n[identity]\ncredential = ["sk canary-2"]\ncookie = "sk canary-3"\n'
        '[admin]\npassword = "sk-canary-4"\ntoken_file = 5\n'
    )
    error = mistakes_of(text)
    assert len(error.problems) == 5
    assert "canary" not in str(error)


def test_messages_hold_no_control_characters() -> None:
    """Keys and values are escaped and shortened, whatever they are."""
    text = (
        'version = 1\n"a\\u001b[31m\\n" = 1\nmode = "\\u001b[2J\\r\\nobserve"\n[grants]\n"x\\ny" = { why = "'
        + "y" * 999
        + '" }\n'
    )
    for problem in mistakes_of(text).problems:
        assert str(problem).isprintable()
        assert len(str(problem)) < 400


def test_mistakes_stand_in_the_order_of_the_file() -> None:
    """Whoever reads from top to bottom works from top to bottom."""
    error = mistakes_of("version = 1\n[[rule]]\nid = 5\n[[limit]]\nid = 6\n[body]\nmax_depth = 0\n[[rule]]\nmode = 4\n")
    lines = [problem.line for problem in error.problems]
    assert lines == sorted(lines)
    assert [problem.place for problem in error.problems][:2] == ["rule[0].action", "rule[0].id"]


def test_one_mistake_doesnt_hide_another() -> None:
    """A wrong key in an entry leaves its other keys checked, and nothing that only follows from it is reported."""
    error = mistakes_of(
        'version = 1\n[[limit]]\nid = "a"\nper = ["acount"]\nrequests = 20\nwhen = { band = "suspekt" }\n'
        '[[rule]]\nid = "x"\naction = "refuze"\nwhen = { teir = "free" }\n[[rule]]\nid = "x"\naction = "tag"\n'
    )
    assert [problem.place for problem in error.problems] == [
        'limit[0] "a".per[0]', 'limit[0] "a".requests', 'limit[0] "a".when.band',
        'rule[0] "x".action', 'rule[0] "x".when.teir', 'rule[1] "x".id',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('[grants]\n"org:a" = { until = 2020-01-01, why = "x" }', "has passed"),
        ('[trust]\nhops = ["10.0.0.0/8"]', "changes nothing"),
        ('[trust]\nhops = ["0.0.0.0/0"]\naddress = "x-real-ip"', "believes every client"),
        ('[[rule]]\nid = "a"\nwhen = { country = "KP" }\naction = "refuse"', "country is always unknown"),
        ('[[limit]]\nid = "a"\nper = []\nrequests = "1/day"\nwhen = { tier = "free" }', "tier is always unknown"),
        ('[[limit]]\nid = "a"\nper = ["family"]\nrequests = "1/day"', "some ten families"),
        ('[[limit]]\nid = "a"\nper = ["cluster"]\nconcurrent = 4', "not counted per cluster"),
        ('[[limit]]\nid = "a"\nper = []\nrequests = "20/minute; 20/day"', "never bites"),
        ('mode = "enforce"', "enforces nothing but ceilings: no limit"),
        ('mode = "enforce"\n[ceilings]\nmode = "shadow"', "enforces nothing: no limit"),
        ("[record]\nbodies = true", "records nothing"),
        ('[admin]\ntoken_file = "t"', "only asked for over tcp"),
        (
            '[protect]\nroutes = [{ path = "/g", dialect = "json", prompt = "p" }]\n'
            '[[rule]]\nid = "a"\naction = { degrade = ["budget", "reasoning", "pace"] }',
            "limits instead of degrading on routes of json: no reasoning there",
        ),
    ],
)
def test_what_will_not_do_what_it_seems_to_is_a_warning(text: str, part: str) -> None:
    """The policy can be used; the operator is told."""
    _, warnings = load_with_warnings(f"version = 1\n{text}\n", now=NOW)
    assert len(warnings) == 1
    assert part in str(warnings[0])


# -- no dead keys, no undescribed keys --------------------------------------------------------------------------------


def tables(model: type[BaseModel]) -> set[type[BaseModel]]:
    """The model and every model in its fields."""
    found = {model}
    hints = get_type_hints(model, include_extras=True)
    for name in [*model.model_fields, "__pydantic_extra__"]:
        for part in parts_of(hints.get(name)):
            found |= tables(part) if part not in found else set()
    return found


def parts_of(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return set().union(*(parts_of(part) for part in get_args(annotation)), set())


def compiled(raw: dict[str, Any]) -> Policy | str:
    """The policy of a raw table, or what is wrong with it."""
    mistakes = Mistakes()
    try:
        table = schema.PolicyTable.model_validate(raw)
    except ValidationError as error:
        return str(error)
    places = {"limit": list(range(len(table.limit))), "rule": list(range(len(table.rule))),
              "routes": list(range(len(table.protect.routes)))}  # fmt: skip
    policy = compile_policy(table, places, Origin("", "", True), mistakes)
    return "mistakes" if mistakes else policy


def every_key(table: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every key in a raw table, at any depth, conditions left out."""
    entries = table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else ()
    found = []
    for key, value in entries:
        found.append((*path, key))
        if key != "when":
            found += every_key(value, (*path, key))
    return found


def without(raw: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    """A copy of the table without that key."""
    copy = deepcopy(raw)
    holder: Any = copy
    for part in path[:-1]:
        holder = holder[part]
    del holder[path[-1]]
    return copy


def test_every_key_of_the_file_changes_something() -> None:
    """Take any one key out of a file that has them all: the policy is another one, or it says what is missing."""
    raw = tomllib.loads((FOLDER / "good" / "everything.toml").read_text())
    raw["score"] = {"weights": __file__}
    assert without(raw, ("ceilings", "mode"))["ceilings"] == {}
    for rule in raw["rule"]:
        if isinstance(rule["action"], str):
            rule["action"] = {rule["action"]: True}
    whole = compiled(raw)
    assert isinstance(whole, Policy)
    used = {path[-1] for path in every_key(raw) if compiled(without(raw, path)) != whole}
    keys = {key for model in tables(schema.PolicyTable) for key in model.model_fields}
    assert keys - used == set()
    for path in every_key(raw):
        if isinstance(path[-1], str) and path[-1] not in ("mode", "told", "per"):
            assert compiled(without(raw, path)) != whole, path


def test_the_json_schema_knows_every_key() -> None:
    """Editors complete what the loader takes; conditions too, with their closed sets of words."""
    published = json_schema()
    text = json.dumps(published)
    for model in tables(schema.PolicyTable):
        assert all(f'"{key}"' in text for key in model.model_fields)
    condition = published["$defs"]["Condition"]
    assert published["$defs"]["RuleTable"]["properties"]["when"] == {"$ref": "#/$defs/Condition"}
    assert {"enum": ["low", "watch", "suspect", "confirmed"]} in condition["properties"]["band"]["anyOf"]
    assert condition["properties"]["not"] == {"$ref": "#/$defs/Condition"}
    assert "default" not in published["properties"]["body"]
    assert published["$defs"]["BodyTable"]["properties"]["timeout"]["default"] == "10 s"


def test_the_presets_are_found_in_the_package() -> None:
    """Through importlib.resources, so that they are found in a wheel too."""
    shipped = {entry.name for entry in (resources.files("guard") / "policies").iterdir()}
    assert {f"{name}.toml" for name in presets()} <= shipped
    assert {"observe", "standard", "small", "large"} == set(presets())


def test_the_digest_is_that_of_the_bytes() -> None:
    """Two texts with one meaning are two versions of a policy: the audit names the text that was in force."""
    one, other = load("version = 1\n"), load("version = 1 \n")
    assert one.digest != other.digest
    assert re.fullmatch("[0-9a-f]{16}", one.digest)


_KEYS = st.sampled_from(
    ["version", "mode", "protect", "routes", "limit", "rule", "id", "per", "when", "action", "grants", "models", "x"]
)
_VALUES = st.recursive(
    st.none().map(lambda _: "x") | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(_KEYS, _VALUES, max_size=6))
def test_any_table_is_a_policy_or_a_policy_error(table: dict[str, Any]) -> None:
    """Whatever is written, the loader says what is wrong with it and raises nothing else."""
    text = "".join(f"{json.dumps(key)} = {_toml(value)}\n" for key, value in table.items()) or "\n"
    with suppress(PolicyError):
        load(text + "\n")


def _toml(value: Any) -> str:
    """A value as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    if isinstance(value, str):
        return json.dumps(value.replace("\x7f", "")).encode("ascii", "ignore").decode()
    return repr(value).lower()
