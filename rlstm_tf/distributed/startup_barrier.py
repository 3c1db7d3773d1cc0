"""Barrier that the processes of a run pass once all of them have started.

TensorFlow's own wait cannot be interrupted, blocks all threads of Python, does not name the missing
workers, and lasts an hour. So before TensorFlow starts, the chief listens at its address, each
worker reports its index there, and the chief answers when all have reported.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time

from rlstm_tf.distributed.tf_config import Worker
from rlstm_tf.errors import DataError

TIMEOUT_S = 600.0
_RETRY_S = 0.5
_GO = b"go"


def wait_for_workers(worker: Worker, timeout_s: float = TIMEOUT_S) -> None:
    """Returns when every worker has called it.

    Args:
        worker: this process.
        timeout_s: seconds to wait for the others.

    Raises:
        DataError: a worker is missing after the timeout, or this one cannot listen at its address.
    """
    deadline = time.monotonic() + timeout_s
    with _listen(worker) as listener:
        if worker.is_chief:
            _wait_for_all(worker, listener, deadline, timeout_s)
            return
    # Closed again: it only showed that TensorFlow will be able to listen at the address.
    _wait_for_chief(worker, deadline, timeout_s)


def _listen(worker: Worker) -> socket.socket:
    """Listens at all addresses of this machine, as TensorFlow's server does."""
    address = "", int(worker.address.rpartition(":")[2])
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(address)
    except OSError as error:
        raise DataError(
            f"worker {worker.index} of {worker.count} cannot listen at {worker.address}: "
            f"{error.strerror}"
        ) from error


def _wait_for_all(
    worker: Worker, listener: socket.socket, deadline: float, timeout_s: float
) -> None:
    connections: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as stack:
        while len(connections) < worker.count - 1:
            listener.settimeout(max(deadline - time.monotonic(), 1e-3))
            try:
                connection = stack.enter_context(listener.accept()[0])
            except socket.timeout as error:
                missing = [str(i) for i in range(1, worker.count) if i not in connections]
                raise DataError(
                    f"of {worker.count} workers, number {', '.join(missing)} did not report to "
                    f"{worker.address} within {timeout_s:g} seconds"
                ) from error
            index = _receive_index(connection)
            if 1 <= index < worker.count:
                connections[index] = connection
            # A waiting worker sends nothing more: a readable connection has ended.
            ended = select.select(list(connections.values()), [], [], 0)[0]
            connections = {i: each for i, each in connections.items() if each not in ended}
        for index, connection in connections.items():
            try:
                connection.sendall(_GO)
            except OSError as error:
                raise DataError(f"worker {index} of {worker.count} has ended") from error


def _receive_index(connection: socket.socket) -> int:
    """Returns the index that a worker sends; -1 from any other client."""
    connection.settimeout(1.0)
    try:
        text = connection.recv(16)
    except OSError:
        return -1
    return int(text) if text.isdigit() else -1


def _wait_for_chief(worker: Worker, deadline: float, timeout_s: float) -> None:
    host, _, port = worker.chief.rpartition(":")
    reason = "it did not answer"
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), left) as connection:
                connection.sendall(str(worker.index).encode())
                connection.settimeout(max(deadline - time.monotonic(), 1e-3))
                if connection.recv(len(_GO)) == _GO:
                    return
        except OSError as error:
            # The chief may still be starting.
            reason = error.strerror or str(error)
        time.sleep(_RETRY_S)
    raise DataError(
        f"worker {worker.index} of {worker.count} waited {timeout_s:g} seconds for worker 0 at "
        f"{worker.chief}: {reason}"
    )
