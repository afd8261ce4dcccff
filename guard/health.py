"""How a running guard is, in plain words: ``ok``, or ``degraded`` and because of what. What ``guard status`` shows."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from guard.metrics import Metrics
from guard.recorder import AuditLog, ExchangeRecorder
from guard.types import JSONObject


class Surroundings(NamedTuple):
    """What the edge knows and the core doesn't, in sentences: ``degraded`` is broken now, ``warnings`` will cost later.

    ``looking``: how recognition keeps up, in numbers (busy_s, period_s, lengthened, longest_slice_s).
    """

    degraded: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    looking: Mapping[str, float] = MappingProxyType({})
    store: JSONObject | None = None
    """The condition of a store that replicas share; None: there is none."""


def health(
    numbers: Mapping[str, object],
    surroundings: Surroundings,
    audit: AuditLog,
    recorder: ExchangeRecorder | None,
    metrics: Metrics,
    *,
    stale: str = "",
) -> JSONObject:
    """Everything about a guard's condition, for people (``because``, ``warnings``) and programs.

    ``learning``: too little has been seen yet for anything but verdicts (no ceilings, no pool).
    ``numbers`` are ``Guard.status``'s; ``stale`` says why the policy file could not be taken up (``""``: it could).
    """
    broken, warnings = list(surroundings.degraded), list(surroundings.warnings)
    if stale:
        broken.append(f"the policy file has mistakes, the last good policy stays in force: {stale}")
    for name, writer in (("audit", audit), ("exchange log", recorder)):
        if writer is not None and writer.trouble:
            broken.append(f"the {name} can't be written: {writer.trouble} ({writer.lost} lines lost)")
        elif writer is not None and writer.lost:
            warnings.append(f"{writer.lost} lines of the {name} were lost")
    faults = numbers.get("faults")
    if isinstance(faults, dict) and faults:
        told = ", ".join(f"{stage} {count}" for stage, count in sorted(faults.items()))
        broken.append(f"parts of guard failed since the start: {told}")
    if not audit.path:
        warnings.append("no audit is kept: set [audit] file or [state] dir")
    if metrics.unprotected:
        warnings.append(f"JSON POSTs to paths that guard does not protect: {metrics.unprotected}")
    recognition = numbers.get("recognition")
    return {
        "learning": bool(recognition.get("learning")) if isinstance(recognition, dict) else False,
        "health": "degraded" if broken else "ok",
        "because": broken,
        "warnings": warnings,
        **numbers,
        **({"recognition": {**recognition, **surroundings.looking}} if isinstance(recognition, dict) else {}),
        **({} if surroundings.store is None else {"store": surroundings.store}),
        "stale_policy": bool(stale),
        "exchanges": metrics.counts(),
        "unprotected_posts": metrics.unprotected,
        "audit": {"file": audit.path, "written": audit.written, "left_out": audit.suppressed, "lost": audit.lost},
    }
