"""Shards, runs and exports of earlier versions still work: verified, evaluated, resumed, served."""

from __future__ import annotations

import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from repository import ROOT

from rlstm_tf import evaluate, export, predict, train
from rlstm_tf.cli import app
from rlstm_tf.data.manifest import Manifest
from rlstm_tf.evaluation import score_files
from tfrecords_tools import build, verify

ARCHIVES = sorted((ROOT / "tests" / "previous").glob("*.tar.xz"))


def run(module, *arguments, positional=None):
    return app.run(module.main, module.define_flags, ["program", *arguments], positional)


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name.partition(".tar")[0])
def previous(request, tmp_path, monkeypatch):
    """A working directory as an earlier version left it."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_is_an_archive():
    assert [path.name for path in ARCHIVES] == ["version-0.1.0.tar.xz"]
    assert all(path.stat().st_size < 200_000 for path in ARCHIVES)


def test_shards(previous):
    assert run(verify, "shards", "--decode", positional="data") == 0


def test_the_same_build_again(previous):
    """Videos that are decoded the same way give the same bytes."""
    arguments = ("--dataset=folder", "--videos=videos", "--short_side=32", "--shards=2")
    assert run(build, *arguments, "--output=again", "--workers=1", "--val_share=0") == 0
    names = sorted(os.listdir("shards"))
    assert sorted(os.listdir("again")) == sorted([*names, "sources.jsonl"])
    for name in set(names) - {"manifest.json"}:
        assert Path("again", name).read_bytes() == Path("shards", name).read_bytes(), name
    again = Manifest.load("again")
    assert replace(again, sources_sha256="") == Manifest.load("shards")


def test_scores_of_the_run(previous):
    assert run(evaluate, "--run_dir=run", "--split=train", "--output=again") == 0
    old, new = (score_files.load(Path(name))[0] for name in ("scores", "again"))
    assert new.ids == old.ids
    np.testing.assert_allclose(new.logits, old.logits, rtol=0, atol=1e-5)


def test_resumed(previous):
    """By the command that began it, with more epochs."""
    flags = [line for line in Path("run/flags.cfg").read_text().split() if "epochs=" not in line]
    assert run(train, *flags, "--drop_epochs=35,45", "--epochs=3", "--resume") == 0
    steps = [path.name for path in sorted(Path("run/checkpoints").glob("step-*.npz"))]
    assert steps == ["step-000000002.npz", "step-000000003.npz"]
    assert len(Path("run/history.csv").read_text().splitlines()) == 1 + 3


def test_answers_of_the_export(previous, capsys):
    arguments = ("videos/a/0.mp4", "--model=saved", "--json")
    assert run(predict, *arguments, positional="videos") == 0
    new = json.loads(capsys.readouterr().out)
    old = json.loads(Path("answers.json").read_text())
    assert new.keys() == old.keys()
    assert (new["video"], new["frames"]) == (old["video"], old["frames"])
    assert [one["label"] for one in new["top"]] == [one["label"] for one in old["top"]]
    np.testing.assert_allclose(new["logits"], old["logits"], rtol=0, atol=1e-5)


def test_exported_beside_the_old_version(previous):
    assert run(export, "--run_dir=run", "--output=saved", "--nowarmup") == 0
    assert sorted(path.name for path in Path("saved").iterdir() if path.is_dir()) == ["1", "2"]
