"""Past traffic under a policy: ``guard replay`` without its command line.

    log, replay = ExchangeLog(), Replay(load("standard"))
    for line in lines:
        outcome = replay.decide(log.read(line))

``log.py`` reads and checks the lines of an exchange log, ``run.py`` decides them by the log's own clock, ``tally.py`` counts
what came out, ``comparison.py`` what a second policy would change and for whom, ``drive.py`` does all that from one stream to
another.
"""

from guard.replay.comparison import Comparison
from guard.replay.drive import Job, Progress
from guard.replay.log import ExchangeLog, Logged
from guard.replay.run import Outcome, Replay
from guard.replay.tally import Tally

__all__ = ["Comparison", "ExchangeLog", "Job", "Logged", "Outcome", "Progress", "Replay", "Tally"]
