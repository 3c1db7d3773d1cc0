"""Faster flow compared with TV-L1, and the error of a flow field stored as 8-bit JPEG.

    python -m benchmarks.flow [--videos=DIR]

On evenly spaced pairs of neighboring frames: core seconds per pair; the mean distance of DIS, and
of TV-L1 at half size, from TV-L1 (end-point difference, both clipped to 20 pixels), and the share
of pixels where it is more than a pixel; for comparison the mean length of TV-L1's motion, the
distance of no motion from it; and the mean distance between a field and its stored copy. TV-L1 is
the paper's method, not ground truth.
"""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING, Any

from absl import flags

from rlstm_tf.cli import app
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import DataError

if TYPE_CHECKING:
    import numpy as np


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    define_path("videos", None, "Videos, a folder per class; made if unset.", **own)
    flags.DEFINE_integer("pairs", 8, "Pairs of frames per video.", 1, **own)
    flags.DEFINE_integer("short_side", 256, "Short side of a frame, pixels.", 16, **own)
    flags.DEFINE_integer("jpeg_quality", 95, "JPEG quality of the stored fields.", 1, 100, **own)


def main(values: flags.FlagValues) -> None:
    """Prints means over pairs of all videos."""
    import cv2
    import numpy as np

    from rlstm_tf.data.optical_flow import METHODS

    # As a worker of the build does.
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as directory:
        rows = []
        for path in _paths(values.videos, directory):
            for before, after in _pairs(path, values.short_side, values.pairs):
                rows.append(_measure(before, after, values.jpeg_quality))
    if not rows:
        raise DataError(f"{values.videos}: no video has two frames")
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    print(f"{len(rows)} pairs, short side {values.short_side} pixels, one core")
    for method in METHODS:
        print(
            f"{method:9} {mean[method + ' seconds']:.4f} s per pair, "
            f"stored in {mean[method + ' bytes'] / 1000:.1f} kB, "
            f"{mean[method + ' levels']:.3f} px from itself as levels, "
            f"{mean[method + ' stored']:.3f} px as JPEG of quality {values.jpeg_quality}"
        )
    for method in METHODS[1:]:
        print(
            f"{method} is {mean['tvl1 seconds'] / mean[method + ' seconds']:.3g} times as fast, "
            f"{mean[method + ' difference']:.3f} px from tvl1 "
            f"(no motion at all: {mean['motion']:.3f} px), "
            f"more than 1 px in {mean[method + ' far']:.1%} of the pixels"
        )


def _paths(videos: str | None, directory: str) -> list[str]:
    from benchmarks.clips import write_clips
    from tfrecords_tools.datasets.folder import read_folder

    if videos is None:
        write_clips(directory, num_clips=5, num_frames=50)
    return [video.path for video in read_folder(videos or directory).videos]


def _pairs(path: str, short_side: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns gray images of neighboring frames, evenly spaced over the video."""
    import cv2
    import numpy as np

    from rlstm_tf.data.video import DamagedVideoError, VideoReader

    try:
        with VideoReader(path, short_side) as reader:
            last = sum(1 for _ in reader) - 2
        wanted = set(np.linspace(0, last, min(count, last + 1)).astype(int).tolist())
        pairs, before = [], None
        with VideoReader(path, short_side) as reader:
            for number, frame in enumerate(reader):
                after = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
                if before is not None and number - 1 in wanted:
                    pairs.append((before, after))
                before = after
        return pairs
    except DamagedVideoError as error:
        raise DataError(f"{path}: {error}") from None


def _measure(before: np.ndarray, after: np.ndarray, quality: int) -> dict[str, float]:
    """Measures a pair: seconds, bytes, and distances in pixels, by name."""
    import cv2
    import numpy as np

    from rlstm_tf.data.flow import BOUND, dequantize, quantize
    from rlstm_tf.data.optical_flow import METHODS, make_flow_function
    from rlstm_tf.data.video import encode_jpeg

    fields, row = {}, {}
    for method in METHODS:
        flow = make_flow_function(method)
        start = time.process_time()
        fields[method] = np.clip(flow(before, after), -BOUND, BOUND)
        row[method + " seconds"] = time.process_time() - start
        levels = quantize(fields[method])
        jpeg = encode_jpeg(levels, quality)
        read = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
        row[method + " bytes"] = len(jpeg)
        row[method + " levels"] = _distance(fields[method], dequantize(levels)).mean()
        row[method + " stored"] = _distance(fields[method], dequantize(read)).mean()
        apart = _distance(fields[method], fields["tvl1"])
        row[method + " difference"], row[method + " far"] = apart.mean(), (apart > 1).mean()
    row["motion"] = _distance(fields["tvl1"], np.zeros(2)).mean()
    return row


def _distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns the end-point distance of two fields [H, W, 2]: [H, W]."""
    import numpy as np

    return np.linalg.norm(one - other, axis=-1)


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))
