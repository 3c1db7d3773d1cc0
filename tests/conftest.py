"""What several test files need: the genuine files, and small videos of our own."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# Row of docs/reliability.md and test -> faults caused: what `--faults=all` prints at its end.
_CAUSED: Counter[tuple[int, str]] = Counter()
_REAL = Path(__file__).resolve().parents[1].parent / "shared" / "real"


def pytest_addoption(parser):
    parser.addoption(
        "--faults",
        choices=("few", "all"),
        default="few",
        help="how often tests/faults cause each fault: a few times, or as often as they say",
    )


@pytest.fixture
def times(request):
    """times(20, 2): how often to cause a fault with --faults=all, and otherwise."""
    return lambda every, few: every if request.config.getoption("--faults") == "all" else few


@pytest.fixture
def survived(request):
    """survived(row, count): as the last act of a test, that so many faults of a row were caused."""
    name = f"{request.path.stem}.{request.node.originalname}"

    def count(row, caused):
        _CAUSED[row, name] += caused

    return count


def pytest_terminal_summary(terminalreporter, config):
    if config.getoption("--faults") == "all":
        terminalreporter.section("faults caused, all survived")
        for (row, name), count in sorted(_CAUSED.items()):
            terminalreporter.write_line(f"| {row} | `{name}` | {count} |")


@pytest.fixture(scope="session")
def real() -> Path:
    """Genuine clips, split files and broken files; not part of the repository."""
    if not _REAL.is_dir():
        pytest.skip("needs the genuine files in ../shared/real")
    return _REAL


@pytest.fixture(scope="session")
def make_video():
    """make_video(path, frames=10, size=(64, 48), fps=25, seed=0): an MPEG-4 file of moving texture.

    Returns the path. `size` is (width, height); both must be even.
    """
    import av
    import numpy as np

    def make(path, frames=10, size=(64, 48), fps=25, seed=0):
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        width, height = size
        noise = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
        texture = np.kron(noise.astype(np.uint8), np.ones((8, 8, 1), np.uint8))[:height, :width]
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=fps)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for number in range(frames):
                image = np.roll(texture, 2 * number, axis=1)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        return path

    return make


@pytest.fixture(scope="session")
def own(make_video, tmp_path_factory):
    """A folder data set: 2 classes of 3 and 4 short videos."""
    directory = tmp_path_factory.mktemp("own") / "videos"
    for seed in range(7):
        name = ("walk", "run <b>é")[seed % 2]
        make_video(directory / name / f"{seed}.mp4", frames=5 + seed, seed=seed)
    return directory


@pytest.fixture(scope="session")
def built(own, tmp_path_factory):
    """What an undisturbed build of `own` gives."""
    from builds import arguments

    from rlstm_tf.cli import app
    from tfrecords_tools import build

    directory = tmp_path_factory.mktemp("built") / "shards"
    assert app.run(build.main, build.define_flags, ["build", *arguments(own, directory)]) == 0
    return directory
