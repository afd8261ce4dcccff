"""The architecture, checked: imports point down, plug-ins stand alone, foreign packages appear where they must, names are good.

Each check takes the project's root and returns sentences, one for each breach; the last tests prove on synthetic trees that
every check can fail.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = ("dialects", "signals", "actions", "reductions", "stores")

# Module (or folder) → layer. A layer imports from the layers below it and, where it is in PEERS, from its own.
# Words are frozen values and functions from value to value; stages hold what a running guard knows of one concern.
LAYERS: dict[int, set[str]] = {
    0: {
        "errors", "types", "talk", "heard", "settings", "clock", "hashing", "recent", "eager",
        "addresses", "countries", "origin", "geo", "networks", "travel", "peers", "paths", "framing", "routes", "credentials", "layout", "keys",
        "sse", "reading", "counting", "problem", "scanning",
        "conditions", "quantities", "decision", "charges", "tariffs", "meters", "cells", "subjects", "leases", "skeleton", "workers",
        "fields", "degrading", "notice", "waiting",
        "lines", "journal", "logs", "openai_items", "openai_shape", "gemini_content", "prompts", "forwarding", "explanation", "loosening", "samples", "plain", "sketch", "passages", "likelihoods", "firms", "unions", "together", "unjudged", "standing", "described",
    },
    1: {"contracts", "registry", "remote"},
    2: set(PLUGINS),
    3: {
        "call", "region", "identity", "body", "fingerprint", "scoring", "policy", "limiter", "words", "stream", "rewriting", "tempo",
        "recorder", "metrics", "snapshot", "recognition", "feedback", "conversations",
    },
    4: {
        "places", "wording", "mistakes", "schema", "mending", "when", "compiling", "checks", "config", "reload", "endpoints",
        "compiled", "answering", "understanding", "operated", "saving", "storing", "pipeline", "pacing", "collecting", "health", "control", "fleet", "store_condition", "installation",
    },
    5: {
        "background", "describing", "responder", "treatment", "reshaping", "presence", "middleware", "admission", "leaving", "transport", "upstream", "gateway", "asked", "outstanding", "asking", "testing", "exposition", "admin_token", "admin", "channel", "replay", "calibration",
        "demo", "bench", "simulation", "cli", "__init__", "__main__",
    },
}  # fmt: skip
NAMES = {
    0: "words",
    1: "contracts",
    2: "plug-ins",
    3: "stages",
    4: "assembly",
    5: "edges",
}
PEERS = {0, 1, 4, 5}

# Foreign package → where it may be imported: modules, folders, or a layer's number.
FOREIGN: dict[str, set[str | int]] = {
    "starlette": {5},
    "httpx": {5},
    "httpx_aiohttp": {"transport"},
    "multidict": {"transport"},
    "aiohttp": {"transport"},
    "uvicorn": {5},
    "redis": {"stores", "remote", "fleet", "cli"},
    "orjson": {
        "dialects",
        "openai_shape",
        "reading",
        "body",
        "stream",
        "rewriting",
        "tempo",
        "recorder",
        "fleet",
        "snapshot",
        "replay",
        "calibration",
        "admin",
        "cli",
        "demo",
        "simulation",
    },
    "pydantic": {"config", "schema", "mistakes", "wording"},
    "pydantic_core": {"wording"},
    "limits": {"quantities"},
    "prometheus_client": {"metrics"},
    "matplotlib": {"bench"},
    "hyperscan": {"scanning"},
    "maxminddb": {"geo"},
    "numpy": {"samples", "sketch", "likelihoods", "firms", "signals", "recognition", "calibration"},
}
# The pipeline and its edge: what they catch is recorded and answered. The responder and the admission run the
# operator's callable; eager hands what it catches on to a coroutine.
MAY_CATCH_ALL = {"pipeline", "understanding", "middleware", "describing", "eager"}
TOP_LEVEL = {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "guard", "tests", "examples", "benchmarks"}
BUILT = ("*.egg-info", "build", "dist", "guard-state", "__pycache__")
MOST_LINES = 400
BAD_NAME = re.compile(r"(^|_)(utils?|helpers?|managers?|handlers?|misc|common|v\d+)$")
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    """(dotted name below ``guard``, file) of every module, by name; ``guard/cli/__init__.py`` is ``cli``."""
    for path in sorted((root / "guard").rglob("*.py")):
        parts = path.relative_to(root / "guard").with_suffix("").parts
        yield ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts), path


def layer_of(module: str) -> int | None:
    """The layer of a module below ``guard``; None: it is in no layer."""
    first = module.partition(".")[0]
    return next((layer for layer, names in LAYERS.items() if first in names), None)


def imported(path: Path, known: set[str]) -> Iterator[tuple[int, str]]:
    """(line, name) of every import, at the top or inside; ``guard.x`` for our own module x, ``guard`` for the public face."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = "guard" if node.level else node.module or ""
            for alias in node.names:
                below = f"{source}.{alias.name}".removeprefix("guard.")
                yield node.lineno, f"guard.{below}" if source.startswith("guard") and below in known else source


def upward_imports(root: Path) -> list[str]:
    """Imports that don't point down, and modules without a layer."""
    breaches = []
    known = {module for module, _ in modules(root)}
    for module, path in modules(root):
        layer = layer_of(module)
        if layer is None:
            breaches.append(
                f"guard/{path.relative_to(root / 'guard')}: is in no layer; decide which one and add "
                f"{module.partition('.')[0]!r} to LAYERS in tests/test_layers.py"
            )
            continue
        for line, name in imported(path, known):
            if name != "guard" and not name.startswith("guard."):
                continue
            target = name.removeprefix("guard").removeprefix(".") or "__init__"
            below = layer_of(target)
            where = f"guard/{path.relative_to(root / 'guard')}:{line}"
            own = target.partition(".")[0] == module.partition(".")[0]
            if target in PLUGINS or below is None:
                continue  # a bare plug-in folder holds nothing to import; a module without a layer is reported by itself
            if below == 2 and layer != 2:
                breaches.append(f"{where}: names the plug-in {target}; plug-ins are found by guard.registry")
            elif below == 2 and target != module:
                breaches.append(f"{where}: plug-ins never import each other ({target})")
            elif below > layer or (below == layer and layer not in PEERS and not own):
                breaches.append(f"{where}: {NAMES[layer]} must not import {target} ({NAMES[below]})")
            elif layer == 5 and target.startswith("cli") and module.partition(".")[0] not in {"cli", "__main__"}:
                breaches.append(f"{where}: nothing but the command line imports the command line")
    return breaches


def misplaced_packages(root: Path) -> list[str]:
    """Foreign packages outside the modules that may use them."""
    breaches = []
    for module, path in modules(root):
        allowed_here = {module, module.partition(".")[0], layer_of(module)}
        for line, name in imported(path, set()):
            package = name.partition(".")[0]
            if package in sys.stdlib_module_names or package in {"guard", "__future__"}:
                continue
            if package not in FOREIGN:
                breaches.append(f"guard/{path.relative_to(root / 'guard')}:{line}: {package} is no declared package")
            elif not FOREIGN[package] & allowed_here:
                places = ", ".join(sorted(f"layer {p}" if isinstance(p, int) else p for p in FOREIGN[package]))
                breaches.append(
                    f"guard/{path.relative_to(root / 'guard')}:{line}: {package} may be imported only in {places}"
                )
    return breaches


def broad_excepts(root: Path) -> list[str]:
    """``except:``, ``except Exception`` and ``except BaseException`` outside the two places that record what they catch."""
    breaches = []
    for module, path in modules(root):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ExceptHandler) or module in MAY_CATCH_ALL:
                continue
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            names = {name.id for name in caught if isinstance(name, ast.Name)}
            if node.type is None or names & {"Exception", "BaseException"}:
                breaches.append(f"guard/{path.relative_to(root / 'guard')}:{node.lineno}: catches everything")
    return breaches


def bad_files(root: Path) -> list[str]:
    """Files that are too long, or whose name says nothing."""
    breaches = []
    for module, path in modules(root):
        lines = len(path.read_text().splitlines())
        if lines > MOST_LINES:
            breaches.append(f"{path.relative_to(root)}: {lines} lines; at most {MOST_LINES}: it has two subjects")
        if any(BAD_NAME.search(part) for part in module.split(".")):
            breaches.append(f"{path.relative_to(root)}: a name that says nothing about its subject")
    return breaches


def plugins_without_test(root: Path) -> list[str]:
    """Plug-ins without the test file that mirrors them."""
    return [
        f"guard/{kind}/{path.name}: needs tests/{kind}/test_{path.name}"
        for kind in PLUGINS
        for path in sorted((root / "guard" / kind).glob("*.py"))
        if path.stem != "__init__" and not (root / "tests" / kind / f"test_{path.name}").is_file()
    ]


def stray_entries(root: Path) -> list[str]:
    """What stands at the top of the repository and has no place there. Dotfiles and build products are left alone."""
    return [
        f"{path.name}: the top of the repository holds only {', '.join(sorted(TOP_LEVEL))} and dotfiles"
        for path in sorted(root.iterdir())
        if path.name not in TOP_LEVEL
        and not path.name.startswith(".")
        and not any(fnmatch(path.name, pattern) for pattern in BUILT)
    ]


def unfinished(root: Path) -> list[str]:
    """Marks of unfinished work in any Python file of the repository."""
    return [
        f"{path.relative_to(root)}:{number}: unfinished ({line.strip()[:60]})"
        for folder in ("guard", "tests", "examples", "benchmarks")
        for path in sorted((root / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if UNFINISHED.search(line)
    ]


CHECKS = [upward_imports, misplaced_packages, broad_excepts, bad_files, plugins_without_test, stray_entries, unfinished]


@pytest.mark.parametrize("check", CHECKS)
def test_the_project_keeps_its_architecture(check: Callable[[Path], list[str]]) -> None:
    """No check finds a breach; the message names each one with its place."""
    breaches = check(ROOT)
    assert not breaches, "\n".join(["", *breaches])


def test_every_layer_entry_stands_for_a_module() -> None:
    """The tables of this file name nothing that is gone."""
    there = {module.partition(".")[0] for module, _ in modules(ROOT)}
    assert {name for names in LAYERS.values() for name in names} - there == set()
    places = {place for allowed in FOREIGN.values() for place in allowed if isinstance(place, str)}
    assert places - there == set()


BREACHES: list[tuple[Callable[[Path], list[str]], str, str, str]] = [
    (upward_imports, "guard/types.py", "from guard.pipeline import Guard", "words must not import pipeline"),
    (upward_imports, "guard/types.py", "import guard.pipeline", "words must not import pipeline"),
    (upward_imports, "guard/types.py", "from guard import pipeline", "words must not import pipeline"),
    (upward_imports, "guard/types.py", "from . import pipeline", "words must not import pipeline"),
    (upward_imports, "guard/limiter.py", "def f():\n    from guard.scoring import Scoring", "must not import scoring"),
    (upward_imports, "guard/actions/allow.py", "from guard.actions.tag import Tag", "never import each other"),
    (upward_imports, "guard/pipeline.py", "from guard.actions.tag import Tag", "found by guard.registry"),
    (upward_imports, "guard/config.py", "from guard import GuardMiddleware", "must not import __init__"),
    (upward_imports, "guard/middleware.py", "from guard.cli import main", "nothing but the command line"),
    (upward_imports, "guard/newcomer.py", "", "add 'newcomer' to LAYERS"),
    (misplaced_packages, "guard/policy.py", "from starlette.types import Scope", "starlette may be imported only in"),
    (misplaced_packages, "guard/types.py", "import orjson", "orjson may be imported only in"),
    (misplaced_packages, "guard/cli/show.py", "import rich", "rich is no declared package"),
    (broad_excepts, "guard/limiter.py", "try:\n    f()\nexcept Exception:\n    pass", "guard/limiter.py:3"),
    (broad_excepts, "guard/limiter.py", "try:\n    f()\nexcept (OSError, BaseException):\n    pass", "everything"),
    (broad_excepts, "guard/limiter.py", "try:\n    f()\nexcept:\n    pass", "everything"),
    (bad_files, "guard/call.py", "x = 1\n" * 401, "401 lines"),
    (bad_files, "guard/time_utils.py", "", "says nothing"),
    (bad_files, "guard/limiter_v2.py", "", "says nothing"),
    (plugins_without_test, "guard/stores/disk.py", "", "needs tests/stores/test_disk.py"),
    (stray_entries, "notes.txt", "", "notes.txt"),
    (unfinished, "tests/test_x.py", "# TO" + "DO later", "tests/test_x.py:1"),
]


@pytest.mark.parametrize(("check", "path", "source", "expected"), BREACHES)
def test_each_check_finds_its_breach(
    tmp_path: Path, check: Callable[[Path], list[str]], path: str, source: str, expected: str
) -> None:
    """A tree with one breach is reported once, in words that say what is wrong."""
    tidy = {"__init__", "types", "pipeline", "scoring", "middleware", "config", "actions/tag", "cli/__init__"}
    for name in sorted(tidy):
        (tmp_path / f"guard/{name}.py").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"guard/{name}.py").write_text("")
    (tmp_path / "tests/actions").mkdir(parents=True)
    (tmp_path / "tests/actions/test_tag.py").write_text("")
    assert [found for each in CHECKS for found in each(tmp_path)] == []
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(source)
    breaches = check(tmp_path)
    assert len(breaches) == 1
    assert expected in breaches[0]


def test_what_is_allowed_is_not_reported(tmp_path: Path) -> None:
    """Imports downwards, in type-checking blocks too, and catching all in the pipeline are no breach."""
    allowed = {
        "guard/pipeline.py": "import guard.limiter\ntry:\n    f()\nexcept Exception:\n    pass",
        "guard/limiter.py": "from guard.contracts import Store\nfrom guard.types import Charge\nimport json",
        "guard/middleware.py": "from starlette.types import Scope\nfrom guard.pipeline import Guard",
        "guard/stores/redis.py": "import redis.asyncio\nfrom guard.contracts import Charge",
        "guard/contracts.py": "",
        "guard/types.py": "from guard.errors import GuardError",
        "guard/errors.py": "",
        "tests/stores/test_redis.py": "",
    }
    for name, source in allowed.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    assert [breach for check in CHECKS for breach in check(tmp_path)] == []
