"""Classifies a video on a server, from one JPEG file per snippet; or a stream, after each file.

    python examples/serving/client.py --model=demo frame1.jpg ... frame8.jpg
    python examples/serving/client.py --model=demo --grpc=localhost:8500 frame1.jpg ... frame8.jpg
    python examples/serving/client.py --model=demo --stream frame1.jpg frame2.jpg ...

REST needs only the standard library; gRPC needs tensorflow-serving-api.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

# `call_rest` or `call_grpc`.
Call = Callable[[str, str, str, dict[str, Any]], dict[str, Any]]


def call_rest(server: str, model: str, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Calls a signature for one video or stream, over REST.

    Args:
        server: http://host:port
        model: the model's name at the server.
        signature: the signature's name.
        inputs: its inputs by name, without the batch axis; files as bytes.

    Returns:
        Its outputs by name, without the batch axis.

    Raises:
        RuntimeError: the server refuses the request; holds its message.
    """
    instance = {name: _as_json(value) for name, value in inputs.items()}
    body = {"signature_name": signature, "instances": [instance]}
    request = urllib.request.Request(
        f"{server}/v1/models/{model}:predict",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            (prediction,) = json.load(answer)["predictions"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(error.read().decode(errors="replace")) from None
    return prediction


def call_grpc(server: str, model: str, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Calls a signature over gRPC, as `call_rest`, with host:port for `server`."""
    import grpc
    from tensorflow import make_ndarray, make_tensor_proto
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, value in inputs.items():
        batch = value[None] if hasattr(value, "shape") else [value]
        request.inputs[name].CopyFrom(make_tensor_proto(batch))
    with grpc.insecure_channel(server) as channel:
        service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            outputs = service.Predict(request, timeout=60).outputs
        except grpc.RpcError as error:
            raise RuntimeError(f"{error.code().name}: {error.details()}") from None
    return {name: make_ndarray(value)[0] for name, value in outputs.items()}


def classify(call: Call, server: str, model: str, jpegs: list[bytes]) -> list[tuple[str, float]]:
    """Classifies a video.

    Args:
        call: `call_rest` or `call_grpc`; see there for the server, the model and the errors.
        server: address of the server.
        model: the model's name at the server.
        jpegs: T JPEG files of one video, in order.

    Returns:
        The most probable classes and their probabilities, 0..1.
    """
    return _ranking(call(server, model, "serve_jpeg", {"frames_bytes": jpegs}))


def classify_stream(
    call: Call, server: str, model: str, jpegs: Iterable[bytes], decay: float = 1.0
) -> Iterator[list[tuple[str, float]]]:
    """Classifies a stream after each frame, as `classify`.

    The server keeps nothing: the state of the stream comes with each answer and goes back with the
    next frame.

    Args:
        call: `call_rest` or `call_grpc`.
        server: address of the server.
        model: the model's name at the server.
        jpegs: JPEG files of the frames, in order; any number.
        decay: what a step keeps of the past, 0..1.

    Yields:
        The most probable classes and their probabilities, 0..1.
    """
    answer = call(server, model, "init_state", {"decay": decay})
    for jpeg in jpegs:
        state = {name: value for name, value in answer.items() if name.startswith("state_")}
        answer = call(server, model, "step_jpeg", {"frames_bytes": jpeg, **state})
        yield _ranking(answer)


def _as_json(value: Any) -> Any:
    """Encodes files as the REST interface takes them; lists and numbers are left as they are."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return [_as_json(each) for each in value] if isinstance(value, list) else value


def _ranking(answer: dict[str, Any]) -> list[tuple[str, float]]:
    """Labels are text over REST, and UTF-8 over gRPC."""
    labels = [label if isinstance(label, str) else label.decode() for label in answer["top_labels"]]
    return [(label, float(p)) for label, p in zip(labels, answer["top_probabilities"])]


def main(argv: list[str] | None = None) -> int:
    """Prints the classes, most probable first; of a stream the most probable after each frame."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="the model's name at the server")
    parser.add_argument("--rest", default="http://localhost:8501", help="http://host:port")
    parser.add_argument("--grpc", help="host:port, instead of REST")
    parser.add_argument("--stream", action="store_true", help="answer after each frame")
    parser.add_argument(
        "--decay", type=float, default=1.0, help="stream: what a frame keeps of the past, 0 to 1"
    )
    parser.add_argument("frames", nargs="+", type=Path, help="T JPEG files of one video, in order")
    arguments = parser.parse_args(argv)
    over_grpc = arguments.grpc is not None
    call, server = (call_grpc, arguments.grpc) if over_grpc else (call_rest, arguments.rest)
    try:
        if arguments.stream:
            files = (path.read_bytes() for path in arguments.frames)
            answers = classify_stream(call, server, arguments.model, files, arguments.decay)
            for path, answer in zip(arguments.frames, answers):
                label, probability = answer[0]
                print(f"{path.name}  {probability:.4f}  {label}", flush=True)
            return 0
        jpegs = [path.read_bytes() for path in arguments.frames]
        answer = classify(call, server, arguments.model, jpegs)
    except (OSError, RuntimeError, ValueError, LookupError, ImportError) as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        return 1
    for label, probability in answer:
        print(f"{probability:.4f}  {label}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
