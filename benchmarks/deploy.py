"""Exports of a run, for servers, phones and browsers, compared with its network.

    python -m benchmarks.deploy --run_dir=runs/demo --data=data/demo/records \\
      --files=saved_models/demo,demo.tflite,demo_onnx

The network is that of the run in float32, in Keras, whatever precision it was trained with. For
each SavedModel, LiteRT file or directory of ONNX files: its size; over the test videos, how often
its most probable class is the network's, how often it is right, and how far logits are apart; and
milliseconds of processor time of a clip and of a step of a stream, with one thread, in turns, the
fastest turn of each. Files take frames of the network's own size, and need signatures of streams:
export a bidirectional network with --window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks.machine import print_heading
from benchmarks.timing import fastest
from rlstm_tf.choices import SUBSETS
from rlstm_tf.cli import app
from rlstm_tf.cli.flags import require
from rlstm_tf.cli.paths import define_path, define_path_list

# Runs a signature: its name and inputs -> its outputs.
Run = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
# The signature of frames of a SavedModel has another name than that of the others.
_CLIP, _SAVEDMODEL_CLIP = "serve_frames", "serving_default"


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    define_path("run_dir", None, "The run.", **own)
    define_path_list("files", [], "Its exports: SavedModels, LiteRT files, ONNX.", **own)
    define_path("data", None, "Records, from tfrecords_tools.build.", **own)
    flags.DEFINE_enum("split", "test", SUBSETS, "Their subset.", **own)
    flags.DEFINE_integer("turns", 30, "Timed turns of each.", 1, **own)


def main(values: flags.FlagValues) -> None:
    """Measures and prints."""
    require(values, "run_dir", "files", "data")
    print_heading("deploy")
    app.load_tensorflow()
    import numpy as np

    from rlstm_tf.data.batches import evaluation_example
    from rlstm_tf.data.shards import Shards

    _limit_tensorflow()
    network, config = _load_network(Path(values.run_dir))
    shards = Shards.open(values.data, values.split)
    runs = {path: _open(path) for path in map(_find, map(Path, values.files))}
    of_network: list[Any] = []
    logits: dict[Path, list[Any]] = {path: [] for path in runs}
    for video in range(len(shards)):
        frames = evaluation_example(shards, config, video)["frames"]
        of_network.append(network(frames).numpy()[0])
        for path, run in runs.items():
            # A copy: an interpreter's next call overwrites its outputs.
            logits[path].append(np.array(run(_CLIP, {"frames": frames})["logits"][0]))
    clips = {str(path): partial(run, _CLIP, {"frames": frames}) for path, run in runs.items()}
    steps = {str(path): _make_step(run, frames[:, 0]) for path, run in runs.items()}
    clip_times, step_times = fastest(clips, values.turns), fastest(steps, values.turns)
    expected, labels = np.stack(of_network), shards.labels
    best = expected.argmax(axis=1)
    print(
        f"{len(shards)} videos; the network in float32: accuracy "
        f"{_is_right(labels, best).mean():.4f}, largest logit {np.abs(expected).max():.2f}"
    )
    print("megabytes  same class  accuracy  largest difference  ms a clip  ms a step  file")
    for path, rows in logits.items():
        found = np.stack(rows)
        classes = found.argmax(axis=1)
        clip, step = (1e3 * times[str(path)].of_cores for times in (clip_times, step_times))
        print(
            f"{_size(path) / 1e6:9.2f}{(classes == best).mean():12.4f}"
            f"{_is_right(labels, classes).mean():10.4f}{np.abs(found - expected).max():20.2g}"
            f"{clip:11.2f}{step:11.2f}  {path}"
        )


def _limit_tensorflow() -> None:
    """Gives TensorFlow one thread, as the others have."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _load_network(run_dir: Path) -> tuple[Any, Any]:
    """Returns a run's network in float32, as a graph, and how its videos are sampled."""
    import tensorflow as tf

    from rlstm_tf.data.input_config import InputConfig
    from rlstm_tf.model_config import snippet_length
    from rlstm_tf.runs.directory import RunDirectory, read_flags
    from rlstm_tf.runs.weights import load_model

    settings: Any = read_flags(run_dir / "flags.cfg")
    settings.precision = "float32"
    model, _ = load_model(run_dir, None, settings, len(RunDirectory(run_dir).classes()))
    config = InputConfig(
        1,
        num_segments=settings.num_segments,
        image_size=settings.image_size,
        stream=settings.stream,
        new_length=snippet_length(settings.stream, settings.new_length),
    )
    return tf.function(lambda frames: model(frames, training=False)), config


def _is_right(labels: Any, best: Any) -> Any:
    """Returns bool [V] for labels [V], or bool [V, classes] if a video may have several."""
    return labels == best if labels.ndim == 1 else labels[range(len(best)), best]


def _find(path: Path) -> Path:
    """Returns the newest version of a SavedModel, or the path of another format."""
    from rlstm_tf.serving.artifact import find_newest_version

    return path if path.suffix == ".tflite" or _is_onnx(path) else find_newest_version(path)


def _open(path: Path) -> Run:
    if path.suffix == ".tflite":
        return _open_litert(path)
    return _open_onnx(path) if _is_onnx(path) else _open_savedmodel(path)


def _is_onnx(path: Path) -> bool:
    return any(path.glob("*.onnx"))


def _open_savedmodel(version: Path) -> Run:
    import tensorflow as tf

    from rlstm_tf.serving.artifact import load_signatures

    signatures = load_signatures(version)

    def run(signature: str, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        function = signatures[_SAVEDMODEL_CLIP if signature == _CLIP else signature]
        answer = function(**{name: tf.constant(x) for name, x in inputs.items()})
        return {name: value.numpy() for name, value in answer.items()}

    return run


def _open_litert(path: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    runners = {
        name: interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()
    }

    def run(signature: str, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        return runners[signature](**inputs)

    return run


def _open_onnx(directory: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    sessions = {
        path.stem: onnxruntime.InferenceSession(str(path), options)
        for path in directory.glob("*.onnx")
    }

    def run(signature: str, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        names = [output.name for output in sessions[signature].get_outputs()]
        answer = sessions[signature].run(names, dict(inputs))
        return {name.removeprefix("new_"): value for name, value in zip(names, answer)}

    return run


def _make_step(run: Run, frame: Any) -> Callable[[], Any]:
    """Returns a function that runs a step of a stream with one frame, uint8 [1, S, S, C]."""
    import numpy as np

    answer = dict(run("init_state", {"decay": np.ones(1, np.float32)}))

    def step() -> None:
        state = {name: value for name, value in answer.items() if name.startswith("state_")}
        answer.update(run("step", {"frames": frame, **state}))

    return step


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))
