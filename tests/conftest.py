"""Marks tests by directory, limits threads, and makes what several test files need."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Commands turn it on. It compiles kernels for each shape: seconds for each small network.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# A shell starts background jobs with SIGINT ignored, and tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)
# One thread a process: two test processes share two cores. Child processes inherit it.
for _variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

TESTS = Path(__file__).resolve().parent
_REAL = TESTS.parents[1] / "shared" / "real"

# Marker -> directories and files, below tests/, whose tests get it. CONTRIBUTING.md tells the rule.
MARKED = {
    "fault": ("faults",),
    "integration": ("integration",),
    "stacks": (
        *("stacks", "unit/layers", "unit/models", "unit/training", "unit/runs", "unit/data"),
        *("unit/distributed", "unit/serving", "unit/summaries"),
        # The page is made from the maps.
        "unit/attention/test_maps.py",
        # The rest of integration/ joins what these and the unit tests run on both stacks.
        *("integration/test_end_to_end.py", "integration/test_predict.py"),
        *("integration/test_previous_version.py", "integration/test_workers.py"),
        # Decoders, the network and Beam together.
        "unit/bulk/test_bulk_command.py",
        "faults/test_damaged_runs.py",
        "faults/test_resumed_in_all_settings.py",
        # A TensorFlow strategy.
        "unit/evaluation/test_scorer.py",
        # TensorFlow's file systems, and the stores that tensorflow-io adds.
        "unit/storage",
    ),
}
assert all((TESTS / place).exists() for places in MARKED.values() for place in places)


def pytest_addoption(parser):
    parser.addoption(
        "--thorough",
        action="store_true",
        help="cause each fault as often as docs/reliability.md says; run every backbone",
    )


# Before pytest itself, which deselects by marker.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        path = item.path.relative_to(TESTS).as_posix()
        for marker, places in MARKED.items():
            if any(path == place or path.startswith(f"{place}/") for place in places):
                item.add_marker(marker)


# Of the session, so that it skips before the fixtures of a module have run.
@pytest.fixture(scope="session")
def thorough(request):
    """Skips a test that runs with --thorough only, because another one tests much the same."""
    if not request.config.getoption("--thorough"):
        pytest.skip("with --thorough")


@pytest.fixture
def times(request):
    """times(20, 2): how often to cause a fault with --thorough, and without."""
    return lambda many, few: many if request.config.getoption("--thorough") else few


@pytest.fixture
def survived(request):
    """survived(row, count): counts faults of a row of docs/reliability.md, at the end of a test."""
    name = f"{request.path.stem}.{request.node.originalname}"
    # Reports carry these from the worker processes to the one that prints.
    return lambda row, caused: request.node.user_properties.append(("fault", (row, name, caused)))


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    """Prints the seed of a failed order, and the rows of the table in docs/reliability.md."""
    seed = getattr(config.option, "randomly_seed", None)
    if exitstatus and seed is not None:
        terminalreporter.write_line(f"the same order again: pytest --randomly-seed={seed}")
    if not config.getoption("--thorough"):
        return
    caused = Counter()
    for report in terminalreporter.getreports("passed"):
        for key, value in report.user_properties:
            if key == "fault" and report.when == "call":
                row, name, count = value
                caused[row, name] += count
    terminalreporter.section("faults caused, all survived")
    for (row, name), count in sorted(caused.items()):
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
def make_once(tmp_path_factory):
    """make_once(name, make): a directory filled by make(directory), once for all test processes.

    Tests do not change what is in it.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def once(name, make):
        directory, done = root / name, root / f"{name}.done"
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(directory, ignore_errors=True)
                directory.mkdir()
                make(directory)
                done.touch()
        return directory

    return once


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
    """Shards of `own`, from an undisturbed build."""
    from builds import arguments

    from rlstm_tf.cli import app
    from tfrecords_tools import build

    directory = tmp_path_factory.mktemp("built") / "shards"
    assert app.run(build.main, build.define_flags, ["build", *arguments(own, directory)]) == 0
    return directory


@pytest.fixture(scope="session")
def tiny_videos(make_video, make_once):
    """list.csv and its videos: 2 classes, each with 3 to train on, 1 to validate and 2 to test."""
    from tiny_runs import make_videos

    return make_once("tiny_videos", lambda directory: make_videos(directory, make_video))


@pytest.fixture(scope="session")
def tiny_shards(tiny_videos, make_once):
    from tiny_runs import make_shards

    root = make_once("tiny", lambda root: make_shards(tiny_videos, root / "shards"))
    return root / "shards"


@pytest.fixture(scope="session")
def tiny_run(tiny_shards, make_once):
    """A run of three epochs of the two-branch network, with the scores of the test videos."""
    from tiny_runs import make_run

    return make_once("tiny_runs", lambda root: make_run(tiny_shards, root / "run")) / "run"


@pytest.fixture(scope="session")
def tiny_export(tiny_run, make_once):
    """A directory of versions, with one of `tiny_run`."""
    from tiny_runs import make_export

    return make_once("tiny_exports", lambda root: make_export(tiny_run, root / "small")) / "small"


@pytest.fixture(scope="session")
def small_run(make_once):
    """A run with random weights, of a two-branch network for two frames of 32 x 32."""
    from exports import SMALL, make_run, open_run

    return open_run(make_once("small_runs", lambda root: make_run(root / "run", *SMALL)) / "run")


@pytest.fixture(scope="session")
def small_export(small_run, make_once):
    """A directory of versions, with one of `small_run`."""
    from exports import run_export

    def make(root):
        assert run_export(f"--run_dir={small_run.path}", f"--output={root / 'small'}") == 0

    return make_once("small_exports", make) / "small"


@pytest.fixture(scope="session")
def small_signatures(small_export):
    """Signatures of `small_export`, as Python calls them."""
    from rlstm_tf.serving.artifact import load_signatures

    return load_signatures(small_export / "1")


@pytest.fixture(scope="session")
def temporal_run(make_once):
    """A run as `small_run`, of the temporal stream, with fields of two frame pairs a snippet."""
    from exports import TEMPORAL, make_run, open_run

    made = make_once("temporal_runs", lambda root: make_run(root / "run", *TEMPORAL))
    return open_run(made / "run")


@pytest.fixture(scope="session")
def temporal_export(temporal_run, make_once):
    """The version that was exported of `temporal_run`."""
    from exports import run_export

    def make(root):
        assert run_export(f"--run_dir={temporal_run.path}", f"--output={root / 'flow'}") == 0

    return make_once("temporal_exports", make) / "flow" / "1"


@pytest.fixture(scope="session")
def temporal_signatures(temporal_export):
    """Signatures of `temporal_export`, as Python calls them."""
    from rlstm_tf.serving.artifact import load_signatures

    return load_signatures(temporal_export)


@pytest.fixture(scope="session")
def small_session(small_export):
    """`small_export` as a server runs it, which compares no shapes with the signatures'."""
    from small_server import Session

    session = Session(small_export / "1")
    yield session
    session.close()
