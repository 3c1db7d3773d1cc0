"""Shows an exported network at work: a page in the browser, on this machine.

    python -m rlstm_tf.app --model=saved_models/demo
    python -m rlstm_tf.app --model=saved_models/demo --run_dir=runs/demo

Drop a video or record one: the page draws its classes over time, and shows the frame at the time
that is clicked. With the run that the network was exported from, it also shows the relation maps of
that moment. Nothing leaves this machine. Ctrl-C ends it. Needs the extra `app`:
pip install 'rlstm-tf[app]'.
"""

from __future__ import annotations

import contextlib
import signal
import tempfile
from typing import Any

from absl import flags

from rlstm_tf.cli import app, window_flags
from rlstm_tf.cli.flags import require
from rlstm_tf.cli.paths import define_path
from rlstm_tf.messages import say
from rlstm_tf.runs.remote import ONLY_FOR_TRAINING, local_mirror


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags."""
    own: dict[str, Any] = {"flag_values": values}
    define_path("model", None, "Directory that rlstm_tf.export wrote.", **own)
    define_path("run_dir", None, "The run that it was exported from, for relation maps.", **own)
    flags.DEFINE_string(
        "host", "127.0.0.1", "Address to listen at; 0.0.0.0 lets other machines in.", **own
    )
    flags.DEFINE_integer("port", 7860, "Port to listen at; 0 = any free one.", 0, 65535, **own)
    window_flags.define(values)
    help_text = "Largest video that is taken, in units of 1,000,000 bytes."
    flags.DEFINE_integer("max_megabytes", 200, help_text, 1, 1_000_000, **own)
    help_text = "Longest video that is taken, seconds."
    flags.DEFINE_float("max_seconds", 300.0, help_text, 0.1, 86_400, **own)


def main(values: flags.FlagValues) -> None:
    """Loads the network and serves the page until it is interrupted."""
    require(values, "model")
    window, stride = window_flags.get(values)
    from rlstm_tf.data.timeline import check_windows
    from rlstm_tf.serving.artifact import find_newest_version, newest_version_source
    from rlstm_tf.serving.predictor import Predictor

    check_windows(window, stride)
    with contextlib.ExitStack() as stack:
        model = stack.enter_context(local_mirror(newest_version_source(values.model)))
        version = find_newest_version(model.path)
        with app.importing_extra("app", "fastapi", "gradio", "matplotlib", "uvicorn"):
            from rlstm_tf.showcase import server
        opened = stack.enter_context(server.listen(values.host, values.port))
        app.load_tensorflow()
        predictor = Predictor.load(version)
        with app.importing_extra("app", "jinja2", "matplotlib"):
            from rlstm_tf.showcase.analysis import Options
            from rlstm_tf.showcase.page import Page
            from rlstm_tf.showcase.relations import Relations

        options = Options(window, stride, values.max_megabytes, values.max_seconds)
        relations = None
        if values.run_dir:
            run = stack.enter_context(local_mirror(values.run_dir, ONLY_FOR_TRAINING))
            relations = Relations.load(run.path, values.run_dir, predictor)
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        page = Page(predictor, options, relations, directory)
        blocks = page.build()
        host, port = opened.getsockname()[:2]
        say(f"open http://{f'[{host}]' if ':' in host else host}:{port}/ (Ctrl-C ends it)")
        # So that uploads are deleted.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve(blocks, opened, values.max_megabytes * 1_000_000, page.end)


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))
