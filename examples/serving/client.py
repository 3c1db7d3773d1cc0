"""Classifies a video on a server, from one JPEG file per snippet.

    python examples/serving/client.py --model=demo frame1.jpg ... frame8.jpg
    python examples/serving/client.py --model=demo --grpc=localhost:8500 frame1.jpg ... frame8.jpg

REST needs only the standard library; gRPC needs tensorflow-serving-api.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path


def predict_rest(server: str, model: str, jpegs: list[bytes]) -> list[tuple[str, float]]:
    """Classifies a video over REST.

    Args:
        server: http://host:port
        model: the model's name at the server.
        jpegs: T JPEG files of one video, in order.

    Returns:
        The most probable classes and their probabilities, 0..1.

    Raises:
        RuntimeError: the server refuses the request; holds its message.
    """
    video = [{"b64": base64.b64encode(jpeg).decode()} for jpeg in jpegs]
    body = {"signature_name": "serve_jpeg", "instances": [{"frames_bytes": video}]}
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
    return list(zip(prediction["top_labels"], prediction["top_probabilities"]))


def predict_grpc(server: str, model: str, jpegs: list[bytes]) -> list[tuple[str, float]]:
    """Classifies a video over gRPC, as `predict_rest`, with host:port for `server`."""
    import grpc
    from tensorflow import make_ndarray, make_tensor_proto
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, "serve_jpeg"
    request.inputs["frames_bytes"].CopyFrom(make_tensor_proto([jpegs]))
    with grpc.insecure_channel(server) as channel:
        service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            outputs = service.Predict(request, timeout=60).outputs
        except grpc.RpcError as error:
            raise RuntimeError(f"{error.code().name}: {error.details()}") from None
    labels = make_ndarray(outputs["top_labels"])[0]
    probabilities = make_ndarray(outputs["top_probabilities"])[0]
    return [(label.decode(), float(value)) for label, value in zip(labels, probabilities)]


def main(argv: list[str] | None = None) -> int:
    """Prints the classes, most probable first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="the model's name at the server")
    parser.add_argument("--rest", default="http://localhost:8501", help="http://host:port")
    parser.add_argument("--grpc", help="host:port, instead of REST")
    parser.add_argument("frames", nargs="+", type=Path, help="T JPEG files of one video, in order")
    arguments = parser.parse_args(argv)
    over_grpc = arguments.grpc is not None
    predict, server = (
        (predict_grpc, arguments.grpc) if over_grpc else (predict_rest, arguments.rest)
    )
    try:
        jpegs = [path.read_bytes() for path in arguments.frames]
        answer = predict(server, arguments.model, jpegs)
    except (OSError, RuntimeError, ValueError, LookupError, ImportError) as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        return 1
    for label, probability in answer:
        print(f"{probability:.4f}  {label}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
