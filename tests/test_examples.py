"""Every example runs: each one that serves is started as its docstring says and spoken to; the others are called.

The accounts and limits named here are those of ``examples/describe_accounts.py`` and the policy files beside it.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

from guard import config
from tests.populations import hydra, judge, log, people

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SERVING = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")
TESTED_BY_STEM = {"starlette_app", "fastapi_app", "json_endpoint", "describe_accounts"}


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Starts ``uvicorn --app-dir examples NAME:app`` on a free port and returns its URL; ends it after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str) -> str:
        command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "--port", "0", f"{name}:app"]
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        started.append(server)
        assert server.stderr is not None
        said = []
        for line in server.stderr:
            said.append(line)
            if found := SERVING.search(line):
                return found[1]
        raise AssertionError(f"{name} did not start:\n{''.join(said)}")

    yield start
    for server in started:
        server.terminate()
        server.communicate(timeout=10)


@pytest.mark.uvicorn
def test_starlette_app_answers_the_openai_client_and_keeps_the_trial_limit(serve: Callable[[str], str]) -> None:
    """A trial key gets five answers a minute, streamed or not; the sixth raises the SDK's own RateLimitError."""
    url = serve("starlette_app")
    with openai.OpenAI(base_url=f"{url}/v1", api_key="sk-trial-ada", max_retries=0) as client:

        def ask() -> str | None:
            answer = client.chat.completions.create(
                model="demo", messages=[{"role": "user", "content": "one two three"}], max_tokens=16
            )
            return answer.choices[0].message.content

        stream = client.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "one two three"}], max_tokens=16, stream=True
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "one two three"
        assert [ask() for _ in range(4)] == ["one two three"] * 4
        with pytest.raises(openai.RateLimitError) as limited:
            ask()
    assert 1 <= int(limited.value.response.headers["retry-after"]) <= 60
    assert httpx.get(f"{url}/health").json() == {"status": "fine"}


@pytest.mark.uvicorn
def test_fastapi_app_answers_both_clients(serve: Callable[[str], str]) -> None:
    """A paid key reads and streams in both dialects, and the route knows what guard decided."""
    url = serve("fastapi_app")
    with openai.OpenAI(base_url=f"{url}/v1", api_key="sk-paid-bob", max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="demo", messages=[{"role": "user", "content": "one two"}], max_tokens=16
        )
        assert raw.parse().choices[0].message.content == "one two"
        assert raw.headers["x-band"] == "low"
        stream = client.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "one two"}], max_tokens=16, stream=True
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "one two "
    with anthropic.Anthropic(base_url=url, api_key="sk-paid-bob", max_retries=0) as claude:
        said = claude.messages.create(model="demo", max_tokens=16, messages=[{"role": "user", "content": "one two"}])
        assert [block.text for block in said.content if block.type == "text"] == ["one two"]
        with claude.messages.stream(
            model="demo", max_tokens=16, messages=[{"role": "user", "content": "one two"}]
        ) as events:
            assert events.get_final_text() == "one two "
        assert events.get_final_message().usage.output_tokens == 2


@pytest.mark.uvicorn
def test_json_endpoint_is_judged_by_its_own_fields(serve: Callable[[str], str]) -> None:
    """Prompt and budget are found where the policy says: a body without the prompt is refused, a budget beyond the limit too."""
    url = serve("json_endpoint")
    with httpx.Client(base_url=url, headers={"authorization": "Bearer home-made"}) as client:

        def ask(body: object) -> httpx.Response:
            return client.post("/generate", json=body)

        assert ask({"prompts": "wrong key"}).status_code == 400
        assert ask({"inputs": "a b c", "parameters": {"max_new_tokens": 2}}).json() == {"generated_text": "b a"}
        dear = ask({"inputs": "a b c", "parameters": {"max_new_tokens": 1999}})
        assert dear.status_code == 429
        assert 1 <= int(dear.headers["retry-after"]) <= 60
        assert ask({"inputs": "a b c", "parameters": {"max_new_tokens": 20}}).status_code == 200


def test_describe_accounts_knows_its_owners_and_nobody_else() -> None:
    """The operator's callable states facts for a known key and None for a stranger's."""
    spec = importlib.util.spec_from_file_location("describe_accounts", EXAMPLES / "describe_accounts.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    facts = example.describe("sk-trial-ada")
    assert (facts.id, facts.tier, facts.verified) == ("ada", "trial", False)
    assert example.describe("sk-nobody") is None


def test_a_hydra_takes_no_more_than_the_policy_for_clusters_leaves_it() -> None:
    """Under the example's policy a campaign of light accounts is contained, and nobody else is touched."""
    policy = config.load((EXAMPLES / "clusters.toml").read_text(encoding="utf-8"), resolve=False)
    found = judge(log(hydra(1_000), people(60)), policy)
    assert found.leak("queue", 500) < 0.05
    assert found.touched("people") == []
    assert {limit.per for limit in policy.limits} == {("account",), ("cluster",)}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_every_policy_loads_without_a_warning(path: Path) -> None:
    """No example teaches what the server would complain of."""
    assert config.load_with_warnings(path.read_text(encoding="utf-8"), resolve=False).warnings == ()


def test_every_example_is_tested_here() -> None:
    """A new example must be added to the tests of this file."""
    assert {path.stem for path in EXAMPLES.glob("*.py")} == TESTED_BY_STEM
