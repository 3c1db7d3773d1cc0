"""The startup barrier: workers are threads, connected over the loopback interface."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlstm_tf.distributed.startup_barrier import wait_for_workers
from rlstm_tf.distributed.tf_config import Worker
from rlstm_tf.errors import DataError


def workers(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return [Worker(index, count, addresses[index], addresses[0]) for index in range(count)]


def test_no_worker_passes_before_all_have_started():
    all_started = threading.Event()
    early = []

    def start(worker):
        wait_for_workers(worker, 60)
        early.append(not all_started.is_set())

    with ThreadPoolExecutor(4) as pool:
        group = workers(4)
        started = [pool.submit(start, group[0])]
        # Ignores other clients, and a worker that ends before the last has reported.
        for text in (b"GET / HTTP/1.1\r\n", b"99", b"3"):
            with _connected(group[0].address) as connection:
                connection.sendall(text)
        started += [pool.submit(start, worker) for worker in group[1:3]]
        assert not any(future.done() for future in started)
        all_started.set()
        started.append(pool.submit(start, group[3]))
        for future in started:
            future.result()
    assert early == [False] * 4


def _connected(address):
    host, _, port = address.rpartition(":")
    while True:
        try:
            return socket.create_connection((host, int(port)))
        except ConnectionRefusedError:
            continue


def test_chief_names_missing_workers():
    group = workers(4)
    with ThreadPoolExecutor(2) as pool:
        chief, second = (
            pool.submit(wait_for_workers, group[0], 3),
            pool.submit(wait_for_workers, group[2], 3),
        )
        with pytest.raises(DataError, match=r"of 4 workers, number 1, 3 did not report .* 3 sec"):
            chief.result()
        with pytest.raises(DataError, match="worker 2 of 4 waited 3 seconds for worker 0 at 127"):
            second.result()


def test_chief_never_starts():
    with pytest.raises(DataError, match=r"worker 1 of 2 waited 1 .*Connection refused"):
        wait_for_workers(workers(2)[1], 1)


@pytest.mark.parametrize("index", [0, 1])
def test_address_in_use(index):
    with socket.create_server(("", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            DataError, match=f"worker {index} of 2 cannot listen at {address}: Addr"
        ):
            wait_for_workers(Worker(index, 2, address, address), 1)


def test_single_worker_passes():
    wait_for_workers(workers(1)[0], 1)
