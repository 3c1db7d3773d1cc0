"""Clusters on the loopback interface."""

from __future__ import annotations

import json
import socket

# Bound, not listening: nobody is given their ports meanwhile, and who asks for one may have it.
_kept = []


def free_addresses(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.bind(("127.0.0.1", 0))
    _kept.extend(sockets)
    return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


def tf_config(addresses, index, chief=False):
    """TF_CONFIG of process `index`; with `chief`, the first is called so."""
    cluster = {"worker": addresses}
    task = {"type": "worker", "index": index}
    if chief:
        cluster = {"chief": addresses[:1], "worker": addresses[1:]}
        task = {"type": "worker", "index": index - 1} if index else {"type": "chief", "index": 0}
    return json.dumps({"cluster": cluster, "task": task})
