"""Counts what guard does, for Prometheus: plain integers on the request path, rendered when somebody scrapes.

At most 40 series names, and a number of series that no client can change: every label value comes from a fixed set (actions,
bands, dialects, stages, reasons that guard's parts and the policy name); any other value is counted as ``other``. No label
ever holds an account, an address, a path or a model.

    guard_exchanges_total{action, enforced, dialect}     decided exchanges
    guard_band_total{band}                               the same by band of the score
    guard_reasons_total{reason}                          reasons of everything but allow
    guard_faults_total{reason}                           requests that couldn't be judged
    guard_shadow_total{action}                           what rules in shadow would have done
    guard_grants_used_total, guard_provisional_total     exchanges under a grant; of credentials nobody vouched for yet
    guard_tokens_total{direction}                        of answered exchanges: input, output
    guard_usage_total{source}                            settled exchanges whose tokens were reported or counted
    guard_streams_total{end}                             answers that ended cut (by guard) or aborted (client or app)
    guard_stage_errors_total{stage}                      faults of guard's own
    guard_unprotected_posts_total                        JSON POSTs on paths that guard doesn't protect
    guard_overflow_total                                 charges to the shared meter of accounts there is no room to track
    guard_reloads_total{result}                          ok, failed
    guard_decision_seconds                               histogram of what a decision took
    guard_clusters{band}                                 clusters of accounts held to be one operator's
    guard_store_up, guard_store_replicas, guard_store_errors_total{kind}   of a store that replicas share, where there is one
    guard_in_flight, guard_mode{mode}, guard_policy_info{digest}, guard_start_time_seconds
    guard_<watched>                                      read when scraped: ``WATCHED``
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from guard.types import ACTIONS, BANDS, Receipt, Usage

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "other"
MAX_REASONS = 256
MODES = ("off", "observe", "enforce")
STAGES = (
    *(
        "call",
        "identity",
        "body",
        "dialect",
        "fingerprint",
        "scoring",
        "recognition",
        "ceilings",
        "policy",
        "limiter",
        "policy or limits",
        "settle",
    ),
    *("action", "reduce", "stream", "recorder", "snapshot", "describe"),
)
DECISION_BUCKETS_S = (0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.005)
# Numbers that others keep: name → (whether it only rises, what it is). ``Metrics.watch`` says where to read them.
WATCHED = MappingProxyType(
    {
        "accounts": (False, "Accounts that are tracked"),
        "waiting": (False, "Delayed requests that wait at this moment"),
        "waiting_refused_total": (True, "Delayed requests that were limited because no more may wait"),
        "account_room": (False, "Accounts that can be tracked"),
        "snapshot_time_seconds": (False, "When state was last saved, seconds since 1970"),
        "snapshot_failures_total": (True, "Times that state could not be saved"),
        "audit_written_total": (True, "Audit lines written"),
        "audit_suppressed_total": (True, "Audit lines left out because their account had used up its share"),
        "audit_failures_total": (True, "Failed writes of the audit"),
        "audit_lost_total": (True, "Audit lines that could not be kept"),
        "record_lost_total": (True, "Lines of the exchange log that could not be kept"),
        "families": (False, "Traits that three accounts or more have shown"),
        "groups": (False, "Families whose latest exchanges are weighed"),
        "traits": (False, "Traits by which exchanges are told to be a cluster's"),
        "recognition_waiting": (False, "Exchanges that recognition has still to look at"),
        "recognition_lost_total": (True, "Exchanges that recognition never saw because it was too far behind"),
        "recognition_busy_seconds_total": (True, "What recognition took beside the requests"),
        "recognition_lengthened_total": (True, "Rounds of recognition that took more than a tenth of a core"),
    }
)
# Reasons that guard's own parts give; signals, and the policy's rules and limits, are added by ``expect``.
OWN_REASONS = (
    *("block", "ceiling", "pool", "limit_requests", "limit_tokens", "limit_cost", "limit_concurrent"),
    *("anonymous", "charset", "compression", "connection", "content_encoding", "content_length", "content_type"),
    *("credentials", "duplicate_key", "guard_fault", "headers", "identity", "invalid_field", "method", "missing_field"),
    *("no_dialect", "not_an_object", "not_json", "path", "slow_body", "too_deep", "too_large", "too_many_items"),
    *("transfer_encoding", "unreadable_body", "busy", "waiting_room", "irreducible"),
)


class Metrics(Collector):
    """The counters of one guard. ``dialects`` are all plug-ins there are (``flat`` and ``none`` are added: routes without
    one); ``reasons`` are known names (``expect`` adds more).

    The registry is its own: nothing is added to the process's default one.
    """

    def __init__(self, *, dialects: Iterable[str], reasons: Iterable[str] = (), start: float = 0.0) -> None:
        self.unprotected = 0
        self.overflow = 0
        self.digest = ""
        self._mode: Callable[[], str] = lambda: ""
        self._start = start
        self._exchanges = {
            (action, enforced, dialect): 0
            for action in (*ACTIONS, OTHER)
            for enforced in (True, False)
            for dialect in (*sorted({"flat", "none", *dialects}), OTHER)
        }
        self._bands = dict.fromkeys((*BANDS, OTHER), 0)
        self._reasons = dict.fromkeys((*sorted(OWN_REASONS), OTHER), 0)
        self._faults = dict(self._reasons)
        self.expect(reasons)
        self._shadow = dict.fromkeys((*ACTIONS, OTHER), 0)
        self._stages = dict.fromkeys((*STAGES, OTHER), 0)
        self._reloads = {"ok": 0, "failed": 0}
        self._grants = self._provisional = self._in_flight = 0
        self._input = self._output = 0
        self._reported = self._counted = self._cut = self._aborted = 0
        self._buckets = [0] * (len(DECISION_BUCKETS_S) + 1)
        self._seconds = 0.0
        self._watched: dict[str, Callable[[], float]] = {}
        self._store: Callable[[], Mapping[str, Any]] | None = None
        self._clusters: Callable[[], Mapping[str, int]] = dict
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    # -- the request path ------------------------------------------------------------------------------------------

    def decided(self, receipt: Receipt, seconds: float) -> None:
        """Counts one decision and what it took."""
        decision, exchange = receipt.decision, receipt.exchange
        try:
            self._exchanges[decision.action, decision.enforced, exchange.features.dialect] += 1
            self._bands[decision.band] += 1
        except KeyError:
            self._odd(receipt)
        self._buckets[bisect_left(DECISION_BUCKETS_S, seconds)] += 1
        self._seconds += seconds
        self._in_flight += 1
        if decision.action != "allow" or decision.shadow or decision.grant or exchange.account.status == "provisional":
            self._remarkable(receipt)

    def settled(self, receipt: Receipt, usage: Usage, *, cut: bool = False) -> None:
        """Counts one settled exchange. ``cut``: guard ended the stream."""
        self._in_flight -= 1
        if not usage.forwarded:
            return
        self._input += usage.input_tokens
        self._output += usage.output_tokens
        if usage.reported:
            self._reported += 1
        else:
            self._counted += 1
        if not usage.complete:
            if cut:
                self._cut += 1
            else:
                self._aborted += 1

    # -- elsewhere -------------------------------------------------------------------------------------------------

    def stage_error(self, stage: str) -> None:
        """Counts a fault of guard's own."""
        self._stages[stage if stage in self._stages else OTHER] += 1

    def reloaded(self, *, ok: bool, digest: str = "") -> None:
        """Counts a reload; ``digest``: that of the policy now in force."""
        self._reloads["ok" if ok else "failed"] += 1
        if ok:
            self.digest = digest

    def expect(self, reasons: Iterable[str]) -> None:
        """Adds names that may be reasons: signals, and the policy's rules and limits. Beyond ``MAX_REASONS``: ``other``."""
        for reason in sorted(set(reasons)):
            if len(self._reasons) < MAX_REASONS:
                self._reasons.setdefault(reason, 0)

    def watch_mode(self, read: Callable[[], str]) -> None:
        """Asks for the mode in force at each scrape."""
        self._mode = read

    def watch_clusters(self, read: Callable[[], Mapping[str, int]]) -> None:
        """Asks for the number of clusters in each band at each scrape."""
        self._clusters = read

    def watch_store(self, read: Callable[[], Mapping[str, Any]]) -> None:
        """Asks for the condition of the shared store (``contracts.Remote.condition``) at each scrape."""
        self._store = read

    def watch(self, name: str, read: Callable[[], float]) -> None:
        """Reads that number at each scrape. ``name`` is one of ``WATCHED`` (else ``ValueError``)."""
        if name not in WATCHED:
            raise ValueError(f"{name!r} is not in metrics.WATCHED")
        self._watched[name] = read

    def counts(self) -> dict[str, int]:
        """Exchanges so far by action, carried out or not, and how many are in flight: for ``guard status``."""
        by_action = dict.fromkeys(ACTIONS, 0)
        for (action, _, _), count in self._exchanges.items():
            by_action[action] = by_action.get(action, 0) + count
        return {action: count for action, count in by_action.items() if count} | {"in_flight": self._in_flight}

    def text(self) -> bytes:
        """The Prometheus text format, version 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        yield _counter("exchanges", "Decided exchanges", ("action", "enforced", "dialect"), (
            ((action, "true" if enforced else "false", dialect), count)
            for (action, enforced, dialect), count in self._exchanges.items()
        ))  # fmt: skip
        yield _labelled("band", "Decided exchanges by band of the score", "band", self._bands)
        yield _labelled("reasons", "Reasons of everything but allow", "reason", self._reasons)
        yield _labelled("faults", "Requests that could not be judged", "reason", self._faults)
        yield _labelled("shadow", "What rules in shadow would have done", "action", self._shadow)
        yield _labelled(
            "tokens", "Tokens of answered exchanges", "direction", {"input": self._input, "output": self._output}
        )
        usage = {"reported": self._reported, "counted": self._counted}
        yield _labelled("usage", "Where the token counts of settled exchanges came from", "source", usage)
        ends = {"cut": self._cut, "aborted": self._aborted}
        yield _labelled("streams", "Answers that did not end by themselves", "end", ends)
        yield _labelled("stage_errors", "Faults of guard's own, by stage", "stage", self._stages)
        yield _labelled("reloads", "Reloads of the policy", "result", self._reloads)
        for name, what, count in (
            ("grants_used", "Exchanges under a grant", self._grants),
            ("provisional", "Exchanges of credentials that nobody has vouched for yet", self._provisional),
            ("unprotected_posts", "JSON POSTs on paths that guard does not protect", self.unprotected),
            ("overflow", "Charges to the meter shared by accounts that there is no room to track", self.overflow),
        ):
            yield _counter(name, what, (), [((), count)])
        yield _histogram(self._buckets, self._seconds)
        yield GaugeMetricFamily("guard_in_flight", "Exchanges decided and not yet settled", value=self._in_flight)
        mode = GaugeMetricFamily("guard_mode", "1 for the mode in force", labels=("mode",))
        now = self._mode()
        for name in MODES:
            mode.add_metric((name,), float(name == now))
        yield mode
        clusters = GaugeMetricFamily(
            "guard_clusters", "Clusters of accounts held to be one operator's", labels=("band",)
        )
        found = self._clusters()
        for name in BANDS[2:]:
            clusters.add_metric((name,), float(found.get(name, 0)))
        yield clusters
        if self._store is not None:
            store = self._store()
            what = "1 while the shared store answers, 0 while this replica goes on by what it last saw"
            yield GaugeMetricFamily("guard_store_up", what, value=float(store["state"] == "up"))
            yield GaugeMetricFamily("guard_store_replicas", "Replicas on the shared store", value=store["replicas"])
            yield _labelled("store_errors", "What the shared store failed with", "kind", store["errors"])
        yield InfoMetricFamily("guard_policy", "The policy in force", value={"digest": self.digest})
        yield GaugeMetricFamily(
            "guard_start_time_seconds", "When this guard started, seconds since 1970", value=self._start
        )
        for name, read in self._watched.items():
            rises, what = WATCHED[name]
            if rises:
                yield _counter(name.removesuffix("_total"), what, (), [((), read())])
            else:
                yield GaugeMetricFamily(f"guard_{name}", what, value=read())

    def _odd(self, receipt: Receipt) -> None:
        """A label value from outside the fixed sets: counted, under another name."""
        decision, dialect = receipt.decision, receipt.exchange.features.dialect
        key = (decision.action, decision.enforced, dialect)
        if key in self._exchanges:  # then it was the band, and the exchange is counted already
            self._bands[OTHER] += 1
            return
        known = (decision.action, decision.enforced, OTHER)
        self._exchanges[known if known in self._exchanges else (OTHER, decision.enforced, OTHER)] += 1
        self._bands[decision.band if decision.band in self._bands else OTHER] += 1

    def _remarkable(self, receipt: Receipt) -> None:
        decision, exchange = receipt.decision, receipt.exchange
        if decision.action != "allow":
            for reason in decision.reasons:
                self._reasons[reason if reason in self._reasons else OTHER] += 1
        for _, action in decision.shadow:
            self._shadow[action if action in self._shadow else OTHER] += 1
        if decision.grant:
            self._grants += 1
        if exchange.account.status == "provisional":
            self._provisional += 1
        if exchange.fault is not None:
            self._faults[exchange.fault.reason if exchange.fault.reason in self._faults else OTHER] += 1


def _counter(
    name: str, what: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"guard_{name}", what, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def _labelled(name: str, what: str, label: str, values: dict[str, int]) -> CounterMetricFamily:
    return _counter(name, what, (label,), (((value,), count) for value, count in values.items()))


def _histogram(buckets: list[int], total_s: float) -> HistogramMetricFamily:
    below, pairs = 0, []
    for bound, count in zip((*map(str, DECISION_BUCKETS_S), "+Inf"), buckets, strict=True):
        below += count
        pairs.append((bound, float(below)))
    return HistogramMetricFamily("guard_decision_seconds", "What a decision took", buckets=pairs, sum_value=total_s)
