"""Flags that are paths: all of them expand `~` and `$NAME`."""

import importlib
import os

import pytest
from absl import flags
from test_cli import COMMANDS

from rlstm_tf.cli import paths
from rlstm_tf.cli.flag_files import FlagValues

# Flags of free text that are paths, and those that are not. A new one goes into one of these.
PATHS = {
    "cache_maps",
    *(
        "benchmark",
        "data",
        "files",
        "gif",
        "init_from",
        "model",
        "output",
        "results",
        "reuse",
        "run_dir",
        "runs",
    ),
    *("scores", "search", "splits", "steps", "stream", "video", "videos", "weights", "work"),
}
OTHERS = {
    *("backbone", "batches", "cache_views", "channels", "crop_scales", "cut"),
    *("draws", "drop_epochs", "embeddings", "every", "frame_size", "freeze", "host", "streams"),
    *("group_by", "leave_out", "models", "only", "pipeline_options", "position"),
    "precisions",
    *("profile_steps", "save_every", "seeds", "segments", "sides", "split", "title", "val_subset"),
}
# The same names, for other things.
OTHER_USES = {
    *(("rlstm_tf.tune", "search"), ("rlstm_tf.fuse", "weights"), ("rlstm_tf.report", "videos")),
    ("benchmarks.steps", "runs"),
}


def free_text():
    """Yields (command, flag's name, flag) of every flag without choices that holds text."""
    for command in COMMANDS:
        values = FlagValues()
        importlib.import_module(command).define_flags(values)
        for name in values:
            number = isinstance(values[name].value, (bool, int, float))
            kinds = (paths.PathParser, paths.PathListParser, flags.ListParser)
            plain = type(values[name].parser) is flags.ArgumentParser
            if not number and (plain or isinstance(values[name].parser, kinds)):
                yield command, name, values[name]


def test_every_flag_that_is_a_path_expands_it(monkeypatch):
    monkeypatch.setenv("HOME", "/people/ann")
    seen = set()
    for command, name, flag in free_text():
        is_path = name in PATHS and (command, name) not in OTHER_USES
        assert is_path or name in OTHERS or (command, name) in OTHER_USES, (command, name)
        seen.add(name)
        flag.parse(["~/a"] if isinstance(flag, flags.MultiFlag) else "~/a")
        found = flag.value[0] if isinstance(flag.value, list) else flag.value
        assert found == ("/people/ann/a" if is_path else "~/a"), (command, name)
    assert seen >= PATHS


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("~", "/people/ann"),
        ("~/runs/a", "/people/ann/runs/a"),
        ("$HOME/runs", "/people/ann/runs"),
        ("${HOME}/runs/$RUN", "/people/ann/runs/7"),
        ("$NOWHERE/runs", "$NOWHERE/runs"),
        ("a~/b", "a~/b"),
        ("./~/a", "./~/a"),
        ("s3://bucket/$RUN/~", "s3://bucket/7/~"),
        ("costs $RUN.mp4", "costs $RUN.mp4"),
        ("", ""),
    ],
)
def test_expansion(given, expected, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/people/ann")
    monkeypatch.setenv("RUN", "7")
    monkeypatch.delenv("NOWHERE", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "costs $RUN.mp4").touch()
    assert paths.expand(given) == expected


def test_lists_repeated_flags_and_their_text(monkeypatch):
    monkeypatch.setenv("HOME", "/people/ann")
    values = FlagValues()
    paths.define_path("one", None, "A path.", flag_values=values)
    paths.define_path_list("list", ["x"], "Paths.", flag_values=values)
    paths.define_multi_path("multi", [], "Paths.", flag_values=values)
    assert (values["one"].value, values["list"].value, values["multi"].value) == (None, ["x"], [])
    values(["run", "--one=~/a b", "--list=~/a,b,$HOME", "--multi=~", "--multi=c"])
    assert values.one == "/people/ann/a b"
    assert values.list == ["/people/ann/a", "b", "/people/ann"]
    assert values.multi == ["/people/ann", "c"]
    # What a run records means the same to another user.
    assert values["one"].serialize() == "--one=/people/ann/a b"
    assert values["list"].serialize() == "--list=/people/ann/a,b,/people/ann"


def test_nothing_is_made_in_a_directory_of_that_name(monkeypatch, tmp_path, capsys):
    from rlstm_tf.cli import app
    from tfrecords_tools import demo

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    line = ["demo", "--output=~/new", "--videos_per_class=5", "--size=32", "--num_frames=2"]
    assert app.run(demo.main, demo.define_flags, [*line, "--workers=1"]) == 0
    assert os.listdir(tmp_path / "here") == []
    assert os.listdir(tmp_path / "home") == ["new"]
