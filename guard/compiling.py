"""From the tables of a policy file to ``settings.Policy``: what needs more than one value to be understood.

Each function turns one table into its settings; what it can't make sense of goes to ``mistakes`` with its path. Only
``checks.py`` looks at several limits, rules or prices at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path as File
from types import MappingProxyType
from typing import Any, NamedTuple

from guard import settings
from guard.conditions import mentions
from guard.geo import installed
from guard.mistakes import Mistakes
from guard.places import Path
from guard.registry import discover, nearest
from guard.routes import FLAT, reads
from guard.schema import ActionTable, HeadersTable, LimitTable, PolicyTable, RouteTable, RuleTable, StateTable
from guard.storing import amiss
from guard.types import ACTIONS, Route
from guard.when import compile_tests, model_pattern
from guard.wording import DEFAULT_RETRY_S

# What a dialect without paths of its own can be told, where its class doesn't say (``options``).
_ROUTE_OPTIONS = ("prompt", "messages", "system", "model", "max_tokens", "stream", "user")
# An operator's module may fail on import in any of these ways; each is a mistake of the policy with its reason.
_IMPORT_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
# Headers that HTTP or the app speaks through.
_OTHERS = frozenset(
    {"content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "retry-after", "link"}
    | {"cache-control", "set-cookie", "location", "date", "server", "vary", "etag", "age", "upgrade", "trailer"}
)
_DEFAULT_BUDGET_TOKENS = 512
_DEFAULT_TOKENS_PER_S = 20.0


class Origin(NamedTuple):
    """Where a policy comes from: ``resolve`` tells whether what the file refers to is looked at (callable, weights)."""

    source: str
    digest: str
    resolve: bool


def compile_policy(
    table: PolicyTable, places: Mapping[str, list[int]], origin: Origin, mistakes: Mistakes
) -> settings.Policy:
    """The policy. ``places``: for ``limit``, ``rule`` and ``routes`` the index in the file of each entry."""
    body, state, audit, record = table.body, table.state, table.audit, table.record
    return settings.Policy(
        mode=table.mode,
        source=origin.source,
        digest=origin.digest,
        protect=_protect(table, places["routes"], mistakes),
        identity=_identity(table, origin, mistakes),
        trust=_trust(table, mistakes),
        region=_region(table, origin, mistakes),
        body=settings.Body(
            body.max_bytes, body.timeout, body.max_depth, body.max_items, body.max_headers, body.max_header_bytes
        ),
        limits=tuple(
            _limit(limit, ("limit", at), mistakes) for limit, at in zip(table.limit, places["limit"], strict=True)
        ),
        rules=tuple(_rule(rule, ("rule", at), mistakes) for rule, at in zip(table.rule, places["rule"], strict=True)),
        grants=tuple(
            settings.Grant(subject, grant.why, grant.until or 0.0, grant.told)
            for subject, grant in table.grants.items()
        ),
        prices=tuple(
            settings.Price(model_pattern(pattern), price.input, price.output)
            for pattern, price in (table.models.__pydantic_extra__ or {}).items()
        ),
        default_output_tokens=table.models.default_output_tokens,
        headers=_headers(table, mistakes),
        score=_score(table, origin, mistakes),
        ceilings=settings.Ceilings(table.ceilings.mode),
        admin=_admin(table, mistakes),
        state=_state(state, mistakes),
        audit=settings.Audit(audit.file, audit.max_bytes, audit.keep, audit.sample_allowed),
        record=settings.Record(record.file, record.bodies, record.max_bytes, record.keep),
    )


def known_paths() -> dict[str, str]:
    """Canonical path → name of the dialect that reads it, of every dialect there is."""
    return {path: name for name, plugin in discover("dialects").items() for path in plugin.paths}


def _protect(table: PolicyTable, places: list[int], mistakes: Mistakes) -> settings.Protect:
    flat = table.protect.unknown.flat if table.protect.unknown else 0
    known = known_paths()
    seen: set[str] = set()
    routes: list[Route] = []
    for at, route in zip(places, table.protect.routes, strict=True):
        place: Path = ("protect", "routes", at)
        if route.path.lower() in seen:
            mistakes.add(place, "the same path stands twice", "one entry for each path", route.path)
        seen.add(route.path.lower())
        routes.append(_route(route, place, mistakes))
        # Below a prefix any path may end with a known one (``/proxy/v1/messages``); an exact one does or doesn't.
        named = route.dialect or route.flat or flat or route.path.endswith("/*")
        if not named and not any(reads(path, route.path.lower()) for path in known):
            hint = 'name its dialect, or charge a flat cost: { path = "…", flat = 1000 }'
            mistakes.add(place, "no dialect knows this path", hint, route.path)
    return settings.Protect(tuple(routes), "flat" if flat else "refuse", flat, table.protect.websockets)


def _route(route: RouteTable, place: Path, mistakes: Mistakes) -> Route:
    options = tuple((key, str(value)) for key, value in (route.__pydantic_extra__ or {}).items())
    if route.flat:
        if route.dialect or options:
            mistakes.add((*place, "flat"), "a flat cost is for a path without a dialect", "leave one of both out")
        return Route(route.path, FLAT, (), route.flat)
    dialects = discover("dialects")
    plugin = dialects.get(route.dialect)
    if route.dialect and plugin is None:
        mistakes.add((*place, "dialect"), "unknown dialect", nearest(route.dialect, dialects), route.dialect)
        return Route(route.path, route.dialect, options)
    valid = getattr(plugin, "options", _ROUTE_OPTIONS if plugin is not None and not plugin.paths else ())
    for key, _ in options:
        if key not in valid:
            mistakes.add((*place, key), "unknown key", nearest(key, [*RouteTable.model_fields, *valid]))
    named = {key for key, value in options if value}
    if "prompt" in valid and not named & {"prompt", "messages"}:
        mistakes.add(
            place, f"dialect {route.dialect!r} needs to know where the text is", 'add prompt = "…" or messages = "…"'
        )
    return Route(route.path, route.dialect, options)


def _identity(table: PolicyTable, origin: Origin, mistakes: Mistakes) -> settings.Identity:
    identity = table.identity
    place = ("identity", "credential")
    if "" in identity.credential:
        mistakes.add(place, "isn't a header name", "letters, digits and '-', for example 'x-api-key'")
    if len(set(identity.credential)) < len(identity.credential):
        mistakes.add(place, "the same header stands twice", "one entry for each header")
    describe = _imported(identity.describe, mistakes) if identity.describe and origin.resolve else None
    return settings.Identity(
        tuple(identity.credential),
        identity.query,
        identity.cookie,
        describe,
        identity.describe_ttl,
        identity.anonymous,
        identity.ipv6_prefix,
    )


def _imported(name: str, mistakes: Mistakes) -> settings.Describe | None:
    module, _, attributes = name.partition(":")
    place = ("identity", "describe")
    try:
        found: Any = importlib.import_module(module)
        for attribute in attributes.split("."):
            found = getattr(found, attribute)
    except _IMPORT_FAULTS as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        mistakes.add(place, f"can't be imported: {reason}", "is its folder on the Python path?", name)
        return None
    if not callable(found):
        mistakes.add(place, "isn't a callable", "module:callable", name)
        return None
    imported: settings.Describe = found
    return imported


def _trust(table: PolicyTable, mistakes: Mistakes) -> settings.Trust:
    trust = table.trust
    named = [key for key in ("address", "country", "asn", "asn_kind", "ja4", "subdivision") if getattr(trust, key)]
    for key in named:
        if not trust.hops:
            mistakes.add(
                ("trust", key), "is believed from nobody without hops", 'add hops = ["…"], the networks of your proxies'
            )
    if len({getattr(trust, key) for key in named}) < len(named):
        mistakes.add(("trust",), "the same header stands for two facts", "one header for each fact")
    if trust.hops and not named:
        mistakes.warn(("trust", "hops"), "changes nothing: no header is named", 'add address = "x-forwarded-for"')
    for at, network in enumerate(trust.hops):
        if network.prefixlen == 0:
            mistakes.warn(("trust", "hops", at), "believes every client", "name only the networks of your proxies")
    if trust.subdivision and not trust.country:
        mistakes.add(("trust", "subdivision"), "is a part of the country that [trust] country names", "add country")
    headers = (trust.address, trust.country, trust.asn, trust.asn_kind, trust.ja4, trust.subdivision)
    return settings.Trust(tuple(trust.hops), *headers)


def _region(table: PolicyTable, origin: Origin, mistakes: Mistakes) -> settings.Region:
    """Whether its files are there is no mistake of the policy: they come and go, and ``guard check`` and health tell."""
    region = table.region
    for key, paths in (("country", region.country), ("asn", region.asn), *region.kinds.items()):
        place: Path = ("region", "kinds", key) if key in region.kinds else ("region", key)
        if len(set(paths)) < len(paths):
            mistakes.add(place, "the same file stands twice", "each once")
        if key in region.kinds and not paths:
            mistakes.add(place, "names no file", "a list of networks, or several")
        if key not in region.kinds and paths and origin.resolve and not installed():
            mistakes.add(place, "needs a package that isn't installed", "pip install 'extraction-guard[geo]'")
    return settings.Region(
        tuple(region.country),
        tuple(region.asn),
        region.max_age,
        tuple((kind, tuple(paths)) for kind, paths in region.kinds.items()),
        region.kinds_max_age or 0.0,
        region.embedded,
    )


def _state(table: StateTable, mistakes: Mistakes) -> settings.State:
    wrong = amiss(table.store)
    if wrong:
        mistakes.add(("state", "store"), wrong, "redis://host:6379/0, or env:NAME")
    elif "@" in table.store:
        mistakes.warn(("state", "store"), "has a password in the policy file", "write env:NAME and set that variable")
    return settings.State(
        table.dir, table.snapshot, table.max_accounts, table.lease, table.store, table.deadline, table.replicas
    )


def _limit(limit: LimitTable, place: Path, mistakes: Mistakes) -> settings.Limit:
    if not (limit.requests or limit.tokens or limit.cost or limit.concurrent) and not mistakes.within(place):
        mistakes.add(place, "limits nothing", "add requests, tokens, cost or concurrent")
    if len(set(limit.per)) < len(limit.per):
        mistakes.add((*place, "per"), "the same word stands twice", "each once")
    if "family" in limit.per and limit.mode != "off":
        mistakes.warn(
            (*place, "per"), "never holds: an exchange has some ten families", "ceilings limit each without being asked"
        )
    if "cluster" in limit.per and limit.concurrent and limit.mode != "off":
        mistakes.warn(
            (*place, "concurrent"), "is not counted per cluster", "limit requests or tokens, or concurrency per account"
        )
    for unit in ("requests", "tokens", "cost"):
        windows = getattr(limit, unit)
        for shorter, longer in pairwise(windows):
            if longer.amount <= shorter.amount:
                mistakes.warn((*place, unit), "the shorter window never bites", "the longer one allows no more")
    when = compile_tests(limit.when, (*place, "when"), mistakes)
    if mentions(when, frozenset({"replayed"})):
        mistakes.add((*place, "when"), "can't ask for replayed: limits know nothing of it", "a rule does")
    return settings.Limit(
        limit.id,
        tuple(limit.per),
        when,
        limit.requests,
        limit.tokens,
        limit.cost,
        limit.concurrent or 0,
        limit.mode,
        limit.on_store_error,
    )


def _rule(rule: RuleTable, place: Path, mistakes: Mistakes) -> settings.Rule:
    when = compile_tests(rule.when, (*place, "when"), mistakes)
    action, options = _action(rule.action, (*place, "action"), mistakes)
    return settings.Rule(rule.id, when, action, rule.mode, rule.public, MappingProxyType(options))


def _action(table: ActionTable, place: Path, mistakes: Mistakes) -> tuple[str, dict[str, Any]]:
    named = [name for name in ACTIONS if getattr(table, name) is not None]
    if len(named) != 1:
        mistakes.add(place, "must name one action", f"one of {', '.join(ACTIONS)}")
        return "allow", {}
    (action,) = named
    options: dict[str, Any] = {}
    if action in ("delay", "degrade", "challenge"):
        options["notice"] = table.notice or "header"
    elif table.notice:
        mistakes.add((*place, "notice"), f"means nothing with {action!r}", "it goes with delay, degrade and challenge")
    if action == "limit":
        options["retry_after_s"] = int(table.limit or DEFAULT_RETRY_S)
    elif action == "delay":
        options["delay_s"] = table.delay
    elif action == "challenge":
        options["url"] = table.challenge
    reductions = tuple(dict.fromkeys(table.degrade or ()))
    if reductions:
        options["reductions"] = reductions
    for reduction, key, default in (
        ("budget", "budget_tokens", _DEFAULT_BUDGET_TOKENS),
        ("model", "model", None),
        ("pace", "tokens_per_s", _DEFAULT_TOKENS_PER_S),
    ):
        value = getattr(table, key)
        if reduction in reductions:
            if value is None and default is None:
                mistakes.add(place, f"the reduction {reduction!r} needs its {key}", f'add {key} = "…"')
            options[key] = default if value is None else value
        elif value is not None:
            mistakes.add((*place, key), f"means nothing without the reduction {reduction!r}", "add it to degrade")
    return action, options


def _headers(table: PolicyTable, mistakes: Mistakes) -> settings.HeaderNames:
    named = {key: getattr(table.headers, key) for key in HeadersTable.model_fields}
    given = [name for name in named.values() if name]
    for key, name in named.items():
        if name in _OTHERS:
            mistakes.add(("headers", key), "means something else to every client", "a name of its own", name)
    if len(set(given)) < len(given):
        mistakes.add(("headers",), "the same header stands for two things", "one name for each")
    own = {key: HeadersTable.model_fields[key].default for key in named}
    return tuple((own[key].encode(), name.encode()) for key, name in named.items() if name != own[key])


def _score(table: PolicyTable, origin: Origin, mistakes: Mistakes) -> settings.Score:
    weights = table.score.weights
    if weights and origin.resolve and not File(weights).is_file():
        mistakes.add(("score", "weights"), "no such file", "a path from where the process starts", weights)
    return settings.Score(weights)


def _admin(table: PolicyTable, mistakes: Mistakes) -> settings.Admin:
    admin = table.admin
    if admin.tcp and not admin.token_file:
        mistakes.add(("admin", "tcp"), "needs token_file", "a file with a token of at least 32 bytes", admin.tcp)
    if admin.token_file and not admin.tcp:
        mistakes.warn(("admin", "token_file"), "is only asked for over tcp", "the socket is guarded by its file mode")
    return settings.Admin(admin.socket, admin.tcp, admin.token_file)
