"""The policy file as data: one pydantic model for each table, strict, unknown keys refused.

This page is what a file may say and what it says when it is silent; ``compiling.py`` turns it into ``settings.Policy``. The
docstrings under the keys are the descriptions in the JSON schema. Sizes and times carry their unit in the value.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from guard import wording
from guard.origin import KINDS
from guard.settings import Window

RuleMode = Literal["off", "shadow", "enforce"]
Per = Literal["account", "user", "org", "model", "region", "cluster", "family"]
ActionName = Literal["allow", "tag", "limit", "refuse"]
Reduction = Literal["budget", "logprobs", "reasoning", "model", "concise", "pace"]
_TEXT = {"type": "string"}


def _text(reader: Any, **schema: Any) -> Any:
    """A validator that reads a value by ``reader`` and stands in the JSON schema as text."""
    return [BeforeValidator(reader), WithJsonSchema({**_TEXT, **schema})]


# Their defaults are written as in the file, so that the schema shows them so; hence they are validated too.
Size = Annotated[int, *_text(wording.size_bytes, examples=["32 MiB"]), Field(validate_default=True)]
Duration = Annotated[float, *_text(wording.duration_s, examples=["10 s"]), Field(validate_default=True)]
Windows = Annotated[tuple[Window, ...], *_text(wording.windows, examples=["20/minute; 500/day"])]
Money = Annotated[tuple[Window, ...], *_text(wording.money, examples=["2.50/day"])]
Id = Annotated[str, *_text(wording.identifier, pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
HeaderName = Annotated[str, *_text(wording.header_name)]
Line = Annotated[str, *_text(wording.line, maxLength=300)]
FilePath = Annotated[str, *_text(wording.file_path)]
Callable_ = Annotated[str, *_text(wording.callable_name, examples=["shop.accounts:describe"])]
Hop = Annotated[Any, *_text(wording.hop, examples=["10.0.0.0/8"])]
HostPort = Annotated[str, *_text(wording.host_port, examples=["127.0.0.1:9901"])]
Url = Annotated[str, *_text(wording.url, examples=["https://example.org/verify"])]
RoutePath = Annotated[str, *_text(wording.route_path, examples=["/v1/*"])]
Files = Annotated[
    list[Annotated[str, *_text(wording.data_file)]],
    BeforeValidator(wording.as_list, json_schema_input_type=str | list[str]),
]
Kind = Annotated[str, *_text(wording.network_kind, enum=list(KINDS))]
Count = Annotated[int, Field(ge=1)]
# ``config.json_schema`` puts the schema of a condition in the place of this title.
When = Annotated[dict[str, Any], WithJsonSchema({"title": "Condition"})]


class Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)


class RouteTable(Table):
    """One protected path. Further keys are the dialect's own, such as paths into the body for ``json``."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str]
    path: RoutePath
    """Exact, or all below it with a trailing ``/*``."""
    dialect: str = ""
    """The API's shape; without it, that of the known API whose path it is."""
    flat: Count | None = None
    """Tokens charged for each request on a path that no dialect knows."""


class FlatTable(Table):
    flat: Count
    """Tokens charged for each request."""


Route = Annotated[RouteTable, BeforeValidator(wording.as_path, json_schema_input_type=str | RouteTable)]
Unknown = Annotated[
    FlatTable | None,
    BeforeValidator(wording.refuse_or_flat, json_schema_input_type=Literal["refuse"] | FlatTable),
    Field(validate_default=True),
]


class ProtectTable(Table):
    """Which paths are protected; without ``routes``, those of the known APIs."""

    routes: list[Route] = []
    unknown: Unknown = "refuse"  # type: ignore[assignment]
    """What happens below a protected prefix on a path that no dialect knows."""
    websockets: Literal["deny", "allow"] = "deny"


class IdentityTable(Table):
    """How an account is recognised."""

    credential: Annotated[
        list[HeaderName],
        BeforeValidator(wording.as_list, json_schema_input_type=str | list[str]),
        Field(min_length=1),
    ] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"]
    """Headers that may carry a credential."""
    query: Annotated[str, *_text(wording.token)] = ""
    """A query parameter that may carry one."""
    cookie: Annotated[str, *_text(wording.token)] = ""
    """A cookie that may carry one."""
    describe: Callable_ = ""
    """``module:callable``: credential → AccountFacts, sync or async."""
    describe_ttl: Duration = "60 s"  # type: ignore[assignment]
    """How long its answer is kept."""
    anonymous: Literal["limit", "refuse"] = "limit"
    """What happens to a request without a credential."""
    ipv6_prefix: Annotated[int, Field(ge=32, le=128)] = 56
    """By how many bits of an IPv6 address anonymous clients are told apart."""


class TrustTable(Table):
    """Which hops may say where a request comes from, and in which header."""

    hops: list[Hop] = []
    address: HeaderName = ""
    country: HeaderName = ""
    asn: HeaderName = ""
    asn_kind: HeaderName = ""
    ja4: HeaderName = ""
    subdivision: HeaderName = ""
    """A part of that country: ``UA-43``, or ``43`` alone."""


class RegionTable(Table):
    """Files that say where an address is; your own, guard brings none."""

    country: Files = []
    """MMDB databases of countries and their parts; several are compared."""
    asn: Files = []
    """MMDB databases of autonomous systems."""
    max_age: Duration = "40 days"  # type: ignore[assignment]
    """How old a database may be; an older one is no longer asked, and what it would say is unknown."""
    kinds: dict[Kind, Files] = {}
    """Lists of networks, one a line, by what they are."""
    kinds_max_age: Annotated[float | None, *_text(wording.duration_s, examples=["7 days"])] = None
    """How old a list may be; without it, any age."""
    embedded: bool = False
    """Whether an IPv6 address that wraps an IPv4 one (NAT64, 6to4, Teredo) is where that one is."""


class BodyTable(Table):
    """What a request may cost to read."""

    max_bytes: Size = "32 MiB"  # type: ignore[assignment]
    timeout: Duration = "10 s"  # type: ignore[assignment]
    max_depth: Count = 64
    max_items: Count = 100_000
    max_headers: Count = 100
    max_header_bytes: Size = "32 KiB"  # type: ignore[assignment]


class LimitTable(Table):
    """What one subject may take."""

    id: Id
    """Stable: what was used is kept under it over a reload and a restart."""
    per: Annotated[list[Per], BeforeValidator(wording.as_list, json_schema_input_type=Per | list[Per])]
    """Whom it counts for separately; ``[]``: all together."""
    when: When = {}
    requests: Windows = ()
    tokens: Windows = ()
    cost: Money = ()
    """Money, by the prices in ``[models]``."""
    concurrent: Count | None = None
    mode: RuleMode = "enforce"
    on_store_error: Literal["static", "allow", "deny"] = "static"
    """While the shared store does not answer: go on by what was last seen, let all pass, or let nothing pass."""


class ActionTable(Table):
    """One action with its options; the action's name is the key."""

    allow: Literal[True] | None = None
    tag: Literal[True] | None = None
    delay: Annotated[float | None, *_text(wording.delay, examples=["1500 ms"])] = None
    """How long the first byte is held back."""
    limit: Annotated[float | None, *_text(wording.retry_after, examples=["30 s"])] = None
    """The ``Retry-After`` of the answer."""
    degrade: Annotated[list[Reduction] | None, Field(min_length=1)] = None
    """What is reduced."""
    challenge: Annotated[str | None, *_text(wording.url)] = None
    """Where the owner can verify the account."""
    refuse: Literal[True] | None = None
    notice: Literal["header", "body", "none"] | None = None
    """Whether the client is told; with delay, degrade and challenge."""
    budget_tokens: Count | None = None
    """With the reduction ``budget``: the most output tokens."""
    model: Annotated[str | None, *_text(wording.line)] = None
    """With the reduction ``model``: the cheaper model."""
    tokens_per_s: Annotated[float | None, Field(ge=1, allow_inf_nan=False)] = None
    """With the reduction ``pace``."""


Action = Annotated[ActionTable, BeforeValidator(wording.as_action, json_schema_input_type=ActionName | ActionTable)]


class RuleTable(Table):
    """Condition → action; the first rule in ``enforce`` that holds decides."""

    id: Id
    when: When = {}
    action: Action
    mode: RuleMode = "enforce"
    public: Line = ""
    """The sentence that the client reads."""


class GrantTable(Table):
    """The operator's word that an account or organisation may do what would otherwise look like extraction."""

    why: Line
    until: Annotated[
        float | None,
        BeforeValidator(wording.until),
        WithJsonSchema({"type": "string", "format": "date"}),
    ] = None
    """The last day (UTC), or a moment with its time zone; without it there is no end."""
    told: bool = True
    """Whether the client is told what guard does."""


class PriceTable(Table):
    """Money for a million tokens."""

    input: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    output: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ModelsTable(Table):
    """Prices by model pattern; the first that fits counts."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, PriceTable]
    default_output_tokens: Count = 4096
    """Reserved for an answer whose request states no budget."""


class HeadersTable(Table):
    """What guard's response headers are called; ``""``: left out."""

    ratelimit: HeaderName = "ratelimit"
    ratelimit_policy: HeaderName = "ratelimit-policy"
    reference: HeaderName = "x-guard-reference"
    notice: HeaderName = "x-guard-notice"


class ScoreTable(Table):
    """How evidence adds up."""

    weights: FilePath = ""
    """A weights file in the place of the shipped one."""


class CeilingsTable(Table):
    """What accounts without standing may take together, whatever anybody's score."""

    mode: RuleMode = "enforce"
    """In ``shadow`` it is recorded what they would have limited."""


class AdminTable(Table):
    """The operator's channel."""

    socket: Annotated[str, *_text(wording.socket_path)] = ""
    """A Unix socket, 0600."""
    tcp: HostPort = ""
    """``host:port``; needs ``token_file``."""
    token_file: FilePath = ""
    """A file with a token of at least 32 bytes."""


class StateTable(Table):
    """What is kept, and how much of it."""

    dir: FilePath = ""
    snapshot: Duration = "10 s"  # type: ignore[assignment]
    """How often the state is written."""
    max_accounts: Count = 50_000
    lease: Duration = "15 minutes"  # type: ignore[assignment]
    """How long a concurrency slot is held at most without a sign of life."""
    store: str = ""
    """URL of a Redis or Valkey that all replicas share, or ``env:NAME`` of a variable with it; empty: this process's memory."""
    deadline: Duration = "25 ms"  # type: ignore[assignment]
    """How long a request waits for the store before this replica goes on by what it last saw."""
    replicas: Count = 1
    """How many replicas there are, until they have found each other in the store."""


class AuditTable(Table):
    """One line for each exchange that is not plainly allowed."""

    file: FilePath = ""
    max_bytes: Size = "64 MiB"  # type: ignore[assignment]
    keep: Count = 8
    sample_allowed: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.001


class RecordTable(Table):
    """Exchange logs for ``guard replay``."""

    file: FilePath = ""
    bodies: bool = False
    max_bytes: Size = "256 MiB"  # type: ignore[assignment]
    keep: Count = 4


class PolicyTable(Table):
    """A guard policy."""

    version: Literal[1]
    mode: Literal["off", "observe", "enforce"] = "observe"
    """One switch over everything."""
    protect: ProtectTable = ProtectTable()
    identity: IdentityTable = IdentityTable()
    trust: TrustTable = TrustTable()
    region: RegionTable = RegionTable()
    body: BodyTable = BodyTable()
    limit: list[LimitTable] = []
    rule: list[RuleTable] = []
    grants: dict[Annotated[str, *_text(wording.subject)], GrantTable] = {}
    models: ModelsTable = Field(default_factory=lambda: ModelsTable.model_validate({}))
    headers: HeadersTable = HeadersTable()
    score: ScoreTable = ScoreTable()
    ceilings: CeilingsTable = CeilingsTable()
    admin: AdminTable = AdminTable()
    state: StateTable = StateTable()
    audit: AuditTable = AuditTable()
    record: RecordTable = RecordTable()
