"""Simulated accounts: what an operator knows of them, the client they use and the places they come from.

Everything here is made up: addresses are private ones (RFC 1918), networks have numbers for private use (RFC 6996), clients are
nobody's.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

JSONObject = dict[str, Any]
Network = Literal["home", "hosting", "rotating"]
DAY_S = 86_400.0
HOUR_S = 3_600.0
EAST_H = MappingProxyType(
    {"US": -6, "CA": -5, "BR": -3, "GB": 0, "DE": 1, "FR": 1, "ES": 1, "PL": 1, "IN": 5, "SG": 8, "JP": 9, "AU": 10}
)
"""Countries, and how many hours east of Greenwich they live."""
_COUNTRIES = tuple(EAST_H)
_PRIVATE_ASN = 64_512
_HOSTS = 6
_STACKS = (
    (("host", ""), ("user-agent", "simulated-sdk/2.1"), ("accept", ""), ("content-type", ""), ("authorization", "")),
    (("Host", ""), ("Accept", ""), ("Content-Type", ""), ("User-Agent", "simulated-node/5.0"), ("Authorization", "")),
    (("user-agent", "simulated-async/2.3"), ("host", ""), ("content-type", ""), ("accept-encoding", "")),
    (("Host", ""), ("User-Agent", "simulated-http/0.28"), ("Accept", ""), ("Accept-Encoding", ""), ("Connection", "")),
    (("accept", ""), ("host", ""), ("user-agent", "simulated-curl/8"), ("content-type", ""), ("authorization", "")),
    (("Content-Type", ""), ("Host", ""), ("User-Agent", "simulated-agent/1.9"), ("x-request-id", ""), ("Accept", "")),
)
_WEIGHTS = (30, 22, 16, 12, 8, 12)
_PATHS = MappingProxyType({"openai": "/v1/chat/completions", "anthropic": "/v1/messages"})
_MODELS = MappingProxyType(
    {"openai": ("simulated-small", "simulated-large"), "anthropic": ("simulated-quick", "simulated-deep")}
)


class Look(NamedTuple):
    """What a client looks like: its headers, and the model that is asked for."""

    headers: Sequence[tuple[str, str]]
    model: str


@dataclass(slots=True)
class Owner:
    """One account. ``account`` holds its facts as the log's format names them; ``places`` are the peers it comes from."""

    account: JSONObject
    places: list[JSONObject]
    headers: Sequence[tuple[str, str]]
    dialect: str
    model: str
    roams: float = 0.0
    """How often it comes from a new address: phones, rotating proxies."""
    more: JSONObject = field(default_factory=dict)
    """Fields that all its requests have: temperature, max_tokens, …"""

    @property
    def id(self) -> str:
        name: str = self.account["id"]
        return name

    @property
    def country(self) -> str:
        name: str = self.account["country"]
        return name

    def peer(self, dice: Random) -> JSONObject:
        """Where it comes from this time."""
        if self.roams and dice.random() < self.roams:
            self.places = [home(dice, dice.choice(_COUNTRIES) if self.roams >= 1.0 else self.country)]
        return dice.choice(self.places)

    def exchange(
        self, at: float, dice: Random, messages: list[dict[str, str]], label: JSONObject, answered: str = ""
    ) -> JSONObject:
        """One line of an exchange log. ``answered``: the answer's text; where it is given, the next turn can be bound to it."""
        body: JSONObject = {"model": self.model, **self.more}
        if self.dialect == "anthropic":
            body.setdefault("max_tokens", 1024)
            if messages[0]["role"] == "system":
                body["system"] = messages[0]["content"]
                messages = messages[1:]
        body["messages"] = messages
        response: JSONObject = {
            "status": 200,
            "input_tokens": sum([len(turn["content"]) for turn in messages]) // 4 + 8,
            "output_tokens": len(answered) // 4 + dice.randrange(60, 500),
        }
        if answered:
            response["prefix"] = prefix(answered)
        return {
            "at": round(at, 3),
            "account": self.account,
            "peer": self.peer(dice),
            "request": {"method": "POST", "path": _PATHS[self.dialect], "headers": self.headers, "body": body},
            "response": response,
            "label": label,
        }


def prefix(answered: str) -> str:
    """``response.prefix`` of an answer, as the log's format says."""
    said = f"assistant\n{unicodedata.normalize('NFC', answered)}"
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def home(dice: Random, country: str) -> JSONObject:
    """Somebody's own line."""
    place = _COUNTRIES.index(country)
    return {
        "ip": f"10.{16 + place}.{dice.randrange(256)}.{dice.randrange(1, 255)}",
        "country": country,
        "asn": _PRIVATE_ASN + place,
        "asn_kind": "isp",
    }


def hosted(dice: Random, host: int) -> JSONObject:
    """A server at one of a few hosts; each has a few subnets."""
    return {
        "ip": f"10.{200 + host}.{dice.randrange(24)}.{dice.randrange(1, 255)}",
        "country": ("US", "DE", "SG")[host % 3],
        "asn": _PRIVATE_ASN + 100 + host,
        "asn_kind": "hosting",
    }


class Facts(NamedTuple):
    """What accounts of one kind have in common; what is left open is drawn for each."""

    age_days: tuple[float, float] = (1.0, 900.0)
    """How old it is when the traffic begins: from, to."""
    tier: str = ""
    verified: float = 0.3
    """How likely its owner is verified."""
    network: Network = "home"
    country: str = ""
    dialect: str = ""
    payment: str | None = None
    """Its means of payment; None: one of its own, if it pays."""
    org: str = ""
    stack: int = -1
    """Its client; −1: one that is common."""
    more: Mapping[str, Any] = MappingProxyType({})


def owner(dice: Random, name: str, start: float, facts: Facts) -> Owner:
    """An account of its own."""
    country = facts.country or dice.choice(_COUNTRIES)
    dialect = facts.dialect or dice.choice(("openai", "openai", "anthropic"))
    tier = facts.tier or dice.choice(("free", "paid"))
    account: JSONObject = {
        "id": name,
        "created": round(start - dice.uniform(*facts.age_days) * DAY_S, 3),
        "tier": tier,
        "verified": dice.random() < facts.verified,
        "country": country,
        "signup": f"mail-{dice.randrange(5)}",
    }
    payment = f"card-{name}" if facts.payment is None and tier != "free" else facts.payment
    if payment:
        account["payment"] = payment
    if facts.org:
        account["org"] = facts.org
    roams = 0.0
    if facts.network == "hosting":
        places = [hosted(dice, dice.randrange(_HOSTS))]
    else:
        places = [home(dice, country)]
        # Every fifth person comes by phone, whose address changes.
        roams = 1.0 if facts.network == "rotating" else dice.uniform(0.2, 0.9) if dice.random() < 0.2 else 0.0
    headers = dice.choices(_STACKS, _WEIGHTS)[0] if facts.stack < 0 else _STACKS[facts.stack % len(_STACKS)]
    return Owner(account, places, headers, dialect, dice.choice(_MODELS[dialect]), roams, dict(facts.more))
