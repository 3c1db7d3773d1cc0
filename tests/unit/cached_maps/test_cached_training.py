"""Training from cached maps: the same numbers as from frames, up to float16."""

import csv

import numpy as np
import pytest
import tensorflow as tf
from small_networks import tiny_network
from small_shards import texture_jpeg, write_shards
from tiny_runs import make_shards
from trainings import assert_same_run, evaluate_here, train_here

from rlstm_tf.cached_maps import builder
from rlstm_tf.cached_maps.batches import take_maps, training_rows, upper_network
from rlstm_tf.cached_maps.builder import decode_views, open_cache
from rlstm_tf.cached_maps.key import find_directory
from rlstm_tf.cached_maps.plan import CacheConfig, Plan
from rlstm_tf.data import batches as batches_of_frames
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.training import optimizers
from rlstm_tf.training.trainer import Trainer

# Where the views agree: the whole of square frames.
AGREE = ("--freeze=trunk", "--crop_scales=1", "--epochs=2")
CACHED = (*AGREE, "--cache_frames=40", "--cache_maps=auto")


@pytest.fixture(scope="module")
def square(tmp_path_factory, make_video):
    """Shards of frames that are exactly what the network sees."""
    root = tmp_path_factory.mktemp("square")
    rows = ["path,label,subset"]
    for number in range(8):
        path = make_video(root / f"{number}.mp4", 4 + 6 * number, size=(32, 32), seed=number)
        rows.append(f"{path.name},{'ab'[number % 2]},{'val' if number > 5 else 'train'}")
    (root / "list.csv").write_text("\n".join(rows) + "\n")
    make_shards(root, root / "shards", "--short_side=32")
    return root / "shards"


def network(model="tsn", **more):
    return tiny_network(3, "trunk", model=model, **more)


def config_of(**more):
    return InputConfig(**{"batch_size": 4, "num_segments": 3, "image_size": 32, **more})


def trunk_of(model, frames):
    """Maps of frames [..., S, S, C], in float32."""
    images = model.get_layer("scale")(frames.reshape(-1, *frames.shape[-3:]))
    maps = np.asarray(model.get_layer("trunk")(images, training=False))
    return maps.reshape(*frames.shape[:-3], *maps.shape[1:])


@pytest.mark.parametrize("stream", ["spatial", "temporal"])
def test_maps_are_those_of_the_trunk(tmp_path, stream, monkeypatch):
    """Of every view and snippet, in float16; less than a batch at the end of a video."""
    monkeypatch.setattr(builder, "_BATCH", 8)
    image = texture_jpeg if stream == "spatial" else None
    write_shards(tmp_path / "data", [5, 11, 2], stream=stream, image=image)
    shards = Shards.open(str(tmp_path / "data"), "train")
    config = config_of(stream=stream, new_length=1 if stream == "spatial" else 2)
    model = network(channels=config.channels)
    cache = CacheConfig("auto", ("center", "corners", "mirrored"), 8)
    maps = open_cache(model, shards, config, cache, str(tmp_path / "data"))
    for video in range(3):
        starts = maps.plan.frames(video)[:, 0]
        frames = decode_views(maps.plan, video).reshape(2, 5, len(starts), 32, 32, config.channels)
        if stream == "spatial":
            # Rows are in the order of flips and crops.
            np.testing.assert_array_equal(frames[1], frames[0][..., ::-1, :])
        for flip in (False, True):
            for box in (0, 3):
                expected = trunk_of(model, frames[int(flip), box])
                found = maps.read(video, flip, box, starts)
                np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_samples_are_those_without_a_cache(square, tmp_path):
    """The same videos, snippets and mirroring, across epochs."""
    shards = Shards.open(str(square), "train")
    config, model = config_of(crop_scales=(1.0,), mixup=0.4), network()
    cache = CacheConfig(str(tmp_path / "maps"), frames=40)
    maps = open_cache(model, shards, config, cache, str(square))
    found = training_rows(maps, 3, 8)
    frames = batches_of_frames.training_rows(shards, config, 3, 8)
    for name in ("label", "video", "share"):
        np.testing.assert_array_equal(found[name], frames[name])
    assert found["maps"].dtype == np.float32
    expected = trunk_of(model, frames["frames"])
    np.testing.assert_allclose(found["maps"], expected, rtol=1e-3, atol=1e-3)
    # Maps are mixed in pairs, and given to the network above the trunk as those of its frames.
    mixed = take_maps(upper_network(model))({name: tf.constant(x) for name, x in found.items()})
    share = found["share"].reshape(-1, 1, 1, 1, 1)
    others = found["maps"][[1, 0, 3, 2, 5, 4, 7, 6]]
    by_hand = share * found["maps"] + (1 - share) * others
    np.testing.assert_allclose(mixed, by_hand.reshape(24, 4, 4, 64), rtol=1e-5, atol=1e-6)


# XLA takes long for the two-branch network.
@pytest.mark.parametrize(
    ("name", "options"),
    [("tsn", {"jit": True}), ("two_branch", {"accumulate": 2, "remat": True})],
)
def test_losses_are_those_without_a_cache(square, tmp_path, name, options):
    """Of ten steps with dropout and batch normalization; float16 has 11 bits."""
    shards = Shards.open(str(square), "train")
    config = config_of(crop_scales=(1.0,))

    def trainer_of(model, **more):
        optimizer = optimizers.sgd(0.01, 0.9, model.trainable_variables)
        return Trainer(model, optimizer, tf.distribute.get_strategy(), 5e-4, **options, **more)

    def losses(trainer, rows):
        found = []
        for step in range(10):
            batch = {name: tf.constant(x) for name, x in rows(4 * step, 4).items()}
            found.append(float(trainer.train_step(batch)[0]))
        return found

    plain = network(name, dropout=0.5)
    expected = losses(
        trainer_of(plain),
        lambda first, count: batches_of_frames.training_rows(shards, config, first, count),
    )
    model = network(name, dropout=0.5)
    cache = CacheConfig(str(tmp_path / "maps"), frames=40)
    maps = open_cache(model, shards, config, cache, str(square))
    upper = upper_network(model)
    found = losses(
        trainer_of(model, upper=upper, preprocess=take_maps(upper)),
        lambda first, count: training_rows(maps, first, count),
    )
    assert max(expected) - min(expected) > 0.1
    np.testing.assert_allclose(found, expected, rtol=2e-3)
    for a, b in zip(model.get_weights(), plain.get_weights()):
        np.testing.assert_allclose(a, b, rtol=0.02, atol=2e-3)


def test_a_trunk_that_is_trained():
    model = network()
    model.get_layer("trunk").trainable = True
    with pytest.raises(UsageError, match="--cache_maps: the trunk's maps must not change"):
        upper_network(model)


def losses_of(run_dir):
    with (run_dir / "history.csv").open(newline="") as file:
        return [(float(row["loss"]), float(row["val_loss"])) for row in csv.DictReader(file)]


def test_the_command(square, tmp_path, capsys):
    """Losses as without, resumed exactly, a cache that is made once, and a run like any other."""
    plain, whole, stopped = (tmp_path / name for name in ("plain", "whole", "stopped"))
    assert train_here(square, plain, *AGREE) == 0
    assert train_here(square, whole, *CACHED) == 0
    said = capsys.readouterr().out
    assert "maps of the trunk: 6 videos, " in said
    assert " 2 views, " in said
    np.testing.assert_allclose(losses_of(whole), losses_of(plain), rtol=5e-3)
    assert train_here(square, stopped, *CACHED, "--epochs=1") == 0
    assert f"maps of the trunk: {square}.maps/" in capsys.readouterr().out
    # On another machine the cache may be elsewhere.
    assert train_here(square, stopped, *AGREE) == 2
    assert train_here(square, stopped, *CACHED, f"--cache_maps={tmp_path / 'maps'}") == 0
    assert_same_run(stopped, whole)
    (cache,) = square.with_name("shards.maps").iterdir()
    assert not list(cache.glob("*.partial"))
    assert evaluate_here(whole) == 0


def test_beside_the_shards_wherever_they_are(square, tmp_path, monkeypatch):
    """`.` and a slash at the end name the directory too."""
    monkeypatch.chdir(tmp_path)
    plan = Plan(Shards.open(str(square), "train"), config_of(), CacheConfig("auto"), (4, 4, 64))
    for data in (".", str(tmp_path), f"{tmp_path}/"):
        assert find_directory({}, plan, data).startswith(f"{tmp_path}.maps/")


def test_a_cache_of_another_trunk(square, tmp_path):
    """With `auto` another directory; a given one is refused, and stays as it is."""
    shards = Shards.open(str(square), "train")
    directory, data = tmp_path / "maps", str(tmp_path / "shards")
    model, other = network(), network()
    other.get_layer("trunk").get_layer("conv1_conv").bias.assign_add([1e-3] * 16)

    def opened(model=model, config=None, where=directory, **more):
        cache = CacheConfig(str(where), **more)
        return open_cache(model, shards, config or config_of(), cache, data)

    opened()
    before = {path: path.read_bytes() for path in directory.iterdir()}
    for options, what in (
        ({"model": other}, "trunk"),
        ({"views": ("center",)}, "flips"),
        ({"views": ("corners", "mirrored")}, "views"),
        ({"frames": 9}, "frames of a video"),
    ):
        with pytest.raises(DataError, match=f"maps holds maps of another {what}, "):
            opened(**options)
    assert {path: path.read_bytes() for path in directory.iterdir()} == before
    # What does not change them: the network above the trunk, the order of names, other samples.
    opened(network("lstm"), config_of(num_segments=3, seed=4, batch_size=2))
    opened(views=("mirrored", "center"))
    for made in (model, other, model):
        opened(made, where="auto")
    assert len(list((tmp_path / "shards.maps").iterdir())) == 2
