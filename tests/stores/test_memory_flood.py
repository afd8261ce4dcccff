"""A million made-up credentials against the memory store: SECURITY 115 to 117, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

FLOOD = """
import json, random, sys
from guard.contracts import Charge, Slots
from guard.stores.memory import MemoryStore

provisional = sys.argv[1] == "provisional"
NONE = Slots((), 1e10)
WINDOWS = (("requests", "0", 20.0, 60.0), ("requests", "1", 500.0, 86_400.0), ("tokens", "0", 200_000.0, 86_400.0))

def rss_mib():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

def hit(store, subject, shard, now, provisional=provisional):
    charges = [
        Charge(("free", unit, number, subject), 900.0 if unit == "tokens" else 1.0, most, most / span, shard, provisional,
               guarded="account", estimate=unit == "tokens")
        for unit, number, most, span in WINDOWS
    ]
    taken, lease = store.take(charges, NONE, now)
    if lease:
        store.settle([(taken.meters[2], -400.0)], lease, now)
    return taken.refused < 0

store = MemoryStore()
now, chance = 1.7e9, random.Random(5)
throttled = "f" * 32
used = sum(hit(store, throttled, 200, now, False) for _ in range(40))
hit(store, "0" * 32, 0, now)
before = rss_mib()
most, honest = 0.0, 0
for number in range(1_000_000):
    now += 0.001
    hit(store, f"{chance.getrandbits(128):032x}", number % 200, now)
    if number % 50_000 == 0:
        most = max(most, rss_mib())
        used += sum(hit(store, throttled, 200, now, False) for _ in range(40))
        honest += hit(store, f"{chance.getrandbits(128):032x}", 201 + number // 50_000, now, False)
print(json.dumps({"grown_mib": max(most, rss_mib()) - before, "used": used, "seconds": 1000, "honest": honest,
                  **store.counts()}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["provisional", "accepted"])
def test_a_million_credentials_stay_small_and_wash_nobody_clean(kind: str) -> None:
    """64 MiB at most; the throttled one gets its capacity and what drains in 1,000 s, not more; new honest ones are served."""
    run = subprocess.run([sys.executable, "-c", FLOOD, kind], capture_output=True, text=True, timeout=110, check=True)
    found = json.loads(run.stdout)
    print(found)

    assert found["grown_mib"] <= 64
    assert found["used"] <= 20 + 1_000 * 20 / 60
    assert found["honest"] == 20
    assert found["subjects_account"] <= 50_000
    assert found.get("subjects_account?", 0) <= 4_096
    assert found["leases"] == 0
