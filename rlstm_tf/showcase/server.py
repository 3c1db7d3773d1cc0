"""Serves the page, to browsers that fetch nothing from anywhere else."""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI

from rlstm_tf.errors import DataError, UsageError

# Requests for other servers, from Gradio or from a text that it shows, are refused by the browser.
_POLICY = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'"
# A browser keeps connections open for as long as it shows the page.
_SECONDS_TO_CLOSE = 1

Message = MutableMapping[str, Any]


def listen(host: str, port: int) -> socket.socket:
    """Opens a port, so that it is taken before a network is loaded.

    Args:
        host: address or name of this machine.
        port: its number; 0: any that is free.

    Raises:
        UsageError: the host is not known.
        DataError: the port is in use, or must not be opened.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", error)
        raise UsageError(f"--host={host}: {reason}") from None
    opened = socket.socket(family, kind, protocol)
    try:
        # Else it stays in use for a minute after a server has ended.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen()
    except OSError as error:
        opened.close()
        if error.errno == errno.EADDRINUSE:
            raise DataError(
                f"port {port} of {host} is in use: give another --port, or 0 for a free one"
            ) from None
        raise DataError(f"cannot open port {port} of {host}: {error.strerror}") from None
    return opened


class _Server(uvicorn.Server):
    """Tells that it ends at once, not when all requests are answered."""

    def __init__(self, config: uvicorn.Config, on_end: Callable[[], None]):
        super().__init__(config)
        self._on_end = on_end

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Handles a signal that ends the server."""
        self._on_end()
        super().handle_exit(sig, frame)


def serve(
    blocks: gr.Blocks, opened: socket.socket, max_bytes: int, on_end: Callable[[], None]
) -> None:
    """Serves a page until the process is interrupted.

    Args:
        blocks: the page.
        opened: from `listen`.
        max_bytes: largest file that may be uploaded.
        on_end: called when the process is interrupted. The server waits for what it has begun.

    Raises:
        KeyboardInterrupt: on SIGINT, once the server has ended.
    """
    app = gr.mount_gradio_app(
        *(FastAPI(openapi_url=None), blocks, "/"),
        footer_links=[],
        run_history=False,
        # Errors that nobody expects are for the terminal.
        show_error=False,
        max_file_size=max_bytes,
        ssr_mode=False,
        mcp_server=False,
    )
    config = uvicorn.Config(
        _with_policy(app),
        # Of an end, it would log each connection that it has to close.
        log_level="critical",
        timeout_graceful_shutdown=_SECONDS_TO_CLOSE,
    )
    _Server(config, on_end).run(sockets=[opened])


def _with_policy(app: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Adds the content security policy to every response."""

    async def call(scope: Message, receive: Any, send: Callable[[Message], Awaitable[None]]) -> Any:
        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), (b"content-security-policy", _POLICY)]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, send_with_policy)

    return call
