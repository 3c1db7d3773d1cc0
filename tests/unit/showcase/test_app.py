"""What the command refuses before it serves a page."""

import socket
import sys

import pytest

from rlstm_tf import app as command
from rlstm_tf.cli import app


def refused(status, message, capsys, *line):
    assert app.run(command.main, command.define_flags, ["app", *line]) == status
    assert capsys.readouterr().err == f"error: {message}\n"


def make_version(path):
    """Writes what is found of a network before it is loaded."""
    (path / "assets").mkdir(parents=True)
    for name in ("saved_model.pb", "assets/model.json"):
        (path / name).write_text("")
    return path.parent


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ([], 2, "--model must be given: Directory that rlstm_tf.export wrote."),
        (["--model=x", "--window=0"], 2, "--window=0 must be 0.01 to 86400 seconds"),
        (["--model=x"], 1, "x holds no exported network: make one with rlstm_tf.export"),
    ],
)
def test_refused(line, status, message, capsys):
    refused(status, message, capsys, *line)


@pytest.mark.parametrize("name", ["gradio", "uvicorn", "fastapi"])
def test_a_missing_extra_is_named(name, tmp_path, monkeypatch, capsys):
    for module in [one for one in sys.modules if one.startswith("rlstm_tf.showcase")]:
        monkeypatch.delitem(sys.modules, module)
    # Only what is asked for first counts.
    for other in ("gradio", "uvicorn", "fastapi"):
        monkeypatch.setitem(sys.modules, other, None if other == name else pytest)
    model = make_version(tmp_path / "1")
    message = f"{name} is missing; the extra app brings it: pip install 'rlstm-tf[app]'"
    refused(2, message, capsys, f"--model={model}")


class TestListen:
    """Ports and hosts."""

    @pytest.fixture(autouse=True)
    def _extra(self):
        pytest.importorskip("gradio", reason="needs the extra app")

    def test_a_port_in_use(self, tmp_path, capsys):
        model = make_version(tmp_path / "1")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            message = (
                f"port {port} of 127.0.0.1 is in use: give another --port, or 0 for a free one"
            )
            refused(1, message, capsys, f"--model={model}", f"--port={port}")

    def test_an_unknown_host(self, tmp_path, capsys):
        model = make_version(tmp_path / "1")
        line = [f"--model={model}", "--host=no host"]
        assert app.run(command.main, command.define_flags, ["app", *line]) == 2
        assert capsys.readouterr().err.startswith("error: --host=no host: ")

    def test_any_free_port(self):
        from rlstm_tf.showcase import server

        with server.listen("127.0.0.1", 0) as one, server.listen("127.0.0.1", 0) as other:
            assert one.getsockname()[0] == "127.0.0.1"
            assert one.getsockname()[1] != other.getsockname()[1]
