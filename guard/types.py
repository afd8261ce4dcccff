"""The words of guard: frozen values that pass between the stages.

They follow the way of a request: ``Route`` and ``Peer`` and ``Call`` (headers), ``AccountFacts`` and ``Account`` (who),
``Ask`` (what, with its text) → ``Features`` (what, without its text) → ``Exchange`` → ``Decision`` and ``Receipt`` →
``Usage`` (what it came to). Only ``Ask`` holds text, and only the fingerprint stage sees one.

Times are seconds since 1970 (``_s`` for durations), sizes are bytes or tokens as named. ``None`` in a field always means
"the operator or client states no such fact", never "could not tell": that raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar, dataclass_transform

from guard.charges import Bill
from guard.errors import BadExchange
from guard.origin import UNKNOWN as UNKNOWN  # noqa: PLC0414 - part of this vocabulary
from guard.origin import Peer as Peer  # noqa: PLC0414
from guard.talk import NO_TALK, Talk

JSONObject = dict[str, Any]
Headers = tuple[tuple[bytes, bytes], ...]
Mode = Literal["off", "observe", "enforce"]
RuleMode = Literal["off", "shadow", "enforce"]
BANDS = ("low", "watch", "suspect", "confirmed")
# Severity rises from left to right (../shared/eval/FORMAT.md has the same order).
ACTIONS = ("allow", "tag", "delay", "limit", "degrade", "challenge", "refuse")

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[_T]) -> type[_T]:
    """A frozen value of the request path.

    To type checkers it is a frozen dataclass: assigning a field is an error. At run time it is made without the guard of
    ``frozen=True``, which costs a tenth of a microsecond for each field of each value: 8 µs a request in all.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


# -- headers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Route:
    """How one protected path is read.

    ``dialect`` names the plug-in; ``options`` are the route's own keys of the policy file (paths into the body for the
    ``json`` dialect). ``flat_tokens`` is set for a path that no dialect knows and that the operator charges a flat cost;
    then ``dialect`` is ``"flat"``.
    """

    pattern: str
    dialect: str
    options: tuple[tuple[str, str], ...] = ()
    flat_tokens: int = 0


@value
class Call:
    """A request before its body: what the HEADERS phase settles.

    ``path`` is canonical; ``headers`` are lower-case and in the client's order; ``credential`` is the normalised secret
    (``b""``: none), which never leaves the identity stage; ``stack`` are the header names in order plus the client's own
    name of itself, for the client-stack facet.
    """

    method: str
    path: str
    route: Route
    headers: Headers
    peer: Peer
    credential: bytes = field(default=b"", repr=False)
    stack: bytes = b""
    query: bytes = field(default=b"", repr=False)
    """The raw query string; it may hold the credential."""
    encoding: Literal["identity", "gzip", "deflate"] = "identity"
    """How the body is compressed."""
    length_bytes: int | None = None
    """The body's length as the client declared it; None: it declared none."""
    by_query: str = ""
    """The query parameter that this route's API takes a credential from; ``""``: none but the policy's."""
    clean: bool = False
    """Whether the app may see all headers as they came; if not, ``Caller.stripped`` takes some off."""


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What the operator knows of an account; every field is optional. The answer of ``[identity] describe``.

    ``id``: the account as the operator names it (several credentials may share it). ``created``: seconds since 1970.
    ``verified``: whether the owner is verified; None where no such fact is kept. ``payment``, ``signup``, ``org``: opaque,
    equal for accounts that share a means of payment, a registration trait, an organisation. Ids are hashed at once.
    ``owner_country``: where its owner is at home, or the shares in percent that the owners of each country hold together,
    directly or not, as far as the operator knows: ``{"DE": 60, "RU": 40}``.
    """

    id: str | None = None
    created: float | None = None
    tier: str | None = None
    verified: bool | None = None
    country: str | None = None
    payment: str | None = None
    signup: str | None = None
    org: str | None = None
    tags: frozenset[str] = frozenset()
    owner_country: str | Mapping[str, float] | None = None


@value
class Account:
    """Whom an exchange is charged to. ``key``, ``org``, ``payment`` and ``signup`` are keyed hashes (32 hex digits).

    ``status``: ``accepted`` (the app has answered this credential with something other than 401 or 403, or the operator's
    callable has named it), ``provisional`` (a credential nobody has vouched for yet) or ``anonymous`` (no credential: the
    key stands for the network).
    """

    key: str
    status: Literal["accepted", "provisional", "anonymous"] = "accepted"
    shard: int = 0
    """0 to 255, from the network: which part of the shared overflow budget an untracked one draws on."""
    created: float | None = None
    tier: str | None = None
    verified: bool | None = None
    country: str | None = None
    payment: str = ""
    signup: str = ""
    org: str = ""
    tags: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    """What grants and rules may call it: ``account:<id as the policy writes it, hashed>``, ``org:<…>``."""
    owners: tuple[tuple[str, float], ...] = ()
    """(country, percent) of its owners, as far as stated."""


# -- body ----------------------------------------------------------------------------------------------------------


class Turn(NamedTuple):
    """One message of a conversation: who speaks (``user``, ``assistant``, ``system``, ``tool``, …) and all its text."""

    role: str
    text: str


@value
class Ask:
    """A request as its dialect reads it. Holds text: it is born in the dialect and dies in the fingerprint stage."""

    dialect: str
    model: str
    """Normalised: NFKC, case-folded, without invisible characters or blanks."""
    stream: bool
    system: str
    """All system and developer text, joined by newlines."""
    turns: tuple[Turn, ...]
    """The conversation without the system text; tool calls and tool results included."""
    tools: bytes
    """The tool list as sorted-key JSON; ``b""``: none."""
    parameters: bytes
    """Sampling parameters (temperature, top_p, …) as sorted-key JSON; ``b""``: none."""
    budget_tokens: int | None
    """The most output tokens this request may cost: largest budget alias × n; None: the client stated none."""
    choices: int = 1
    user: str = ""
    """The sub-user that the body names; isolated within the account, never believed beyond it."""
    media: int = 0
    """Images, files, audio parts: things that cost tokens and are not text."""
    top_logprobs: int = 0
    """How many log-probabilities a token are asked for (1 where ``logprobs`` is merely on)."""
    logit_bias: int = 0
    """How many tokens are biased."""
    texts: tuple[str, ...] = ()
    """Text that stands outside system and turns: tool descriptions, schemas, suffixes, file names, stop sequences."""
    continues: tuple[str, ...] = ()
    """Ids of what the API keeps and this request builds on or asks for; each must have been given to the same account."""
    requests: int = 1
    """How many requests this one stands for: those of a batch."""
    said: str | None = None
    """The text of the model's last message, without reasoning and calls; None: it is the turn's."""
    sealed: tuple[str, ...] = ()
    """What the API sealed and the client brings back: reasoning signatures, encrypted content."""


class Facet(NamedTuple):
    """One trait of an exchange: its kind and a keyed 64-bit hash."""

    kind: str
    value: int


@value
class Features:
    """A request without its text: what every later stage works on, and what a record keeps of it."""

    version: int
    dialect: str
    model: str
    stream: bool
    facets: tuple[Facet, ...]
    readings: tuple[tuple[str, float], ...]
    """(signal name, reading 0 to 1) of the content signals that read more than 0, by name."""
    input_tokens: int
    """Estimated: a quarter of the UTF-8 bytes of all text, plus a flat cost for media."""
    budget_tokens: int | None
    choices: int = 1
    turns: int = 0
    user: str = ""
    """Keyed hash (32 hex digits) of account and sub-user, or ``""``."""
    digest: int = 0
    """Keyed 64-bit hash of the whole request's meaning: equal for a retry."""
    slot: int = 0
    """Keyed 64-bit hash of what is new in the conversation: equal for the same question, whoever asks it; 0: nothing new."""
    gist: bytes = b""
    """Its content, as a random projection (``sketch.py``): ``samples.GIST`` signed bytes, or empty."""
    requests: int = 1
    """How many requests it stands for; limits count each."""
    talk: Talk = NO_TALK
    sealed: tuple[int, ...] = ()
    """Keyed 64-bit hashes of the reasoning signatures that it brings along."""
    goes_on: bool = False  # whether its account has itself asked what stands before: anybody may make up a conversation


@value
class Exchange:
    """One request, as the synchronous core decides it."""

    account: Account
    peer: Peer
    path: str
    features: Features
    fault: BadExchange | None = None
    """Why it can't be judged (then ``features`` are empty); None: it can."""
    kept: tuple[int, ...] = ()
    """Keyed hashes of the ids that it names (``conversations.py``)."""


# -- decision ------------------------------------------------------------------------------------------------------


class Quota(NamedTuple):
    """The state of one limit after a decision, for the RateLimit fields. Times in seconds, amounts in ``unit``."""

    limit: str
    unit: Literal["requests", "tokens", "cost", "concurrent"]
    amount: float
    window_s: float
    remaining: float
    reset_s: float


@value
class Evidence:
    """What one signal adds: ``nats`` of log-odds (before the group's cap), its group and a short reason."""

    signal: str
    group: str
    nats: float
    reason: str


class Held(NamedTuple):
    """What recognition holds of an exchange: it is one of a cluster's."""

    cluster: str | None
    """The cluster's stable name; None: the exchange is, its account is not (yet) held to be one of the cluster's."""
    score: float
    band: int
    """Index in ``BANDS``."""
    evidence: tuple[Evidence, ...]
    settled: bool
    """Whether the account has a life of its own, so that only this exchange is the cluster's."""
    merged: tuple[str, ...] = ()  # names of clusters that this one has taken over


@value
class Assessment:
    """What scoring holds of an exchange: the score, its band, the account's standing (0 to 1) and f, and the evidence."""

    score: float
    band: str
    standing: float
    factor: float = 1.0
    """f: what is left of the account's allowances (floor 0.02)."""
    evidence: tuple[Evidence, ...] = ()
    cluster: str | None = None
    """The name of the cluster that the exchange is held to be of; None: of none."""
    merged: tuple[str, ...] = ()


@value
class Decision:
    """What guard decided about one exchange. Stands in ``scope["state"]["guard"]``.

    ``action`` is what was judged; ``enforced`` tells whether it was carried out (not in mode ``observe``). ``public`` is
    the sentence the client may read, ``private`` what the operator needs. ``reasons`` are short stable names.
    """

    action: str
    enforced: bool
    status: int
    reference: str
    score: float
    band: str
    rule: str = ""
    reasons: tuple[str, ...] = ()
    public: str = ""
    private: str = ""
    retry_after_s: int = 0
    cluster: str | None = None
    evidence: tuple[Evidence, ...] = ()
    shadow: tuple[tuple[str, str], ...] = ()
    """(rule, action) of every rule in shadow whose conditions held."""
    quotas: tuple[Quota, ...] = ()
    grant: str = ""
    """The grant that held, or ``""``."""
    told: bool = True
    delay_s: float = 0.0
    reductions: tuple[tuple[str, object], ...] = ()
    notice: str = "none"
    """How the client is told of a delay or of reductions: ``header``, ``body`` (both) or ``none``; see ``notice.py``."""
    verify_at: str = ""
    """With ``challenge``: the address where the owner can verify the account."""
    merged: tuple[str, ...] = ()
    """Names of clusters that ``cluster`` has taken over."""

    @property
    def contained(self) -> bool:
        """True where the exchange is kept from the app altogether and guard answers it."""
        return self.enforced and self.action in {"limit", "challenge", "refuse"}


class Reserved(NamedTuple):
    """One charge that was taken: which meter, how much, in which unit."""

    meter: tuple[str, ...]
    unit: str
    cost: float


@value
class Receipt:
    """What was reserved where. Settlement and refund use it, never a new look-up."""

    exchange: Exchange
    decision: Decision
    at: float
    reserved: Sequence[Reserved] = ()
    pending: tuple[Bill, ...] = ()
    """Joint charges of a provisional account: only checked at admission, booked when the app accepts the credential."""
    lease: int = 0
    """The id of the concurrency slots held, 0: none."""


@value
class Usage:
    """What an exchange came to.

    ``status`` is the app's own answer (0: it never answered). ``output_tokens`` and ``input_tokens`` are the app's report
    where it made one that can be true (``reported``), else guard's count of what passed. ``complete`` is False when the
    answer was cut off.
    """

    status: int
    input_tokens: int
    output_tokens: int
    reported: bool
    complete: bool
    forwarded: bool = True
    """False: guard answered by itself, or failed before the app was called; then everything reserved is given back."""
    prefix: str = ""
    """The answer's message as a hash (``talk.prefix``); ``""``: not known."""
    signatures: tuple[str, ...] = ()  # those that it gave out, likewise


@dataclass(slots=True)
class Tally:
    """Counts an answer as it passes. Mutable on purpose: one for each answer, fed by the dialect.

    ``characters`` are those of generated text (answer, reasoning, tool arguments), ``text_bytes`` its size in UTF-8.
    ``input_tokens`` and ``output_tokens`` are what the app itself reported, −1 until it did.
    """

    characters: int = 0
    input_tokens: int = -1
    output_tokens: int = -1
    text_bytes: int = 0

    def issued(self, name: str) -> None:
        """The answer gives out an id under which the API keeps something. Who wants to know overrides this."""

    def said(self, text: str) -> None:
        """The next piece of the (first) answer's text itself, without reasoning and calls. Likewise."""

    def sealed(self, text: str) -> None:
        """The answer gives out a reasoning signature. Likewise."""
