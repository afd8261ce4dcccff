"""What the operator knows of an account, for ``[identity] describe`` in a policy.

guard calls ``describe`` with the credential of a request and keeps the answer for ``describe_ttl``. It may be ``async``. Every
fact is optional; ids, organisations and payment traits are hashed at once and kept in no other form.
"""

from __future__ import annotations

from datetime import UTC, datetime

from guard.types import AccountFacts

# Stands for a table of the service's own database.
OWNERS = {
    "sk-trial-ada": AccountFacts(
        id="ada", tier="trial", verified=False, created=datetime(2026, 11, 1, tzinfo=UTC).timestamp()
    ),
    "sk-paid-bob": AccountFacts(
        id="bob",
        tier="paid",
        verified=True,
        payment="card:7731",
        org="bobs-books",
        country="DE",
        owner_country={"DE": 60, "FR": 40},
    ),
    "sk-paid-red": AccountFacts(id="red", tier="paid", verified=True, org="acme-evals", tags=frozenset({"evaluator"})),
}


def describe(credential: str) -> AccountFacts | None:
    """The facts of the key's owner; None: nobody we know, and guard treats the key as provisional."""
    return OWNERS.get(credential)
