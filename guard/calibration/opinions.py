"""What the operator said of verdicts (``guard clusters NAME --right`` and ``--wrong``), as one more source.

Only what was convicted is ever judged, so these groups say nothing of how often honest groups read high: they count in the fit
and in the margin, and not in the check of what signals promise. Of one cluster the last word counts.
"""

from __future__ import annotations

import json
from pathlib import Path

from guard.calibration.gathering import Gathered, Look
from guard.calibration.looks import CAMPAIGN, HONEST, Scales
from guard.errors import StateError

SOURCE = "feedback"


def listen(gathered: Gathered, path: str, scales: Scales) -> int:
    """Adds the feedback in a file (``guard/feedback.py`` says how it looks) and returns how many verdicts were judged; a file that
    isn't there holds none. Raises ``StateError`` where it can't be read."""
    try:
        lines = Path(path).read_bytes().splitlines()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise StateError(f"{path}: feedback can't be read ({error.strerror}); let this user read it") from error
    last: dict[str, Look] = {}
    for number, line in enumerate(lines, 1):
        try:
            judged = json.loads(line)
            said = {signal: float(nats) for signal, _, nats in judged["evidence"]}
            # A file that was copied from another guard may name signals that this one lacks: they say nothing here.
            nats = [
                said.get(name, 0.0) / scale if scale > 0.0 else said.get(name, 0.0)
                for name, scale in zip(scales.signals, scales.scale.tolist(), strict=True)
            ]
            score, total, right = float(judged["score"]), float(judged["nats"]), judged["right"] is True
            name = str(judged["cluster"])
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(f"{path}: line {number} is no feedback ({error}); take it out of the file") from error
        last[name] = Look(tuple(nats), right, False, 0, 0, 0, total, score, 3 if score >= 0.9 else 2)
    if not last:
        return 0
    gathered.sources.append(SOURCE)
    source = len(gathered.sources) - 1
    for name, look in last.items():
        unit = gathered.unit(source, CAMPAIGN if look.campaign else HONEST, "right" if look.campaign else "wrong")
        gathered.add(look._replace(group=gathered.group(source, name), unit=unit, source=source))
    return len(last)
