"""Rows of several schedds, merged into request clusters. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.model.queues import RequestCluster

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connectors.htcondor.messages import ClusterRow


def merged(source: str, answers: Mapping[str, Sequence[ClusterRow]]) -> tuple[RequestCluster, ...]:
    """Return one request cluster for equal rows, whichever schedd they stand in; the largest first."""
    equal: dict[str, list[tuple[str, ClusterRow]]] = {}
    for schedd, rows in answers.items():
        for row in rows:
            equal.setdefault(row.key, []).append((schedd, row))
    clusters = [_cluster(source, key, its, several=len(answers) > 1) for key, its in equal.items()]
    return tuple(sorted(clusters, key=lambda one: (-one.idle, one.key)))


def cluster_key(source: str, key: str) -> str:
    """Return a row's key as it is known in the farm."""
    return f"{source}:{key}"


def _cluster(source: str, key: str, its: list[tuple[str, ClusterRow]], *, several: bool) -> RequestCluster:
    schedd, row = min(its, key=lambda one: (one[1].idle == 0, one[1].oldest_idle_at or float("inf")))
    queued = [one.oldest_idle_at for _, one in its if one.oldest_idle_at is not None]
    return RequestCluster(
        key=cluster_key(source, key),
        batch_system=source,
        vo=row.vo,
        requirements=row.requirements,
        idle=sum(one.idle for _, one in its),
        running=sum(one.running for _, one in its),
        held=sum(one.held for _, one in its),
        oldest_idle_at=min(queued, default=None),
        example_job=f"{row.first_job}@{schedd}" if several else row.first_job,
        problem=row.problem,
    )
