"""Shows where the Relational LSTM of a trained run attends in a video.

    python -m rlstm_tf.explain clip.mp4 --run_dir=runs/demo --output=relations.html

Writes one self-contained page with the frames that the network sees. A click on a cell shows its
attention, gate by gate: the spatial relation r(X_t, X_t) in that frame, and the temporal relation
r(X_t, H_{t-1}) in the past. --gif writes the attention of one position as an animation. Needs the
extra `report`: pip install 'rlstm-tf[report]'.
"""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

from absl import flags as absl_flags

from rlstm_tf.cli import app, flags, input_flags
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.messages import say
from rlstm_tf.runs.directory import define_run_flags, read_flags
from rlstm_tf.runs.remote import ONLY_FOR_TRAINING, local_mirror
from rlstm_tf.storage.atomic import write_atomic, writing


def define_flags(values: absl_flags.FlagValues) -> None:
    """Defines the flags."""
    define_run_flags(values)
    own: dict[str, Any] = {"flag_values": values}
    define_path("video", None, "Video file, or folder of pictures; --video= can be omitted.", **own)
    define_path("output", None, "Page to write, HTML.", **own)
    define_path("gif", None, "Animation to write, GIF.", **own)
    absl_flags.DEFINE_list(
        "position",
        None,
        "ROW,COLUMN of the cell that is selected first, and of the animation, counted from 1; "
        "the cell with the sharpest attention if unset.",
        **own,
    )


def main(values: absl_flags.FlagValues) -> None:
    """Decodes the video, runs the network and writes the outputs."""
    flags.require(values, "video", "run_dir")
    flags.check_local(values, "output", "gif")
    _check_outputs(values)
    with local_mirror(values.run_dir, ONLY_FOR_TRAINING) as run:
        _explain(values, run.path)


def _explain(values: absl_flags.FlagValues, run_dir: Path) -> None:
    settings: Any = read_flags(run_dir / "flags.cfg")
    arguments = input_flags.arguments(settings)
    app.load_tensorflow()
    with app.importing_extra("report", "jinja2", "PIL"):
        from rlstm_tf.attention import animation, page
    from rlstm_tf.attention.clip import make_clip
    from rlstm_tf.attention.maps import compute_attention_maps, require_relational_lstm
    from rlstm_tf.data.input_config import InputConfig
    from rlstm_tf.data.video_views import RecordFormat, video_views
    from rlstm_tf.runs.directory import RunDirectory
    from rlstm_tf.runs.weights import load_model
    from rlstm_tf.serving.predictor import read_video

    run = RunDirectory(run_dir)
    classes, manifest = run.classes(), run.manifest()
    model, checkpoint = load_model(run_dir, values.checkpoint, settings, len(classes))
    map_shape = require_relational_lstm(model).cell.map_shape
    position = _parse_position(values, map_shape)
    if values.output:
        page.check_size(settings.num_segments, map_shape)
    record_format, config = RecordFormat.from_manifest(manifest), InputConfig(**arguments)
    views = read_video(values.video, lambda: video_views(values.video, record_format, config))
    try:
        maps = compute_attention_maps(model, views.frames[0])
    except FloatingPointError as error:
        raise DataError(f"{checkpoint}: {error}") from None
    clip = make_clip(views, settings.stream == "temporal", maps.logits, classes)
    start = maps.peak(position)
    if values.output:
        network = f"{settings.model}, {settings.stream} stream"
        title = os.path.basename(values.video)
        source = page.Source(title, values.run_dir, checkpoint.name, network)
        _write(values.output, page.render(clip, maps, start, source))
    if values.gif:
        _write(values.gif, animation.render(clip, maps, start[1]))


def _check_outputs(values: absl_flags.FlagValues) -> None:
    """Checks that the outputs can be written before the work begins."""
    paths: dict[str, str] = {"output": values.output or "", "gif": values.gif or ""}
    if not any(paths.values()):
        raise UsageError("--output=PAGE.html or --gif=ANIMATION.gif must be given, or both")
    taken = {os.path.realpath(values.video): "the video"}
    for name, path in ((name, path) for name, path in paths.items() if path):
        target = os.path.realpath(path)
        if target in taken:
            raise UsageError(f"--{name}={path} is {taken[target]}")
        taken[target] = f"--{name}"
        with writing(path):
            if os.path.isdir(path):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            # The nearest parent that exists: `_write` creates the others.
            parents = Path(path).absolute().parents
            with tempfile.TemporaryFile(dir=next(p for p in parents if p.exists())):
                pass


def _parse_position(values: absl_flags.FlagValues, map_shape: tuple[int, int]) -> int | None:
    """Returns --position as an index from 0, or None."""
    if not values.position:
        return None
    rows, columns = map_shape
    given = [int(text) if text.isdecimal() else 0 for text in values.position]
    if len(given) != 2 or not (1 <= given[0] <= rows and 1 <= given[1] <= columns):
        raise UsageError(
            f"--position={','.join(values.position)}: ROW,COLUMN of a map of {rows} rows and "
            f"{columns} columns, counted from 1"
        )
    return (given[0] - 1) * columns + given[1] - 1


def _write(path: str, content: bytes) -> None:
    with writing(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
    say(f"{len(content) / 1e3:,.0f} kB: {path}")


if __name__ == "__main__":
    app.leave(app.run(main, define_flags, positional="video"))
