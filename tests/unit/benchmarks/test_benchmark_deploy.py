"""The comparison of exports with the network they come from, on a tiny network."""

import shutil

import keras
import pytest
from exports import run_export

from benchmarks import deploy
from rlstm_tf.cli import app

pytest.importorskip("ai_edge_litert")
pytest.importorskip("tf2onnx")
pytest.importorskip("onnxruntime")


# Seconds, for the conversions.
def test_each_format_beside_the_float32_network(
    tiny_run, tiny_export, tiny_shards, tmp_path, capsys, monkeypatch
):
    """The network is taken in float32 for a run of another precision, too."""
    run_dir = shutil.copytree(tiny_run, tmp_path / "run")
    flags = (run_dir / "flags.cfg").read_text()
    assert "--precision=float32" in flags
    (run_dir / "flags.cfg").write_text(flags.replace("float32", "mixed_bfloat16"))
    model = shutil.copytree(tiny_export, tmp_path / "model")
    litert, onnx = tmp_path / "tiny.tflite", tmp_path / "tiny_onnx"
    for path, name in ((litert, "litert"), (onnx, "onnx")):
        given = f"--run_dir={run_dir}", f"--output={path}", f"--format={name}"
        assert run_export(*given) == 0
    capsys.readouterr()
    # TensorFlow takes a number of threads only before its first operation.
    monkeypatch.setattr(deploy, "_limit_tensorflow", lambda: None)
    files = f"--files={model},{litert},{onnx}"
    given = ["deploy", f"--run_dir={run_dir}", f"--data={tiny_shards}", "--turns=1", files]
    try:
        assert app.run(deploy.main, deploy.define_flags, given) == 0
    finally:
        keras.mixed_precision.set_global_policy("float32")
    heading, network, columns, *lines = capsys.readouterr().out.splitlines()
    assert heading.startswith("deploy: TensorFlow ")
    assert network.startswith("4 videos; the network in float32: accuracy ")
    assert columns.split()[:3] == ["megabytes", "same", "class"]
    rows = {line.split()[-1]: line.split() for line in lines}
    assert list(rows) == [str(path) for path in (model / "1", litert, onnx)]
    size = litert.stat().st_size / 1e6
    assert float(rows[str(litert)][0]) == pytest.approx(size, abs=0.006)
    for row in rows.values():
        assert row[1] == "1.0000"
        assert f"accuracy {row[2]}," in network
        assert float(row[3]) < 1e-4
        assert min(map(float, row[4:6])) > 0
