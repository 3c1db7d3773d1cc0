"""Twenty steps and an evaluation on the devices of a strategy, for test_workers.py.

    python tests/helpers/parallel_run.py STRATEGY SHARDS [endless|strangers|device|two_branch|maps]

Run in processes of its own: devices are divided, and workers joined, before TensorFlow starts.
Prints one line of JSON at the end, and the number of each step as it is done.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

from rlstm_tf.cli import app

BATCH_SIZE, STEPS, CLASSES = 4, 20, 3
DEVICE = {"augment_on": "device", "color_jitter": 0.4, "random_erasing": 0.5, "mixup": 0.4}


def main(values: Any) -> None:
    """Trains, evaluates, prints."""
    strategy_name, data, mode = (*sys.argv[1:], "plain")[:3]
    app.load_tensorflow()

    import tensorflow as tf

    from rlstm_tf.distributed.strategy import current_worker, make_strategy, watch_workers

    if strategy_name == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
    strategy = make_strategy(strategy_name)
    # Around all that follows: variables are made together too.
    with watch_workers(strategy):
        result = _run(strategy, data, mode)
    worker = current_worker(strategy)
    print(json.dumps({**result, "worker": [worker.index, worker.count]}), flush=True)


def _run(strategy: Any, data: str, mode: str) -> dict[str, Any]:
    import keras

    from rlstm_tf.data import pipeline
    from rlstm_tf.data.shards import Shards
    from rlstm_tf.distributed.consistency import assert_same_weights
    from rlstm_tf.distributed.strategy import assert_same, current_worker, distribute_batches
    from rlstm_tf.runs.checkpoints import named_variables
    from rlstm_tf.training import optimizers
    from rlstm_tf.training.state import TrainState
    from rlstm_tf.training.trainer import Trainer

    keras.utils.set_random_seed(1)
    shards = Shards.open(data, "train")
    config = pipeline.InputConfig(
        batch_size=BATCH_SIZE,
        num_segments=2,
        image_size=32,
        **DEVICE if mode == "device" else {},
    )
    assert_same(strategy, "number of samples", len(shards.samples))
    with strategy.scope():
        model = _model(mode)
        optimizer = optimizers.sgd(0.01, 0.9, model.trainable_variables)
    if mode == "strangers":
        # As from a file that another machine has another version of.
        model.weights[-1].assign([float(current_worker(strategy).index)] * CLASSES)
    assert_same_weights(strategy, named_variables(model, optimizer), TrainState().to_dict())
    options, make_dataset = _source(mode, model, shards, config, data)
    trainer = Trainer(model, optimizer, strategy, weight_decay=5e-4, **options)
    batches = distribute_batches(strategy, make_dataset)
    losses, rows = [], []
    with contextlib.closing(pipeline.iterate(batches, shards)) as iterator:
        for step in range(10**6 if mode == "endless" else STEPS):
            batch = next(iterator)
            losses.append(float(trainer.train_step(batch)[0]))
            rows.append(_rows(strategy, batch["video"]))
            print("step", step, flush=True)
    return {
        "replicas": strategy.num_replicas_in_sync,
        "losses": losses,
        "rows": rows,
        "logits": _scores(trainer, shards, config).tolist(),
        "statistics": [w.numpy().tolist() for w in model.weights if "moving" in w.name],
    }


def _source(mode: str, model: Any, shards: Any, config: Any, data: str) -> Any:
    """Returns options of the trainer, and the function that makes its batches."""
    from rlstm_tf.cached_maps import batches as batches_of_maps
    from rlstm_tf.cached_maps.builder import open_cache
    from rlstm_tf.cached_maps.plan import CacheConfig
    from rlstm_tf.data import pipeline
    from rlstm_tf.data.device_augmentation import make_preprocess

    def batches_of_frames(replicas: Any) -> Any:
        return pipeline.training_batches(shards, config, replicas=replicas)

    if mode != "maps":
        return {"preprocess": make_preprocess(config)}, batches_of_frames
    # The workers of this machine share it: one makes it, the other waits.
    maps = open_cache(model, shards, config, CacheConfig("auto"), data)
    upper = batches_of_maps.upper_network(model)
    options = {"upper": upper, "preprocess": batches_of_maps.take_maps(upper)}
    return options, lambda replicas: batches_of_maps.training_batches(maps, replicas=replicas)


def _rows(strategy: Any, value: Any) -> list[list[int]]:
    return [part.numpy().tolist() for part in strategy.experimental_local_results(value)]


def _model(mode: str) -> Any:
    from small_networks import small_network

    from rlstm_tf.model_config import ModelConfig
    from rlstm_tf.models import build_model
    from rlstm_tf.models.freezing import freeze_backbone

    # With fast statistics, rounding errors soon grow large.
    momentum = 0.99
    if mode not in ("two_branch", "maps"):
        return small_network(momentum=momentum, num_segments=2, classes=CLASSES)
    config = ModelConfig(
        backbone="tiny_resnetv2",
        weights="none",
        image_size=32,
        batch_norm_momentum=momentum,
        num_segments=2,
        dropout=0.0,
    )
    model = build_model(config, CLASSES)
    freeze_backbone(model, "trunk" if mode == "maps" else "none")
    return model


def _scores(trainer: Any, shards: Any, config: Any) -> Any:
    from rlstm_tf.data import pipeline
    from rlstm_tf.distributed.strategy import distribute_batches
    from rlstm_tf.evaluation.scorer import Scorer

    batches = distribute_batches(
        trainer.strategy,
        lambda replicas: pipeline.evaluation_batches(shards, config, replicas=replicas),
    )
    scorer = Scorer(trainer.model, trainer.strategy)
    return scorer.score(pipeline.iterate(batches, shards), len(shards))


if __name__ == "__main__":
    app.leave(app.run(main, lambda values: None, sys.argv[:1]))
