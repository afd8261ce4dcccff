"""The official Anthropic client for Node through guard."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e import node
from tests.e2e.conftest import Model
from tests.e2e.doors import Doors

pytestmark = pytest.mark.uvicorn

ANSWER = "message 1 read: äöü 漢字 🙂 and so on"
POLICY = """
version = 1
mode = "enforce"
[[limit]]
id = "tight"
per = ["account"]
requests = "{requests}/minute"
[[rule]]
id = "closed"
when = {{ model = "secret-*" }}
action = "refuse"
"""
HEAD = """
const Anthropic = require("@anthropic-ai/sdk").default;
const [url] = process.argv.slice(-1);
const api = (key) => new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0, timeout: 20000 });
const alice = api("sk-alice"), mallory = api("sk-mallory");
const no = async (attempt) => {
  try { await attempt(); return "passed"; }
  catch (error) { return [error.constructor.name, error.status, error.error?.error?.type ?? null]; }
};
const ask = { model: "demo", max_tokens: 64, messages: [{ role: "user", content: "How far is the moon? 漢字 🙂" }] };
(async () => {
"""
TAIL = "\n})().catch((error) => { console.error(error); process.exit(1); });"


def test_an_answer_arrives_whole_and_as_a_stream(behind: Callable[..., str]) -> None:
    """The same text either way, and a tool's input in a stream put together by the client."""
    url = behind(Model().starlette(), POLICY.format(requests=100))
    script = """
      const whole = await alice.messages.create(ask);
      const streamed = await alice.messages.stream(ask).finalText();
      const tools = [{ name: "look_up", input_schema: { type: "object" } }];
      const called = await alice.messages.stream({ ...ask, tools,
        messages: [{ role: "user", content: [{ type: "text", text: "Look it up" }] }] }).finalMessage();
      console.log(JSON.stringify([whole.content[0].text, streamed, called.content[0].input]));
    """

    assert node.run("@anthropic-ai/sdk", HEAD + script + TAIL, url) == [ANSWER, ANSWER, {"step": 0}]


def test_counting_and_batches(behind: Callable[..., str]) -> None:
    """Both pass; a batch is found by whom it was given to only."""
    url = behind(Doors().app(), POLICY.format(requests=100))
    script = """
      const { max_tokens, ...counted } = ask;
      const count = await alice.messages.countTokens(counted);
      const made = await alice.messages.batches.create({ requests: [{ custom_id: "a", params: ask }] });
      const found = await alice.messages.batches.retrieve(made.id);
      console.log(JSON.stringify([count.input_tokens, found.id === made.id,
        await no(() => mallory.messages.batches.retrieve(made.id))]));
    """

    assert node.run("@anthropic-ai/sdk", HEAD + script + TAIL, url) == [
        7,
        True,
        ["NotFoundError", 404, "not_found_error"],
    ]


@pytest.mark.parametrize("streamed", ["false", "true"])
def test_a_no_is_the_clients_own_exception(behind: Callable[..., str], streamed: str) -> None:
    """A spent limit, a refusal, an unreadable request."""
    url = behind(Model().starlette(), POLICY.format(requests=1))
    script = f"""
      const send = (more) => alice.messages.create({{ ...ask, stream: {streamed}, ...more }});
      await send({{}});
      console.log(JSON.stringify([await no(() => send({{}})), await no(() => send({{ model: "secret-1" }})),
        await no(() => send({{ max_tokens: -1 }}))]));
    """

    assert node.run("@anthropic-ai/sdk", HEAD + script + TAIL, url) == [
        ["RateLimitError", 429, "rate_limit_error"],
        ["PermissionDeniedError", 403, "permission_error"],
        ["BadRequestError", 400, "invalid_request_error"],
    ]
