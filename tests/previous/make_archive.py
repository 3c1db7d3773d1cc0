"""Packs shards, a run, its scores and its export, as this version writes them, in an archive.

    PYTHONPATH=. python tests/previous/make_archive.py tests/previous/version-X.tar.xz

`tests/integration/test_previous_version.py` reads all such archives. Version 0.1.0 ran this
with `Checkpoints` imported from its old place. Weights are rounded and momenta set to zero, so
that an archive stays below 200 kB.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import av
import numpy as np

SMALL = [
    "--model=two_branch",
    "--backbone=tiny_resnetv2",
    "--units=8",
    "--weights=none",
    "--num_segments=2",
    "--image_size=32",
    "--batch_size=2",
    "--batch_norm=batch",
    "--batch_norm_momentum=0.9",
    "--learning_rate=0.01",
    "--epochs=2",
    "--attention_scale=0.5",
]


def main(archive: str) -> None:
    """Runs the commands in a temporary directory and packs what they write."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for seed in range(4):
            _write_video(root / "videos" / "ab"[seed % 2] / f"{seed}.mp4", seed)
        build = ["--dataset=folder", "--videos=videos", "--output=shards", "--short_side=32"]
        _run(root, "tfrecords_tools.build", *build, "--shards=2", "--workers=1", "--val_share=0")
        flags = ["--data=shards", "--run_dir=run", "--val_subset=none", *SMALL]
        _run(root, "rlstm_tf.train", *flags)
        _round(root / "run" / "checkpoints")
        _run(root, "rlstm_tf.evaluate", "--run_dir=run", "--split=train", "--output=scores")
        _run(root, "rlstm_tf.export", "--run_dir=run", "--output=saved", "--nowarmup")
        answers = _run(root, "rlstm_tf.predict", "videos/a/0.mp4", "--model=saved", "--json")
        (root / "answers.json").write_text(answers)
        with tarfile.open(archive, "w:xz", preset=9) as tar:
            for part in ("videos", "shards", "run", "scores", "saved", "answers.json"):
                tar.add(root / part, part, filter=_without_owner)


def _write_video(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    texture = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    image = np.kron(texture, np.ones((8, 8, 1), np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 40, "yuv420p"
        for number in range(4 + seed):
            frame = av.VideoFrame.from_ndarray(np.roll(image, 2 * number, axis=1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _run(root: Path, module: str, *arguments: str) -> str:
    line = [sys.executable, "-m", module, *arguments]
    env = {"PYTHONPATH": str(Path.cwd()), "PATH": "/usr/bin:/bin", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        line, cwd=root, env=env, check=True, text=True, stdout=subprocess.PIPE
    ).stdout


def _round(checkpoints: Path) -> None:
    """Rewrites the newest checkpoint with arrays that compress; deletes the others."""
    from rlstm_tf.runs.checkpoints import Checkpoints

    kept = Checkpoints(checkpoints)
    state, info, _ = kept.load_newest()
    for other in checkpoints.iterdir():
        other.unlink()
    for key, array in state.items():
        if array.dtype == np.float32 and array.ndim > 1:
            top = max(float(np.abs(array).max()), 1e-6)
            state[key] = (np.round(array / top * 4) * (top / 4)).astype(np.float32)
        if "momentum" in key and "moving" not in key:
            state[key] = np.zeros_like(array)
    kept.save(info["step"], state, info)


def _without_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    main(sys.argv[1])
