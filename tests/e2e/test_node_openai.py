"""The official OpenAI client for Node through guard."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e import node
from tests.e2e.conftest import Model
from tests.e2e.doors import TEXT, Doors

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
const OpenAI = require("openai").default;
const [url] = process.argv.slice(-1);
const api = (key) => new OpenAI({ baseURL: url + "/v1", apiKey: key, maxRetries: 0, timeout: 20000 });
const alice = api("sk-alice"), mallory = api("sk-mallory");
const no = async (attempt) => {
  try { await attempt(); return "passed"; } catch (error) { return [error.constructor.name, error.status, error.code ?? null]; }
};
const messages = [{ role: "user", content: "How far is the moon? 漢字 🙂" }];
(async () => {
"""
TAIL = "\n})().catch((error) => { console.error(error); process.exit(1); });"


def test_chat_whole_and_as_a_stream(behind: Callable[..., str]) -> None:
    """The same text either way, and a tool's call in a stream put together by the client."""
    url = behind(Model().starlette(), POLICY.format(requests=100))
    script = """
      const whole = await alice.chat.completions.create({ model: "demo", messages });
      let streamed = "";
      for await (const chunk of await alice.chat.completions.create({ model: "demo", messages, stream: true }))
        streamed += chunk.choices[0].delta.content ?? "";
      const tools = [{ type: "function", function: { name: "look_up", parameters: {} } }];
      const called = await alice.chat.completions.stream({ model: "demo", messages, tools }).finalChatCompletion();
      console.log(JSON.stringify([whole.choices[0].message.content, streamed,
        called.choices[0].message.tool_calls[0].function.arguments]));
    """

    assert node.run("openai", HEAD + script + TAIL, url) == [ANSWER, ANSWER, '{"step": 0}']


def test_responses_and_whose_they_are(behind: Callable[..., str]) -> None:
    """Whole, streamed, continued by whom they were given to; anybody else gets the client's NotFoundError."""
    url = behind(Doors().app(), POLICY.format(requests=100))
    script = """
      const first = await alice.responses.create({ model: "demo", input: "Hello" });
      const again = await alice.responses.create({ model: "demo", input: "Go on", previous_response_id: first.id });
      let streamed = "";
      for await (const event of await alice.responses.create({ model: "demo", input: "Hello", stream: true }))
        if (event.type === "response.output_text.delta") streamed += event.delta;
      const foreign = { model: "demo", input: "Go on", previous_response_id: first.id };
      console.log(JSON.stringify([first.output_text, again.output_text, streamed,
        (await alice.responses.retrieve(first.id)).output_text,
        await no(() => mallory.responses.create(foreign)), await no(() => mallory.responses.retrieve(first.id))]));
    """
    found = node.run("openai", HEAD + script + TAIL, url)

    assert found[:4] == [TEXT] * 4
    assert found[4:] == [["NotFoundError", 404, "not_found"]] * 2


@pytest.mark.parametrize("streamed", ["false", "true"])
def test_a_no_is_the_clients_own_exception(behind: Callable[..., str], streamed: str) -> None:
    """A spent limit, a refusal, an unreadable request."""
    url = behind(Model().starlette(), POLICY.format(requests=1))
    script = f"""
      const ask = (more) => alice.chat.completions.create({{ model: "demo", messages, stream: {streamed}, ...more }});
      await ask({{}});
      console.log(JSON.stringify([await no(() => ask({{}})), await no(() => ask({{ model: "secret-1" }})),
        await no(() => ask({{ max_tokens: -1 }}))]));
    """

    assert node.run("openai", HEAD + script + TAIL, url) == [
        ["RateLimitError", 429, "rate_limit_exceeded"],
        ["PermissionDeniedError", 403, "request_refused"],
        ["BadRequestError", 400, "invalid_request"],
    ]
