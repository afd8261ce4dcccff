"""One policy with everything that is computed from it. A request holds one for its whole life."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from guard.call import Caller
from guard.conditions import bind
from guard.contracts import Dialect, Keeping, QueryKeyed, Store
from guard.hashing import HashKey
from guard.limiter import Limiter
from guard.policy import Judge
from guard.region import Regions
from guard.settings import Policy
from guard.unions import Unions


@dataclass(frozen=True, slots=True)
class Compiled:
    """``policy`` as bound to the key, and what reads it. What the limits count lives in the store and the unions, not here."""

    policy: Policy
    caller: Caller
    judge: Judge
    limiter: Limiter


def compiled(
    policy: Policy, key: HashKey, dialects: Mapping[str, Dialect], store: Store, unions: Unions, *, regions: Regions
) -> Compiled:
    """Compiles a policy."""
    bound = bind(policy, key)
    paths = {path: name for name, dialect in dialects.items() for path in dialect.paths}
    methods = {
        p: m for dialect in dialects.values() if isinstance(dialect, Keeping) for p, m in dialect.methods.items()
    }
    by_query = {name: dialect.by_query for name, dialect in dialects.items() if isinstance(dialect, QueryKeyed)}
    caller = Caller(bound, paths, methods, by_query, regions if regions.active else None)
    return Compiled(bound, caller, Judge(bound), Limiter(bound, store, unions))
