"""What the operator says of verdicts, right or wrong, kept for ``guard calibrate``: one JSON line each, without content.

    {"v": 1, "at": …, "cluster": "c3-9f02aa", "right": true, "score": 0.97, "nats": 3.1, "accounts": 212,
     "exchanges": 5120, "evidence": [["even_load", "coordination", 3.0], …]}

Nobody is named: no account, no text, and of the operator's reason nothing (that stands in the audit). At most ``MOST_BYTES``:
then the older half goes.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from guard.errors import StateError
from guard.types import JSONObject

NAME = "feedback.jsonl"
MOST_BYTES = 1024 * 1024


class Feedback:
    """The file of the operator's feedback in ``folder`` (``""``: none is kept)."""

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, NAME) if folder else ""

    def note(self, dossier: JSONObject, *, right: bool, now: float) -> None:
        """Writes a line about the cluster of a dossier. Raises ``StateError`` where it can't be written or kept."""
        if not self.path:
            raise StateError("feedback is kept in the state directory, and the policy names none: set [state] dir")
        facts, inference = dossier["facts"], dossier["inference"]
        line = {
            "v": 1,
            "at": round(now, 3),
            "cluster": dossier["name"],
            "right": right,
            "score": inference["score"],
            "nats": inference["nats"],
            "accounts": facts["linked"],
            "exchanges": facts["exchanges"],
            "evidence": [[one["signal"], one["kind"], one["nats"]] for one in inference["evidence"]],
        }
        path = Path(self.path)
        try:
            self._halve(path)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab") as file:
                file.write(json.dumps(line).encode() + b"\n")
        except OSError as error:
            raise StateError(
                f"{path}: feedback can't be written ({error.strerror}); make room, or let guard's user write it"
            ) from error

    def _halve(self, path: Path) -> None:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return
        if len(content) < MOST_BYTES:
            return
        kept = content[content.index(b"\n", len(content) // 2) + 1 :]
        spare = path.with_suffix(".new")
        with open(os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(kept)
        spare.replace(path)
