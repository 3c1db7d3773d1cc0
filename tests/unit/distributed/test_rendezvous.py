"""Waiting for all workers: in threads, over the loopback interface."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rlstm_tf.distributed.startup_barrier import meet
from rlstm_tf.distributed.tf_config import Worker
from rlstm_tf.errors import DataError


def workers(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return [Worker(index, count, addresses[index], addresses[0]) for index in range(count)]


def test_nobody_goes_on_before_all_are_here():
    all_here = threading.Event()
    early = []

    def come(worker):
        meet(worker, 60)
        early.append(not all_here.is_set())

    with ThreadPoolExecutor(4) as pool:
        group = workers(4)
        coming = [pool.submit(come, group[0])]
        # A stranger, and one that reports and ends before the last is here, count for nobody.
        for text in (b"GET / HTTP/1.1\r\n", b"99", b"3"):
            with _connected(group[0].address) as connection:
                connection.sendall(text)
        coming += [pool.submit(come, worker) for worker in group[1:3]]
        assert not any(future.done() for future in coming)
        all_here.set()
        coming.append(pool.submit(come, group[3]))
        for future in coming:
            future.result()
    assert early == [False] * 4


def _connected(address):
    host, _, port = address.rpartition(":")
    while True:
        try:
            return socket.create_connection((host, int(port)))
        except ConnectionRefusedError:
            continue


def test_the_chief_names_who_is_missing():
    group = workers(4)
    with ThreadPoolExecutor(2) as pool:
        chief, second = pool.submit(meet, group[0], 3), pool.submit(meet, group[2], 3)
        with pytest.raises(DataError, match=r"of 4 workers, number 1, 3 did not report .* 3 sec"):
            chief.result()
        with pytest.raises(DataError, match="worker 2 of 4 waited 3 seconds for worker 0 at 127"):
            second.result()


def test_a_chief_that_never_starts():
    with pytest.raises(DataError, match=r"worker 1 of 2 waited 1 .*Connection refused"):
        meet(workers(2)[1], 1)


@pytest.mark.parametrize("index", [0, 1])
def test_an_address_that_is_taken(index):
    with socket.create_server(("", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            DataError, match=f"worker {index} of 2 cannot listen at {address}: Addr"
        ):
            meet(Worker(index, 2, address, address), 1)


def test_one_worker_waits_for_nobody():
    meet(workers(1)[0], 1)
