"""Who is there: replicas and workers that have told so lately, and what they say of themselves."""

from __future__ import annotations

from typing import Any

import orjson

from guard.fleet.post import Beat

VERSION = 1
GONE_S = 3.5
"""Who was not there for so long is gone."""


def says(*, serves: bool, digest: str) -> bytes:
    """What one says of itself: whether requests come to it, and the policy that it runs."""
    return orjson.dumps({"v": VERSION, "serves": serves, "digest": digest})


class Roster:
    """As of the latest beat."""

    def __init__(self) -> None:
        self.beat: Beat | None = None
        """None: nothing was heard of anybody yet."""
        self.heard_at = 0.0
        """When that came, by this process's clock."""

    def living(self) -> list[tuple[str, dict[str, Any]]]:
        """Everybody who is there, and what he says."""
        beat = self.beat
        found = []
        for name, (beaten_ms, text) in beat.live.items() if beat is not None else ():
            if beat is not None and beat.at_ms - beaten_ms <= GONE_S * 1000:
                try:
                    said = orjson.loads(text)
                except ValueError:
                    continue
                if isinstance(said, dict):
                    found.append((name, said))
        return found

    @property
    def replicas(self) -> int:
        """How many serve; one at least: who asks."""
        return max(1, sum(said.get("serves") is True for _, said in self.living()))

    @property
    def workers(self) -> int:
        """How many don't."""
        return sum(said.get("serves") is False for _, said in self.living())

    def digests(self) -> dict[str, str]:
        """Replica → the policy that it runs."""
        return {name: str(said["digest"])[:64] for name, said in self.living() if "digest" in said}
