"""Parses TF_CONFIG, the environment variable with the cluster and the worker of a process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rlstm_tf.errors import UsageError
from rlstm_tf.storage.bounded import parse_json_text

_EXAMPLE = (
    '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}'
)


@dataclass(frozen=True)
class Worker:
    """One of the processes that train together.

    Attributes:
        index: number of the worker, from 0; worker 0 is the chief.
        count: number of workers.
        address: address of the worker, HOST:PORT.
        chief: address of worker 0.
    """

    index: int
    count: int
    address: str
    chief: str

    @property
    def is_chief(self) -> bool:
        """True for the worker that writes the run's files."""
        return self.index == 0


def read_worker(text: str | None) -> Worker:
    """Returns the worker that TF_CONFIG assigns to this process.

    Checks everything, because with a wrong value TensorFlow trains alone or waits forever.

    Args:
        text: the variable's value; None if it is not set.

    Raises:
        UsageError: the value is missing or wrong.
    """
    if not text:
        raise UsageError(
            f"--strategy=multi_worker needs TF_CONFIG in the environment, such as {_EXAMPLE}"
        )
    try:
        config = parse_json_text(text)
    except ValueError as error:
        raise UsageError(
            f"TF_CONFIG is not JSON ({error}); it must look like {_EXAMPLE}"
        ) from error
    if not isinstance(config, dict):
        raise UsageError(f"TF_CONFIG={text}: must look like {_EXAMPLE}")
    jobs = _parse_cluster(config.get("cluster"))
    kind, index = _parse_task(config.get("task"))
    if kind not in jobs:
        raise UsageError(f'TF_CONFIG: "task" is a {kind}, "cluster" has {_list_kinds(jobs)}')
    if index >= len(jobs[kind]):
        raise UsageError(
            f'TF_CONFIG: "task" is {kind} {index}, "cluster" has {len(jobs[kind])}, numbered from 0'
        )
    # TensorFlow counts the chief first.
    addresses = [*jobs.get("chief", ()), *jobs.get("worker", ())]
    own = jobs[kind][index]
    return Worker(addresses.index(own), len(addresses), own, addresses[0])


def _parse_cluster(cluster: Any) -> dict[str, list[str]]:
    if not isinstance(cluster, dict) or not cluster:
        raise UsageError(f'TF_CONFIG has no "cluster"; it must look like {_EXAMPLE}')
    for kind, addresses in cluster.items():
        if kind not in ("chief", "worker"):
            raise UsageError(
                f'TF_CONFIG: "cluster" has {_list_kinds(cluster)}; chief and worker are allowed'
            )
        if not isinstance(addresses, list) or not all(map(_is_address, addresses)):
            raise UsageError(
                f"TF_CONFIG: {kind} is {json.dumps(addresses)}, must be a list of HOST:PORT"
            )
    if len(cluster.get("chief", ())) > 1:
        raise UsageError(f'TF_CONFIG: "cluster" has {len(cluster["chief"])} chiefs, must have one')
    addresses = [address for job in cluster.values() for address in job]
    if len(set(addresses)) < len(addresses):
        raise UsageError(f"TF_CONFIG: an address occurs twice in {json.dumps(addresses)}")
    return cluster


def _parse_task(task: Any) -> tuple[str, int]:
    task = task if isinstance(task, dict) else {}
    kind, index = task.get("type"), task.get("index")
    if isinstance(index, str) and index.isdecimal():
        index = int(index)  # as TensorFlow does
    if not isinstance(kind, str) or type(index) is not int or index < 0:
        raise UsageError(
            f'TF_CONFIG has no "task" with a type and an index; it must look like {_EXAMPLE}'
        )
    return kind, index


def _is_address(address: Any) -> bool:
    if not isinstance(address, str):
        return False
    host, _, port = address.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536


def _list_kinds(jobs: dict[str, Any]) -> str:
    return " and ".join(sorted(jobs))
