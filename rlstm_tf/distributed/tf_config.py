"""TF_CONFIG, the variable that tells a process which worker of which cluster it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rlstm_tf.errors import UsageError

_EXAMPLE = (
    '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}'
)


@dataclass(frozen=True)
class Worker:
    """One of the processes that train together.

    Attributes:
        index: from 0; worker 0 is the chief.
        count: of all processes.
        address: its own, HOST:PORT.
        chief: address of worker 0.
    """

    index: int
    count: int
    address: str
    chief: str

    @property
    def is_chief(self) -> bool:
        """Whether it is the one that writes."""
        return self.index == 0


def read_worker(text: str | None) -> Worker:
    """What TF_CONFIG says about this process.

    Args:
        text: the variable's value; None if it is not set.

    Raises:
        UsageError: it says nothing of use: all that can be wrong with it is named here, because
            TensorFlow takes a wrong one for a cluster of one, or waits for workers without end.
    """
    if not text:
        raise UsageError(
            f"--strategy=multi_worker needs TF_CONFIG in the environment, as {_EXAMPLE}"
        )
    try:
        config = json.loads(text)
    except ValueError as error:
        raise UsageError(f"TF_CONFIG is no JSON ({error}); it must be as {_EXAMPLE}") from error
    if not isinstance(config, dict):
        raise UsageError(f"TF_CONFIG={text}: must be as {_EXAMPLE}")
    jobs = _jobs(config.get("cluster"))
    kind, index = _task(config.get("task"))
    if kind not in jobs:
        raise UsageError(f'TF_CONFIG: "task" is a {kind}, "cluster" has {_listed(jobs)}')
    if index >= len(jobs[kind]):
        raise UsageError(
            f'TF_CONFIG: "task" is {kind} {index}, "cluster" has {len(jobs[kind])}, from 0 on'
        )
    # TensorFlow counts the chief first.
    addresses = [*jobs.get("chief", ()), *jobs.get("worker", ())]
    own = jobs[kind][index]
    return Worker(addresses.index(own), len(addresses), own, addresses[0])


def _jobs(cluster: Any) -> dict[str, list[str]]:
    if not isinstance(cluster, dict) or not cluster:
        raise UsageError(f'TF_CONFIG has no "cluster"; it must be as {_EXAMPLE}')
    for kind, addresses in cluster.items():
        if kind not in ("chief", "worker"):
            raise UsageError(
                f'TF_CONFIG: "cluster" has {_listed(cluster)}; chief and worker are allowed'
            )
        if not isinstance(addresses, list) or not all(map(_is_address, addresses)):
            raise UsageError(
                f"TF_CONFIG: {kind} is {json.dumps(addresses)}, must be a list of HOST:PORT"
            )
    if len(cluster.get("chief", ())) > 1:
        raise UsageError(f'TF_CONFIG: "cluster" has {len(cluster["chief"])} chiefs, must have one')
    addresses = [address for job in cluster.values() for address in job]
    if len(set(addresses)) < len(addresses):
        raise UsageError(f"TF_CONFIG: an address stands twice in {json.dumps(addresses)}")
    return cluster


def _task(task: Any) -> tuple[str, int]:
    task = task if isinstance(task, dict) else {}
    kind, index = task.get("type"), task.get("index")
    if isinstance(index, str) and index.isdecimal():
        index = int(index)  # as TensorFlow takes it
    if not isinstance(kind, str) or type(index) is not int or index < 0:
        raise UsageError(f'TF_CONFIG has no "task" with a type and an index; must be as {_EXAMPLE}')
    return kind, index


def _is_address(address: Any) -> bool:
    if not isinstance(address, str):
        return False
    host, _, port = address.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536


def _listed(jobs: dict[str, Any]) -> str:
    return " and ".join(sorted(jobs))
