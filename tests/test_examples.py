"""Every example runs: each one that serves is started as its docstring says and spoken to; the others are called.

The accounts and limits named here are those of ``examples/describe_accounts.py`` and the policy files beside it.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

from guard import config, forwarding
from guard.cli.serve import arguments
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


# -- deployments -------------------------------------------------------------------------------------------------------

SERVED = re.compile(r"guard serve ((?:[^\n\\#]|\\\n#?)*)")


def served(name: str) -> argparse.Namespace:
    """The options of the first `guard serve` in an example, as the command itself reads them."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    if name == "kubernetes.yaml":
        words = re.findall(r"^ +- (serve|--\S+)", text, re.MULTILINE)[1:]
    else:
        found = SERVED.search(text.replace("guard \\\n#        serve", "guard serve"))
        assert found is not None
        words = found[1].split()
    parser = argparse.ArgumentParser()
    arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize("name", ["nginx.conf", "guard.service", "Containerfile", "kubernetes.yaml"])
def test_every_deployment_starts_guard_with_options_that_it_has(name: str) -> None:
    """Each command line is one that `guard serve` takes, in front of an upstream that it takes."""
    assert forwarding.upstream_of(served(name).upstream).origin.startswith("http://")


def test_whoever_stops_guard_waits_longer_than_guard_does() -> None:
    """systemd, containers and Kubernetes would cut the streams that guard lets end."""
    unit = (EXAMPLES / "guard.service").read_text(encoding="utf-8")
    pod = (EXAMPLES / "kubernetes.yaml").read_text(encoding="utf-8")
    container = (EXAMPLES / "Containerfile").read_text(encoding="utf-8")
    for text, pattern, unit_s, options in (
        (unit, r"TimeoutStopSec=(\d+)min", 60, served("guard.service")),
        (pod, r"terminationGracePeriodSeconds: (\d+)", 1, served("kubernetes.yaml")),
        (container, r"--stop-timeout (\d+)", 1, served("Containerfile")),
    ):
        stated = re.search(pattern, text)
        assert stated is not None
        assert int(stated[1]) * unit_s > options.drain + options.shutdown_timeout
        assert options.shutdown_timeout >= options.read_timeout


def test_probes_are_those_that_guard_answers() -> None:
    """And the public can't reach them."""
    options = served("kubernetes.yaml")
    pod = (EXAMPLES / "kubernetes.yaml").read_text(encoding="utf-8")
    assert re.findall(r"httpGet: \{ path: (\S+),", pod) == [options.healthz, options.readyz]
    closed = re.findall(r"location = (\S+) \{ return 404; \}", (EXAMPLES / "nginx.conf").read_text(encoding="utf-8"))
    assert closed == [options.healthz, options.readyz]


def test_the_policy_in_the_manifest_loads() -> None:
    """Without a warning, and with its state where the volume is."""
    lines = (EXAMPLES / "kubernetes.yaml").read_text(encoding="utf-8").splitlines()
    at = lines.index("  guard.toml: |")
    text = "\n".join(itertools.takewhile(lambda line: line.startswith("    "), lines[at + 1 :]))
    loaded = config.load_with_warnings(textwrap.dedent(text), resolve=False)
    assert loaded.warnings == ()
    assert loaded.policy.state.dir.startswith("/state/")


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Its own checker, where there is one; that guard isn't installed at /opt is no matter."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    text = (EXAMPLES / "guard.service").read_text(encoding="utf-8").replace("/opt/guard/bin/guard", sys.executable)
    (tmp_path / "guard.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "guard.service")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "guard.service" not in done.stderr, done.stderr


def test_nginx_takes_the_configuration(tmp_path: Path) -> None:
    """Its own checker, where it is installed."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if nginx is None:
        pytest.skip("needs nginx")
    events = "pid {0}/pid; error_log {0}/error.log; events {{ }} http {{ access_log off; include {1}; }}"
    (tmp_path / "nginx.conf").write_text(events.format(tmp_path, EXAMPLES / "nginx.conf"))
    command = [nginx, "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
