"""The wheel alone, from an empty directory: the example of README, and the demo's commands."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from repository import ROOT

# In place of a shell: each line as `python -m` runs it, in one process.
RUN = """
import json, runpy, sys
import rlstm_tf
assert rlstm_tf.__file__.startswith(sys.argv[1]), rlstm_tf.__file__
for line in json.loads(sys.argv[2]):
    sys.argv = line
    try:
        runpy.run_module(line[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert not end.code, (line, end.code)
"""
NOT_CODE = {".cfg", ".css", ".html", ".j2", ".js"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The directory of the source archive and of the wheel that is made from it."""
    root = tmp_path_factory.mktemp("package")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root)
    for name in ("rlstm_tf", "tfrecords_tools", "configs"):
        shutil.copytree(
            ROOT / name, root / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    command = [sys.executable, "-m", "build", "--no-isolation", str(root)]
    subprocess.run(command, check=True, capture_output=True)
    return root / "dist"


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """A directory for PYTHONPATH with what the wheel installs."""
    site = tmp_path_factory.mktemp("site")
    (wheel,) = built.glob("*.whl")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target"]
    subprocess.run([*command, str(site), str(wheel)], check=True, capture_output=True)
    return site


def python(installed, cwd, *arguments):
    """Runs Python with the installed wheel; returns standard output."""
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_all_files_are_in_both_archives(built):
    paths = [p for top in ("rlstm_tf", "tfrecords_tools") for p in (ROOT / top).rglob("*")]
    paths += [ROOT / "rlstm_tf" / p.relative_to(ROOT) for p in (ROOT / "configs").rglob("*")]
    expected = {
        path.relative_to(ROOT).as_posix() for path in paths if path.suffix in {".py", *NOT_CODE}
    }
    assert {"rlstm_tf/train.py", "rlstm_tf/configs/ablations/tsn.cfg"} <= expected
    (wheel,), (source,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        assert expected <= set(archive.namelist())
    with tarfile.open(source) as archive:
        assert expected <= {name.partition("/")[2] for name in archive.getnames()}


def test_help(installed, tmp_path):
    assert "--attention_scale" in python(installed, tmp_path, "-m", "rlstm_tf.train", "--help")


def test_example_of_the_readme(installed, tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert "RelationalLSTM" in example
    python(installed, tmp_path, "-c", example)


def test_commands_of_the_demo(installed, tmp_path):
    video = "data/demo/videos/Approach/v_Approach_g01_c01.avi"
    build = ["--dataset=ucf101", "--split=1", "--videos=data/demo/videos"]
    build += ["--splits=data/demo/ucfTrainTestlist", "--short_side=64", "--workers=1"]
    train = ["--flagfile=configs/demo.cfg", "--epochs=1", "--batch_size=8", "--num_segments=2"]
    train += ["--val_subset=none"]
    lines = [
        ["tfrecords_tools.demo", "--output=data/demo", "--videos_per_class=5", "--workers=1"],
        ["tfrecords_tools.build", *build, "--shards=1", "--output=data/demo/records"],
        ["rlstm_tf.train", *train],
        ["rlstm_tf.evaluate", "--run_dir=runs/demo", "--split=test"],
        ["rlstm_tf.export", "--run_dir=runs/demo", "--output=saved_models/demo"],
        ["rlstm_tf.predict", video, "--model=saved_models/demo"],
        ["rlstm_tf.explain", video, "--run_dir=runs/demo", "--output=runs/demo/relations.html"],
    ]
    python(installed, tmp_path, "-c", RUN, str(installed), json.dumps(lines))
    metrics = json.loads((tmp_path / "runs/demo/evaluation/test/metrics.json").read_text())
    assert metrics["model"] == "two_branch"
    assert (tmp_path / "runs/demo/relations.html").stat().st_size > 10_000
