"""Files for phones and browsers compared with the SavedModel of the same run.

    python -m benchmarks.deploy --model=saved_models/demo --files=demo.tflite,demo_onnx --data=DIR

For each LiteRT file or directory of ONNX files: its size; over the test videos, how often its most
probable class is that of the SavedModel, how often it is right, and how far logits are apart; and
milliseconds of a clip and of a step of a stream, with one thread, in turns, the fastest turn of
each. Files take frames of the network's own size, and need signatures of streams: export a
bidirectional network with --window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
# The signature of frames of a SavedModel, and that of a file.
_CLIP = {True: "serving_default", False: "serve_frames"}


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    define_path("model", None, "Export to compare with, saved_models/NAME.", **own)
    define_path_list("files", [], "LiteRT files and ONNX directories of the same run.", **own)
    define_path("data", None, "Records, from tfrecords_tools.build.", **own)
    flags.DEFINE_enum("split", "test", SUBSETS, "Their subset.", **own)
    flags.DEFINE_integer("turns", 30, "Timed turns of each.", 1, **own)


def main(values: flags.FlagValues) -> None:
    """Measures and prints."""
    require(values, "model", "files", "data")
    print_heading("deploy")
    app.load_tensorflow()
    import numpy as np
    import tensorflow as tf

    from rlstm_tf.data.batches import evaluation_example
    from rlstm_tf.data.shards import Shards
    from rlstm_tf.serving import artifact

    # As many as a file's interpreter has.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    version = artifact.find_newest_version(Path(values.model))
    metadata = artifact.ModelMetadata.read(version)
    shards, config = Shards.open(values.data, values.split), metadata.input_config()
    runs: dict[str, Run] = {str(version): _open_savedmodel(version)}
    for path in values.files:
        runs[path] = _open_onnx(Path(path)) if Path(path).is_dir() else _open_litert(path)
    logits: dict[str, list[Any]] = {name: [] for name in runs}
    for video in range(len(shards)):
        frames = evaluation_example(shards, config, video)["frames"]
        for name, run in runs.items():
            signature = _CLIP[name == str(version)]
            logits[name].append(run(signature, {"frames": frames})["logits"][0])
    scores = {name: np.stack(rows) for name, rows in logits.items()}
    expected = scores[str(version)]
    clips = {
        name: lambda run=run, name=name: run(_CLIP[name == str(version)], {"frames": frames})
        for name, run in runs.items()
    }
    steps = {name: _make_step(run, frames[:, 0]) for name, run in runs.items()}
    times = fastest(clips, values.turns), fastest(steps, values.turns)
    print(f"{len(shards)} videos; largest logit {np.abs(expected).max():.2f}")
    print("megabytes  same class  accuracy  largest difference  ms a clip  ms a step  file")
    for name, found in scores.items():
        best = found.argmax(axis=1)
        clip, step = (1e3 * seconds[name].elapsed for seconds in times)
        print(
            f"{_size(Path(name)) / 1e6:9.2f}{(best == expected.argmax(axis=1)).mean():12.4f}"
            f"{_is_right(shards.labels, best).mean():10.4f}{np.abs(found - expected).max():20.2g}"
            f"{clip:11.2f}{step:11.2f}  {name}"
        )


def _is_right(labels: Any, best: Any) -> Any:
    """Returns bool [V] for labels [V], or bool [V, classes] if a video may have several."""
    return labels == best if labels.ndim == 1 else labels[range(len(best)), best]


def _open_savedmodel(version: Path) -> Run:
    import tensorflow as tf

    from rlstm_tf.serving.artifact import load_signatures

    signatures = load_signatures(version)

    def run(signature: str, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = signatures[signature](**{name: tf.constant(x) for name, x in inputs.items()})
        return {name: value.numpy() for name, value in answer.items()}

    return run


def _open_litert(path: str) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
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
