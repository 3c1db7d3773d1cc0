import json

import numpy as np
import pytest

from rlstm_tf.choices import STREAMS
from rlstm_tf.data import schema
from rlstm_tf.data.manifest import Manifest, Shard, Subset
from rlstm_tf.errors import DataError

SHARD = Shard("train-00000-of-00001", 3, 2, 9, 4, 1234, "a" * 64, "b" * 64, "c" * 64, "d" * 64)
MANIFEST = Manifest(
    dataset="hmdb51",
    split=1,
    stream="spatial",
    classes=("brush_hair", "chew <b>", "climb é"),
    settings={"short_side": 256, "jpeg_quality": 95},
    subsets={"train": Subset(2, 9, 4, (SHARD,))},
    damaged=({"id": "chew/a.avi", "path": "/v/chew/a.avi", "reason": "no frame decodes"},),
    missing={"count": 2, "first": ["chew/b.avi", "chew/c.avi"]},
    multi_label=True,
    notes={"intervals_clipped": 3},
)


def test_round_trip(tmp_path):
    MANIFEST.save(str(tmp_path))
    assert Manifest.load(str(tmp_path)) == MANIFEST
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_changed_values_are_refused_but_formatting_is_free(tmp_path):
    values = json.loads(MANIFEST.to_json())
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(values, indent=4, sort_keys=True, ensure_ascii=False))
    assert Manifest.load(str(tmp_path)) == MANIFEST
    values["classes"].reverse()
    path.write_text(json.dumps(values))
    with pytest.raises(DataError, match=r"manifest\.json was changed since it was written"):
        Manifest.load(str(tmp_path))


def test_manifest_without_a_checksum_is_read():
    values = json.loads(MANIFEST.to_json())
    del values["sha256"]
    assert Manifest.from_json(json.dumps(values)) == MANIFEST


def test_round_trip_through_gfile(tmp_path):
    MANIFEST.save(f"file://{tmp_path}")
    assert Manifest.load(f"file://{tmp_path}/") == MANIFEST
    with pytest.raises(DataError, match=r"no shards in file://.*/none"):
        Manifest.load(f"file://{tmp_path}/none")


def test_fields_of_the_json_text():
    values = json.loads(MANIFEST.to_json())
    assert values["schema"] == schema.SCHEMA_VERSION == 2
    assert set(values) == {
        *("schema", "dataset", "split", "stream", "classes", "settings", "subsets"),
        *("damaged", "missing", "multi_label", "notes", "sha256"),
    }
    assert set(values["subsets"]["train"]["shards"][0]) == {
        *("name", "records", "videos", "frames", "samples", "bytes"),
        *("sha256", "records_sha256", "frames_sha256", "samples_sha256"),
    }


def test_names_and_types():
    assert schema.shard_name("val", 2, 16) == "val-00002-of-00016"
    assert schema.tfrecord_path("s3://b/d/", "x") == "s3://b/d/x.tfrecord"
    assert schema.records_path("d", "x") == "d/x.records.npy"
    assert schema.frames_path("d", "x") == "d/x.frames.npy"
    assert schema.samples_path("d", "x") == "d/x.samples.npy"
    assert schema.FRAME.itemsize == 16
    assert schema.SAMPLE.itemsize == 16
    assert STREAMS == ("spatial", "temporal")
    row = np.zeros(1, schema.record_dtype(5))
    row["id"] = "é!".encode()
    assert row["id"][0].decode() == "é!"


def spoiled(**changes):
    values = json.loads(MANIFEST.to_json())
    for path, value in changes.items():
        *parents, last = path.split("__")
        entry = values
        for name in parents:
            entry = entry[int(name)] if name.isdigit() else entry[name]
        entry[last] = value
    del values["sha256"]
    return json.dumps(values)


SHARD_0 = "subsets__train__shards__0__"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "must be dict, found list"),
        ("{}", "schema version None, this program reads 2"),
        (spoiled(schema=1), "schema version 1, this program reads 2: build the shards again"),
        (spoiled(more=1), "lacks, or does not know, the fields: more"),
        (spoiled(split="1"), "split must be int, found str"),
        (spoiled(split=True), "split must be int, found bool"),
        (spoiled(classes=[]), "classes must be names"),
        (spoiled(classes=["a", "a"]), "classes must be names, at least one, each once"),
        (spoiled(classes=["a", 1]), "classes must be str, found int"),
        (spoiled(settings=None), "settings must be dict, found NoneType"),
        (spoiled(subsets={"dev": {}}), "subset 'dev' is none of train, val, test"),
        (
            spoiled(subsets={"train": {}}),
            "lacks, or does not know, the fields: frames, samples, shards",
        ),
        (spoiled(subsets__train__videos=3), "videos are not the sum over its shards"),
        (
            spoiled(**{SHARD_0 + "name": "../../etc-00000-of-00001"}),
            "'../../etc-00000-of-00001' is not the name of a shard",
        ),
        (spoiled(**{SHARD_0 + "name": "train-00000-of-00001\n"}), "is not the name of a shard"),
        (spoiled(**{SHARD_0 + "bytes": -1}), "bytes must not be negative, found -1"),
        (spoiled(**{SHARD_0 + "bytes": 1.5}), "bytes must be int, found float"),
        (spoiled(**{SHARD_0 + "sha256": "A" * 64}), "sha256 must be 64 hexadecimal digits"),
        (spoiled(subsets__train__samples=5), "samples are not the sum over its shards"),
        (spoiled(stream="rgb"), "stream must be one of spatial, temporal, found 'rgb'"),
        (spoiled(stream=["temporal"]), "stream must be str, found list"),
        (spoiled(multi_label=1), "multi_label must be bool, found int"),
        (spoiled(notes=[]), "notes must be dict, found list"),
        (spoiled(notes__intervals_clipped="3"), "intervals_clipped must be int, found str"),
        (spoiled(**{SHARD_0 + "samples": -1}), "samples must not be negative, found -1"),
        (spoiled(**{SHARD_0 + "samples_sha256": ""}), "samples_sha256 must be 64 hexadecimal"),
        (spoiled(damaged=["x"]), "damaged must be dict, found str"),
    ],
)
def test_invalid_manifest_is_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError) as caught:
        Manifest.load(str(tmp_path))
    assert message in str(caught.value)
    assert str(tmp_path / "manifest.json") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_manifest_and_binary_manifest_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no shards in .*manifest.json: No such file"):
        Manifest.load(str(tmp_path))
    (tmp_path / "manifest.json").write_bytes(b"\xff\xff")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        Manifest.load(str(tmp_path))
