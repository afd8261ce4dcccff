"""The official OpenAI client's responses, completions and embeddings through guard, and whose a kept response is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.e2e.doors import TEXT, WORDS, Doors

pytestmark = pytest.mark.uvicorn

LIMITED = 'version = 1\nmode = "enforce"\n[[limit]]\nid = "tight"\nper = ["account"]\nrequests = "{requests}"\n'
REFUSING = """
version = 1
mode = "enforce"
[[rule]]
id = "closed"
when = { model = "secret-*" }
action = "refuse"
"""
QUESTION = "How far is the moon? 漢字 🙂"


@pytest.fixture
def doors() -> Doors:
    return Doors()


def client(url: str, key: str = "sk-alice") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=20)


def test_an_answer_arrives_whole_and_as_a_stream(behind: Callable[..., str], doors: Doors) -> None:
    """The same text either way, and the usage that the model reported."""
    with client(behind(doors.app())) as api:
        whole = api.responses.create(model="demo", input=QUESTION, instructions="Be brief.")
        assert whole.output_text == TEXT
        assert whole.usage is not None
        assert whole.usage.output_tokens == WORDS
        with api.responses.stream(model="demo", input=QUESTION) as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            assert text == TEXT
            assert stream.get_final_response().output_text == TEXT


@pytest.mark.parametrize("streamed", [False, True])
def test_a_conversation_goes_on_for_whom_it_was_and_for_nobody_else(
    behind: Callable[..., str], doors: Doors, streamed: bool
) -> None:
    """The id of an answer continues it, reads it, cancels and deletes it for the account that received it; anybody else gets
    the API's own 404 for each, and so does everybody for an id that was never given out. The model sees none of it."""
    url = behind(doors.app())
    with client(url) as alice, client(url, "sk-mallory") as mallory:
        mallory.responses.create(model="demo", input=QUESTION)
        if streamed:
            with alice.responses.stream(model="demo", input=QUESTION) as stream:
                first: Any = stream.get_final_response()
        else:
            first = alice.responses.create(model="demo", input=QUESTION)
        item = {"type": "item_reference", "id": first.output[0].id}
        seen = len(doors.received)
        for attempt in (
            lambda: mallory.responses.create(model="demo", input="Go on", previous_response_id=first.id),
            lambda: mallory.responses.create(model="demo", input=[item]),
            lambda: mallory.responses.retrieve(first.id),
            lambda: mallory.responses.retrieve(first.id.upper()),
            lambda: mallory.responses.delete(first.id),
            lambda: mallory.responses.cancel(first.id),
            lambda: mallory.responses.input_items.list(first.id),
            lambda: alice.responses.create(model="demo", input="Go on", previous_response_id="resp_invented"),
        ):
            with pytest.raises(openai.NotFoundError) as refused:
                attempt()
            assert refused.value.response.headers["x-guard-reference"]
            assert refused.value.type == "invalid_request_error"
        assert len(doors.received) == seen
        second = alice.responses.create(model="demo", input="Go on", previous_response_id=first.id)
        assert alice.responses.create(model="demo", input=[item]).output_text == TEXT
        assert alice.responses.retrieve(first.id).output_text == TEXT
        assert alice.responses.input_items.list(second.id).data == []
        assert alice.responses.cancel(first.id).id == first.id
        alice.responses.delete(second.id)


def test_an_id_is_bound_before_its_stream_ends(behind: Callable[..., str], doors: Doors) -> None:
    """What ``response.created`` names can be read while the rest is still on its way."""
    with client(behind(doors.app())) as api:
        stream = api.responses.create(model="demo", input=QUESTION, stream=True)
        first = next(iter(stream))
        assert first.type == "response.created"
        assert api.responses.retrieve(first.response.id).output_text == TEXT
        stream.close()


def test_a_conversation_object_is_whose_it_was_made(behind: Callable[..., str], doors: Doors) -> None:
    """The conversations API likewise: its id in a request, and its own paths."""
    url = behind(doors.app())
    with client(url) as alice, client(url, "sk-mallory") as mallory:
        made = alice.conversations.create(items=[{"role": "user", "content": "Hello"}])
        assert alice.responses.create(model="demo", input=QUESTION, conversation=made.id).output_text == TEXT
        for attempt in (
            lambda: mallory.responses.create(model="demo", input=QUESTION, conversation={"id": made.id}),
            lambda: mallory.conversations.retrieve(made.id),
            lambda: mallory.conversations.items.list(made.id),
            lambda: mallory.conversations.delete(made.id),
        ):
            with pytest.raises(openai.NotFoundError):
                attempt()


@pytest.mark.parametrize("path", ["//v1/responses/{id}", "/v1/responses/{id};x=1", "/v1/./responses/{id}",
                                  "/v1/responses/x/../{id}", "/v1/responses/%2e/{id}", "/V1/Responses/{id}/"])  # fmt: skip
def test_no_spelling_of_the_path_leads_round(behind: Callable[..., str], doors: Doors, path: str) -> None:
    """A kept answer's path in another spelling is a 4xx, for everybody."""
    url = behind(doors.app())
    with client(url) as alice:
        made = alice.responses.create(model="demo", input=QUESTION)
        seen = len(doors.received)
        import http.client

        host = url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=10)
        connection.request("GET", path.replace("{id}", made.id), headers={"authorization": "Bearer sk-mallory"})
        assert 400 <= connection.getresponse().status < 500
        connection.close()
    assert len(doors.received) == seen


@pytest.mark.parametrize("streamed", [False, True])
def test_a_no_is_the_clients_own_exception(behind: Callable[..., str], doors: Doors, streamed: bool) -> None:
    """A spent limit, a refusal and an unreadable request, for responses, completions and embeddings."""
    with client(behind(doors.app(), LIMITED.format(requests="1/minute"))) as api:
        api.responses.create(model="demo", input=QUESTION)
        for attempt in (
            lambda: api.responses.create(model="demo", input=QUESTION, stream=streamed),
            lambda: api.completions.create(model="demo", prompt=QUESTION, stream=streamed),
            lambda: api.embeddings.create(model="demo", input=QUESTION),
        ):
            with pytest.raises(openai.RateLimitError) as limited:
                attempt()
            assert 1 <= int(limited.value.response.headers["retry-after"]) <= 60
    with client(behind(doors.app(), REFUSING)) as api:
        for attempt in (
            lambda: api.responses.create(model="secret-1", input=QUESTION, stream=streamed),
            lambda: api.completions.create(model="secret-1", prompt=QUESTION, stream=streamed),
            lambda: api.embeddings.create(model="secret-1", input=QUESTION),
        ):
            with pytest.raises(openai.PermissionDeniedError):
                attempt()
        with pytest.raises(openai.BadRequestError):
            api.responses.create(model="demo", input=QUESTION, max_output_tokens=-1, stream=streamed)
        with pytest.raises(openai.PermissionDeniedError):
            api.batches.create(input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h")
    assert len(doors.received) == 1


def test_completions_and_embeddings(behind: Callable[..., str], doors: Doors) -> None:
    """Both arrive as the model sent them, whole and streamed."""
    with client(behind(doors.app())) as api:
        assert api.completions.create(model="demo", prompt=[QUESTION, "and"], echo=True).choices[0].text == TEXT
        chunks = api.completions.create(model="demo", prompt=[[1, 2, 3]], stream=True)
        assert "".join(chunk.choices[0].text for chunk in chunks) == TEXT
        made = api.embeddings.create(model="demo", input=[QUESTION, "and"], encoding_format="float")
        assert made.data[0].embedding == [0.25, -0.5]


def test_embeddings_spend_their_input_and_no_more(behind: Callable[..., str], doors: Doors) -> None:
    """A thousand tokens a minute are many short texts, and one of four thousand characters is too long beside them."""
    policy = LIMITED.replace("requests", "tokens").format(tokens="1000/minute")
    with client(behind(doors.app(), policy)) as api:
        for _ in range(20):
            api.embeddings.create(model="demo", input="short", encoding_format="float")
        with pytest.raises(openai.RateLimitError):
            api.embeddings.create(model="demo", input="x" * 4000, encoding_format="float")
