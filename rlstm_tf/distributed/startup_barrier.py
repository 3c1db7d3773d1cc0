"""Where the processes of a run wait until all of them have started.

TensorFlow's own wait cannot be interrupted, runs no other thread of Python, does not say who is
missing, and lasts for an hour. So the chief listens at its address before TensorFlow does, each
worker reports there, and when all have, they are told to go on.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time

from rlstm_tf.distributed.tf_config import Worker
from rlstm_tf.errors import DataError

SECONDS = 600.0
_RETRY_SECONDS = 0.5
_GO = b"go"


def meet(own: Worker, seconds: float = SECONDS) -> None:
    """Returns when every worker has called it.

    Args:
        own: this process.
        seconds: how long to wait for the others.

    Raises:
        DataError: some have not come in time, or this one cannot listen at its address.
    """
    deadline = time.monotonic() + seconds
    with _listener(own) as listener:
        if own.is_chief:
            _wait_for_all(own, listener, deadline, seconds)
            return
    # Closed again: it was only to see that TensorFlow will be able to listen there.
    _wait_for_chief(own, deadline, seconds)


def _listener(own: Worker) -> socket.socket:
    """At all addresses of this machine, as TensorFlow's server."""
    place = "", int(own.address.rpartition(":")[2])
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(place, family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(place)
    except OSError as error:
        raise DataError(
            f"worker {own.index} of {own.count} cannot listen at {own.address}: {error.strerror}"
        ) from error


def _wait_for_all(own: Worker, listener: socket.socket, deadline: float, seconds: float) -> None:
    here: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as stack:
        while len(here) < own.count - 1:
            listener.settimeout(max(deadline - time.monotonic(), 1e-3))
            try:
                connection = stack.enter_context(listener.accept()[0])
            except socket.timeout as error:
                missing = [str(index) for index in range(1, own.count) if index not in here]
                raise DataError(
                    f"of {own.count} workers, number {', '.join(missing)} did not report to "
                    f"{own.address} within {seconds:g} seconds"
                ) from error
            index = _reported(connection)
            if 1 <= index < own.count:
                here[index] = connection
            # Only one that has ended can be read from.
            ended = select.select(list(here.values()), [], [], 0)[0]
            here = {index: each for index, each in here.items() if each not in ended}
        for index, connection in here.items():
            try:
                connection.sendall(_GO)
            except OSError as error:
                raise DataError(f"worker {index} of {own.count} has ended") from error


def _reported(connection: socket.socket) -> int:
    """The number that a worker sends; -1 from anything else that may knock."""
    connection.settimeout(1.0)
    try:
        text = connection.recv(16)
    except OSError:
        return -1
    return int(text) if text.isdigit() else -1


def _wait_for_chief(own: Worker, deadline: float, seconds: float) -> None:
    host, _, port = own.chief.rpartition(":")
    reason = "it did not answer"
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), left) as connection:
                connection.sendall(str(own.index).encode())
                connection.settimeout(max(deadline - time.monotonic(), 1e-3))
                if connection.recv(len(_GO)) == _GO:
                    return
        except OSError as error:
            # It may still be starting.
            reason = error.strerror or str(error)
        time.sleep(_RETRY_SECONDS)
    raise DataError(
        f"worker {own.index} of {own.count} waited {seconds:g} seconds for worker 0 at "
        f"{own.chief}: {reason}"
    )
