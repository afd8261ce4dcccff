"""The official google-genai client through guard: what works without it works with it, and a no is the SDK's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.doors import TEXT, WORDS, Doors

genai = pytest.importorskip("google.genai", reason="the e2e extra is not installed")

pytestmark = [pytest.mark.uvicorn, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

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
PATH = "/v1beta/models/gemini-demo:{verb}"
BODY = {"contents": [{"parts": [{"text": QUESTION}]}]}


@pytest.fixture
def doors() -> Doors:
    return Doors()


@pytest.fixture
def client() -> Iterator[Callable[..., Any]]:
    """Makes clients that are closed with the test: (url, key) → client."""
    made: list[Any] = []

    def make(url: str, key: str = "goog-alice") -> Any:
        options = genai.types.HttpOptions(base_url=url, timeout=20_000)
        made.append(genai.Client(api_key=key, http_options=options))
        return made[-1]

    yield make
    for api in made:
        api.close()


def test_an_answer_arrives_whole_and_as_a_stream(
    client: Callable[..., Any], behind: Callable[..., str], doors: Doors
) -> None:
    """The same text either way, and the usage that the model reported."""
    api = client(behind(doors.app()))
    config = genai.types.GenerateContentConfig(system_instruction="Be brief.", max_output_tokens=64, temperature=0.5)
    whole = api.models.generate_content(model="gemini-demo", contents=QUESTION, config=config)
    assert whole.text == TEXT
    assert whole.usage_metadata.candidates_token_count == WORDS
    chunks = list(api.models.generate_content_stream(model="gemini-demo", contents=QUESTION, config=config))
    assert "".join(chunk.text for chunk in chunks) == TEXT
    assert chunks[-1].usage_metadata.candidates_token_count == WORDS


def test_the_async_client_reads_the_same(client: Callable[..., Any], behind: Callable[..., str], doors: Doors) -> None:
    """Likewise for the async client, whole and streamed."""

    async def talk(url: str) -> tuple[str, str]:
        api = client(url)
        whole = await api.aio.models.generate_content(model="gemini-demo", contents=QUESTION)
        stream = await api.aio.models.generate_content_stream(model="gemini-demo", contents=QUESTION)
        streamed = "".join([chunk.text async for chunk in stream])
        await api.aio.aclose()
        return whole.text, streamed

    assert asyncio.run(talk(behind(doors.app()))) == (TEXT, TEXT)


def test_a_conversation_with_tools_goes_on(
    client: Callable[..., Any], behind: Callable[..., str], doors: Doors
) -> None:
    """A chat of several turns, with a function's call and its result between them; the model sees what the client sent."""
    types = genai.types
    tool = types.Tool(function_declarations=[types.FunctionDeclaration(name="look_up", description="Looks it up.")])
    contents = [
        types.Content(role="user", parts=[types.Part(text=QUESTION)]),
        types.Content(role="model", parts=[types.Part.from_function_call(name="look_up", args={"step": 1})]),
        types.Content(role="user", parts=[types.Part.from_function_response(name="look_up", response={"found": 1})]),
    ]
    api = client(behind(doors.app()))
    config = types.GenerateContentConfig(tools=[tool])
    assert api.models.generate_content(model="gemini-demo", contents=contents, config=config).text == TEXT
    chat = api.chats.create(model="gemini-demo")
    for turn in range(5):
        assert chat.send_message(f"question {turn}").text == TEXT
    assert len(doors.received[-1][2]["contents"]) == 9


def test_counting_and_embedding(client: Callable[..., Any], behind: Callable[..., str], doors: Doors) -> None:
    """Both pass, at the price of their input."""
    api = client(behind(doors.app(), LIMITED.replace("requests", "tokens").format(tokens="1000/minute")))
    for _ in range(20):
        assert api.models.count_tokens(model="gemini-demo", contents=QUESTION).total_tokens == 7
        assert api.models.embed_content(model="gemini-demo", contents=QUESTION).embeddings[0].values == [0.25, -0.5]
    with pytest.raises(genai.errors.ClientError) as limited:
        api.models.count_tokens(model="gemini-demo", contents="x" * 4000)
    assert limited.value.code == 429


@pytest.mark.parametrize("streamed", [False, True])
def test_a_no_is_the_clients_own_exception(
    client: Callable[..., Any], behind: Callable[..., str], doors: Doors, streamed: bool
) -> None:
    """A spent limit, a refusal and an unreadable request: code and status as the API gives them, nothing reaches the model."""

    def ask(api: Any, **more: Any) -> None:
        asked = {"model": "gemini-demo", "contents": QUESTION} | more
        if streamed:
            list(api.models.generate_content_stream(**asked))
        else:
            api.models.generate_content(**asked)

    api = client(behind(doors.app(), LIMITED.format(requests="1/minute")))
    ask(api)
    with pytest.raises(genai.errors.ClientError) as no:
        ask(api)
    assert (no.value.code, no.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert no.value.details["error"]["details"][0]["retryDelay"].endswith("s")
    api = client(behind(doors.app(), REFUSING))
    with pytest.raises(genai.errors.ClientError) as no:
        ask(api, model="secret-1")
    assert (no.value.code, no.value.status) == (403, "PERMISSION_DENIED")
    with pytest.raises(genai.errors.ClientError) as no:
        ask(api, config={"max_output_tokens": -5})
    assert (no.value.code, no.value.status) == (400, "INVALID_ARGUMENT")
    assert len(doors.received) == 1


@pytest.mark.parametrize("query", ["?key={key}", "?alt=sse&key={key}"])
def test_the_key_may_stand_in_the_query(behind: Callable[..., str], doors: Doors, query: str) -> None:
    """Each key is an account of its own, as in the header; two different ones in one request are refused."""
    url = behind(doors.app(), LIMITED.format(requests="1/minute")) + PATH.format(verb="streamGenerateContent")

    def ask(key: str, **headers: str) -> int:
        return httpx.post(url + query.format(key=key), json=BODY, headers=headers).status_code

    assert [ask("goog-alice"), ask("goog-alice"), ask("goog-bob")] == [200, 429, 200]
    assert httpx.post(url, json=BODY, headers={"x-goog-api-key": "goog-bob"}).status_code == 429
    assert ask("goog-carol", **{"x-goog-api-key": "goog-invented"}) == 400
    assert ask("goog-carol", authorization="Bearer goog-invented") == 400
    assert ask("goog-carol", **{"x-goog-api-key": "goog-carol"}) == 200


def test_a_stream_as_one_list_is_counted(behind: Callable[..., str], doors: Doors) -> None:
    """Without ``alt=sse`` the stream is one JSON list; its tokens are charged as reported, to a limit of so many."""
    policy = LIMITED.replace("requests", "tokens").format(tokens=f"{2 * (7 + WORDS) + 5}/day")
    url = behind(doors.app(), policy) + PATH.format(verb="streamGenerateContent")
    body = BODY | {"generationConfig": {"maxOutputTokens": 5}}
    answers = [httpx.post(url, json=body, headers={"x-goog-api-key": "goog-alice"}) for _ in range(3)]

    assert answers[0].json()[-1]["usageMetadata"]["candidatesTokenCount"] == WORDS
    assert [answer.status_code for answer in answers] == [200, 200, 429]


@pytest.mark.parametrize(
    "path",
    ["/V1BETA/MODELS/GEMINI-DEMO:GENERATECONTENT", "/v1beta/models/gemini-demo:generateContent/", "/v1beta//models/gemini-demo:generateContent",
     "/v1beta/models/x/../gemini-demo:generateContent", "/v1beta/models/gemini-demo%3AgenerateContent", "/v1beta/models/gemini%252Ddemo:generateContent",
     "/v1beta/models/tuned/gemini-demo:generateContent", "/v1beta/models/gemini-demo:generateContent;a=b"],
)  # fmt: skip
def test_every_spelling_is_judged(behind: Callable[..., str], doors: Doors, path: str) -> None:
    """However the path is written: what passes is counted as the canonical route, what does not is a 4xx."""
    url = behind(doors.app(), LIMITED.format(requests="1/minute"))
    headers = {"x-goog-api-key": "goog-alice"}
    first = httpx.post(url + path, json=BODY, headers=headers)
    then = httpx.post(url + PATH.format(verb="generateContent"), json=BODY, headers=headers)

    assert (first.status_code, then.status_code) in {(200, 429), (400, 200), (404, 200), (404, 429)}
    assert len(doors.received) <= 1


def test_a_cache_is_whose_it_was_made(client: Callable[..., Any], behind: Callable[..., str], doors: Doors) -> None:
    """What was cached may be named by the account that cached it; anybody else gets a 404, and nothing reaches the model."""
    url = behind(doors.app())
    alice, mallory = client(url), client(url, "goog-mallory")
    kept = alice.caches.create(model="gemini-demo", config={"contents": [QUESTION], "system_instruction": "Be brief."})
    config = genai.types.GenerateContentConfig(cached_content=kept.name)
    assert alice.models.generate_content(model="gemini-demo", contents="Go on", config=config).text == TEXT
    seen = len(doors.received)
    for attempt in (
        lambda: mallory.models.generate_content(model="gemini-demo", contents="Go on", config=config),
        lambda: mallory.caches.get(name=kept.name),
        lambda: mallory.caches.delete(name=kept.name),
    ):
        with pytest.raises(genai.errors.ClientError) as no:
            attempt()
        assert (no.value.code, no.value.status) == (404, "NOT_FOUND")
    assert len(doors.received) == seen
