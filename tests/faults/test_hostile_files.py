"""Files that damage, or someone who means harm, has changed: an error in one line, little memory.

With correct checksums, which whoever changes a file can compute.
"""

from __future__ import annotations

import json
import shutil

import av
import cv2
import numpy as np
import pytest
from builds import arguments
from hostile_files import survive
from torch_files import save

from rlstm_tf.cli import app
from rlstm_tf.cli.flag_files import FlagValues
from rlstm_tf.cli.flags import define_training, format_flags
from rlstm_tf.serving.artifact import CHECKSUMS, ModelMetadata
from tfrecords_tools import build


@pytest.fixture(scope="module")
def hostile_shards(own, tmp_path_factory):
    directory = tmp_path_factory.mktemp("hostile") / "shards"
    given = arguments(own, directory, "--val_share=0.3")
    assert app.run(build.main, build.define_flags, ["build", *given]) == 0
    shutil.copytree(own, directory / "videos")
    return directory


@pytest.fixture
def place(request, tmp_path):
    """A directory with intact files of the kind that the test is about."""
    kind = request.node.callspec.params["kind"]
    if kind in ("manifest", "index"):
        shards = request.getfixturevalue("hostile_shards")
        return shutil.copytree(shards, tmp_path / "shards")
    directory = tmp_path / kind
    directory.mkdir()
    {
        "model": make_export,
        "run": make_run,
        "split": make_splits,
        "video": make_videos,
        "weights": make_weights,
    }[kind](directory, request)
    return directory


def make_export(directory, request):
    request.getfixturevalue("make_video")(directory / "clip.mp4", frames=6)
    metadata = ModelMetadata(
        *("two_branch", "tiny_resnetv2", "spatial"),
        *(3, 32, 1, ["a", "b"], False, 40, 95, None, "runs/a/best.npz", "0.2"),
    )
    for name in ("assets", "variables", CHECKSUMS.parent):
        (directory / "1" / name).mkdir(parents=True)
    (directory / "1/saved_model.pb").write_bytes(b"graph")
    (directory / "1/variables/variables.index").write_bytes(b"index")
    (directory / "1/assets/classes.txt").write_text("a\nb\n")
    (directory / "1/assets/model.json").write_text(metadata.to_json())


def make_run(directory, request):
    values = FlagValues()
    define_training(values)
    values(["run", "--data=data/own", f"--run_dir={directory}"])
    given = format_flags(values, ("flagfile", "resume"))
    (directory / "flags.cfg").write_text("\n".join(given.values()) + "\n")
    (directory / "classes.json").write_text(json.dumps(["a", "b"]))
    shards = request.getfixturevalue("hostile_shards")
    shutil.copy(shards / "manifest.json", directory)


def make_splits(directory, request):
    def write(path, *lines):
        path = directory / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))

    clips = [f"v_{name}_g{group:02d}_c01" for name in ("Walk", "Run") for group in range(1, 5)]
    for clip in clips:
        name = clip.split("_")[1]
        for place in (f"ucf/{name}/{clip}.avi", f"hmdb/{name}/{clip}_{name}_x.avi"):
            write(place, "video")
        write(f"own/{clip}.mp4", "video")
    train = [f"{clip.split('_')[1]}/{clip}.avi" for clip in clips]
    write("ucf_lists/classInd.txt", "1 Walk", "2 Run")
    numbered = [f"{clip} {1 + ('Run' in clip)}" for clip in train if "g04" not in clip]
    write("ucf_lists/trainlist01.txt", *numbered)
    write("ucf_lists/testlist01.txt", *(clip for clip in train if "g04" in clip))
    for name in ("Walk", "Run"):
        lines = [f"{clip}_{name}_x.avi {1 + ('g04' in clip)} " for clip in clips if name in clip]
        write(f"hmdb_lists/{name}_test_split1.txt", *lines)
    labels = ["Walk", "Run"]
    rows = [f"{clip}.mp4,{labels[number % 2]}" for number, clip in enumerate(clips)]
    write("own/list.csv", "path,label", *rows)
    write("charades/Charades_v1_classes.txt", "c000 Walk", "c001 Run")
    head = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
    for subset, names in (("train", "ABC"), ("test", "DE")):
        for name in names:
            write(f"charades/{name}.mp4", "video")
        lines = [f'{n},S{n},,,,,,,,"c000 0.50 2.25;c001 1.00 3.00",3.00' for n in names]
        write(f"charades/Charades_v1_{subset}.csv", head, *lines)
    sets = [
        {"dataset": "ucf101", "videos": "ucf", "splits": "ucf_lists", "lists": "ucf_lists"},
        {"dataset": "hmdb51", "videos": "hmdb", "splits": "hmdb_lists", "lists": "hmdb_lists"},
        {"dataset": "folder", "videos": "own/list.csv", "splits": "own", "lists": "own"},
        {"dataset": "charades", "videos": "charades", "splits": "charades", "lists": "charades"},
    ]
    write("sets.json", json.dumps(sets))


def make_videos(directory, request):
    make_video = request.getfixturevalue("make_video")
    for container in ("avi", "mp4", "mkv", "mov"):
        make_video(directory / f"clip.{container}", frames=8)
    (directory / "pictures").mkdir()
    for number, suffix in enumerate(("jpg", "png", "jpg", "bmp")):
        picture = np.full((40, 48, 3), 40 * number, np.uint8)
        cv2.imwrite(str(directory / "pictures" / f"img_{number:03d}.{suffix}"), picture)
    make_other(directory / "clip.webm", "libvpx", "yuv420p")
    make_other(directory / "clip.mpg", "mpeg2video", "yuv420p")
    make_other(directory / "jpeg.avi", "mjpeg", "yuvj420p")
    make_other(directory / "clip.flv", "flv", "yuv420p")


def make_weights(directory, request):
    draw = np.random.default_rng(0)
    tensors = {
        f"layer{number}.weight": draw.normal(size=(4, 3, number)).astype("float32")
        for number in range(1, 4)
    }
    for form in ("archive", "sequence"):
        save(directory / f"{form}.pth", tensors, form == "archive")


def make_other(path, codec, pixels):
    """Writes a video by another codec; none if FFmpeg here lacks it."""
    if codec not in av.codecs_available:
        return
    draw = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for _ in range(8):
            image = draw.integers(0, 256, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize(
    ("kind", "many", "few"),
    [
        ("manifest", 4_000, 400),
        ("index", 4_000, 400),
        ("model", 4_000, 400),
        ("run", 4_000, 400),
        ("split", 4_000, 400),
        ("video", 3_000, 300),
        ("weights", 4_000, 400),
    ],
)
def test_changed_files(place, times, survived, record_property, kind, many, few):
    found = survive(kind, place, times(many, few))
    assert found.faults == []
    assert found.refused > found.inputs // 5
    print(
        f"{kind}: {found.inputs} inputs, {found.refused} refused, at most "
        f"{found.megabytes:.0f} MB, {found.seconds:.1f} s"
    )
    survived(15, found.inputs)
