"""How the store that replicas share does: a line for the operator when that changes, and sentences for health. What wrong of it guard
has seen, and what would be wrong with it soon."""

from __future__ import annotations

from logging import INFO, WARNING

from guard.contracts import Remote
from guard.fleet.fleet import Fleet
from guard.logs import Log
from guard.recorder import AuditLog
from guard.types import JSONObject

_LOCAL = "the store does not answer: this replica goes on by what it last saw, with its share of every limit"


class StoreCondition:
    """``fleet``: the replicas that share it; None: they tell each other nothing."""

    def __init__(self, remote: Remote, fleet: Fleet | None, log: Log, audit: AuditLog) -> None:
        self._remote, self._fleet, self._log, self._audit = remote, fleet, log, audit
        self._told = ("up", 0)
        self._warned: frozenset[str] = frozenset()

    def tell(self, now: float) -> None:
        """A line when it goes and when it is back, and one a second at most while it fails; one for what will be wrong with it."""
        store = self._remote.condition(now)
        state, errors = str(store["state"]), sum(store["errors"].values())
        if (state, errors) != self._told:
            level = INFO if state == "up" and errors == self._told[1] else WARNING
            self._log.event("store", now, level, state=state, errors=errors, since=store["since"])
            if state != self._told[0]:
                self._audit.event("store", now, state=state)
            self._told = state, errors
        # By what they are about: the figures in them change all the time.
        warnings = {str(warning).partition(":")[0]: str(warning) for warning in store.get("warnings", ())}
        for about in warnings.keys() - self._warned:
            self._log.event("warning", now, WARNING, what=f"the store: {warnings[about]}")
        self._warned = frozenset(warnings)

    def health(self, now: float) -> tuple[JSONObject, list[str], list[str]]:
        """Its condition and that of the replicas on it, what is broken now, and what will cost later."""
        store = self._remote.condition(now)
        trouble = store.get("trouble")
        broken = [f"{_LOCAL} ({trouble})" if trouble else _LOCAL] if store["state"] != "up" else []
        warnings = [f"the store: {warning}" for warning in store.get("warnings", ())]
        if self._fleet is not None:
            store = store | {"fleet": self._fleet.condition(now)}
            warnings += store["fleet"]["warnings"]
        return store, broken, warnings
