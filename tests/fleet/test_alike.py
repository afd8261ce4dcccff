"""Two policies are alike where they decide alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.config import load
from guard.fleet.alike import deciding

PLAIN = 'version = 1\nmode = "enforce"\n[protect]\nroutes = ["/v1/*"]\n'
RULE = '[[rule]]\nid = "one"\nwhen = { band = "suspect" }\naction = { delay = "1s" }\n'
LIMIT = '[[limit]]\nid = "few"\nper = ["account"]\nrequests = "3/day"\n'
WHOLE = PLAIN + RULE + LIMIT


@pytest.mark.parametrize(
    "added",
    [
        '[state]\ndir = "elsewhere"\n',
        '[state]\nstore = "redis://10.0.0.7:6379/0"\ndeadline = "50ms"\n',
        '[admin]\nsocket = "elsewhere/admin.sock"\n',
        '[audit]\nfile = "elsewhere/audit.jsonl"\n',
        '[record]\nfile = "elsewhere/log.jsonl"\n',
        "# a comment\n",
    ],
)
def test_where_files_lie_makes_no_other_policy(added: str) -> None:
    """State folder, store, socket, logs, and how the file is written."""
    assert deciding(load(WHOLE + added)) == deciding(load(WHOLE))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("3/day", "4/day"),
        ("1s", "2s"),
        ('"enforce"', '"observe"'),
        ('"suspect"', '"confirmed"'),
        ('["account"]', '["org"]'),
        ("[[limit]]", '[grants]\n"org:one" = { why = "a test" }\n[[limit]]'),
        ("[[limit]]", '[trust]\nhops = ["10.0.0.0/8"]\n[[limit]]'),
        ("[[limit]]", "[state]\nmax_accounts = 1000\n[[limit]]"),
    ],
)
def test_what_decides_makes_another(before: str, after: str) -> None:
    """Every setting that an exchange may meet."""
    other = WHOLE.replace(before, after, 1)
    assert other != WHOLE
    assert deciding(load(other)) != deciding(load(WHOLE))


def test_of_weights_the_content_counts(tmp_path: Path) -> None:
    """The same file in two places is the same; another content is not."""
    shipped = (Path(__file__).parents[2] / "guard" / "weights" / "v1.toml").read_text()
    digests = []
    for name, text in (("a", shipped), ("b", shipped), ("c", shipped + "\n# other\n")):
        (tmp_path / name).write_text(text)
        digests.append(deciding(load(WHOLE + f'[score]\nweights = "{tmp_path / name}"\n')))
    assert digests[0] == digests[1] != digests[2]
