"""Clusters on the loopback interface."""

from __future__ import annotations

import json
import socket


def free_addresses(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses


def tf_config(addresses, index, chief=False):
    """TF_CONFIG of process `index`; with `chief`, the first is called so."""
    cluster = {"worker": addresses}
    task = {"type": "worker", "index": index}
    if chief:
        cluster = {"chief": addresses[:1], "worker": addresses[1:]}
        task = {"type": "worker", "index": index - 1} if index else {"type": "chief", "index": 0}
    return json.dumps({"cluster": cluster, "task": task})
