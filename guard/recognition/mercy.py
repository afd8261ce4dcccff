"""The operator's words, carried out on recognition: a verdict taken back, an account let go, an account forgotten.

``forgive`` leaves a pardon behind (``pardons.py``), ``release`` does not: it is what a grant does, which has an end.
"""

from __future__ import annotations

from guard.recognition.recognition import Recognition


def forgive(recognition: Recognition, key: str, now: float) -> bool:
    """Takes back what an account was linked for; False: it was linked to nothing."""
    known = recognition.accounts.find(key)
    if known is None or known.cluster == 0:
        return False
    cluster = recognition.clusters.number(known.cluster)
    if cluster is not None:
        recognition.pardons.pardon(cluster.name, cluster.heard, (), [known], now)
    recognition.clusters.let_go(known)
    return True


def forgive_cluster(recognition: Recognition, name: str, now: float) -> list[str] | None:
    """Takes back the verdict on a whole cluster, by its name or one it has taken over, and ends it.

    Returns the keys of the accounts that were linked to it; None: there is no such cluster.
    """
    cluster = recognition.clusters.find(name)
    if cluster is None:
        return None
    accounts, traits = recognition.clusters.release(cluster)
    # A group that was itself found to be the cluster is found again by its own trait, whether or not that was pure.
    for family in recognition.parts().groups.values():
        if family.convicted == cluster.number:
            family.convicted = 0
            traits.append(family.value)
    recognition.pardons.pardon(cluster.name, cluster.heard, traits, accounts, now)
    return [known.key for known in accounts]


def release(recognition: Recognition, name: str) -> int:
    """Lets the accounts go that ``account:<key>`` or ``org:<key>`` means (keyed hashes); how many were linked. O(accounts)
    for an organisation."""
    kind, _, key = name.partition(":")
    if kind == "account":
        known = recognition.accounts.find(key)
        meant = [] if known is None else [known]
    else:
        org = int(key[:16], 16)
        meant = [known for known in recognition.accounts if known.org == org]
    linked = [known for known in meant if known.cluster]
    recognition.pardons.spoken += bool(linked)
    for known in linked:
        recognition.clusters.let_go(known)
    return len(linked)


def erase(recognition: Recognition, key: str) -> bool:
    """Forgets an account altogether; False: it was not known."""
    known = recognition.accounts.find(key)
    if known is None:
        return False
    recognition.pardons.spoken += 1
    recognition.clusters.let_go(known)
    for cluster in recognition.clusters:
        cluster.bystanders.discard(known.number)
    recognition.ceilings.forget(known.number)
    recognition.hops.forget(known.number)
    recognition.forget(key)
    return recognition.accounts.forget(key)
