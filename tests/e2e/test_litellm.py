"""LiteLLM's proxy app behind guard: somebody else's ASGI app, in an environment of its own, with its own mock responses.

``GUARD_LITELLM_PYTHON`` names the Python of an environment in which ``litellm[proxy]`` and guard's dependencies are installed; without it
these tests are skipped and say so. They take minutes, so they run only when asked for (``-m slow``).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.uvicorn, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
model_list:
  - model_name: demo
    litellm_params: { model: openai/demo, api_key: none, mock_response: "the answer" }
  - model_name: secret-1
    litellm_params: { model: openai/demo, api_key: none, mock_response: "the answer" }
general_settings: { master_key: sk-litellm }
"""
POLICY = """
version = 1
mode = "enforce"
[protect]
routes = ["/v1/*", "/chat/completions"]
unknown = { flat = 10 }
[[limit]]
id = "tight"
per = ["account"]
requests = "20/day"
[[rule]]
id = "closed"
when = { model = "secret-*" }
action = "refuse"
"""
QUESTION = [{"role": "user", "content": "How far is the moon?"}]
_START_S = 120


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where it listens, ready."""
    python = os.environ.get("GUARD_LITELLM_PYTHON", "")
    if not python or not Path(python).exists():
        pytest.skip(
            "GUARD_LITELLM_PYTHON names no Python: make an environment with litellm[proxy] and guard's dependencies"
        )
    folder = tmp_path_factory.mktemp("litellm")
    (folder / "guard.toml").write_text(POLICY)
    (folder / "litellm.yaml").write_text(CONFIG)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "CONFIG_FILE_PATH": str(folder / "litellm.yaml"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "GUARD_KEY": "a key for tests, long enough to be one",
        "no_proxy": "*",
    }
    program = [python, str(Path(__file__).with_name("litellm_behind_guard.py")), str(folder / "guard.toml")]
    with (
        open(folder / "log", "wb") as log,
        subprocess.Popen(
            program, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True
        ) as running,
    ):
        assert running.stdout is not None
        try:
            words = iter(running.stdout.readline, "")
            port = next((line.strip() for line in words if line.strip().isdigit()), "")
            assert port, (folder / "log").read_text()[-2000:]
            base = f"http://127.0.0.1:{port}"
            # The socket listens already: the first request waits until the app is up.
            assert httpx.get(f"{base}/health/liveliness", timeout=_START_S).status_code == 200
            yield base
        finally:
            running.terminate()


def client(url: str, key: str = "sk-litellm") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30)


def test_it_answers_as_it_does_alone(url: str) -> None:
    """Chat, whole and streamed, and Anthropic messages, by their official clients."""
    with client(url) as api:
        whole = api.chat.completions.create(model="demo", messages=QUESTION)  # type: ignore[arg-type]
        assert whole.choices[0].message.content == "the answer"
        chunks = api.chat.completions.create(model="demo", messages=QUESTION, stream=True)  # type: ignore[call-overload]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "the answer"
        assert [model.id for model in api.models.list()]
    with anthropic.Anthropic(base_url=url, api_key="sk-litellm", max_retries=0, timeout=30) as other:
        said = other.messages.create(model="demo", max_tokens=64, messages=QUESTION)  # type: ignore[arg-type]
        assert said.content[0].type == "text"
        assert said.content[0].text == "the answer"


def test_a_refusal_comes_before_it(url: str) -> None:
    """What guard refuses it never sees; what it refuses itself passes as it says it."""
    with client(url) as api:
        with pytest.raises(openai.PermissionDeniedError) as refused:
            api.chat.completions.create(model="secret-1", messages=QUESTION)  # type: ignore[arg-type]
        assert refused.value.response.headers["x-guard-reference"]
    with client(url, "sk-wrong") as api, pytest.raises(openai.APIStatusError) as unknown:
        api.chat.completions.create(model="demo", messages=QUESTION)  # type: ignore[arg-type]
    # Without a database it can't look the key up, and says 400.
    assert unknown.value.status_code in (400, 401)
    assert "x-guard-reference" not in unknown.value.response.headers


def test_a_limit_holds_over_all_its_doors(url: str) -> None:
    """Whichever path and API it is asked by, the requests of one account are counted together."""
    head = {"authorization": "Bearer sk-litellm"}
    asked = {"model": "demo", "messages": QUESTION}
    statuses = [httpx.post(f"{url}/chat/completions", json=asked, headers=head).status_code for _ in range(25)]
    assert statuses[0] == 200
    assert statuses[-1] == 429
    with client(url) as api, pytest.raises(openai.RateLimitError):
        api.chat.completions.create(model="demo", messages=QUESTION)  # type: ignore[arg-type]
    with pytest.raises(anthropic.RateLimitError):
        anthropic.Anthropic(base_url=url, api_key="sk-litellm", max_retries=0).messages.create(
            model="demo",
            max_tokens=64,
            messages=QUESTION,  # type: ignore[arg-type]
        )
