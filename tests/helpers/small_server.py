"""A stand-in for tensorflow_model_server, where there is none: its REST and gRPC, one model.

It runs the graph as the server does, through a session's C interface, which compares no shapes with
those of the signature; Python's own calls would.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

v1 = tf.compat.v1


class Session:
    """A version, loaded as a server loads it."""

    def __init__(self, version):
        self._session = v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            meta = v1.saved_model.load(self._session, ["serve"], str(version))
        self._calls = {}
        for name, signature in meta.signature_def.items():
            if name.startswith("__"):
                continue
            options = config_pb2.CallableOptions()
            types = {feed: each.dtype for feed, each in sorted(signature.inputs.items())}
            options.feed.extend(signature.inputs[feed].name for feed in types)
            outputs = sorted(signature.outputs)
            options.fetch.extend(signature.outputs[output].name for output in outputs)
            call = self._session._make_callable_from_options(options)
            self._calls[name] = types, outputs, call

    def run(self, signature, inputs):
        """Outputs by name; raises ValueError or tf.errors.OpError."""
        types, outputs, call = self._calls[signature]
        # The server compares names and data types before it runs anything.
        if set(inputs) != set(types):
            raise ValueError(f"inputs are {sorted(inputs)}, expected {sorted(types)}")
        for feed, dtype in types.items():
            if tf.as_dtype(inputs[feed].dtype) != tf.as_dtype(dtype):
                found = inputs[feed].dtype
                raise ValueError(f"{feed} is {found}, expected {tf.as_dtype(dtype).name}")
        return dict(zip(outputs, call(*(inputs[feed] for feed in types))))

    def types(self, signature):
        """NumPy's data types of the inputs, by name."""
        return {
            feed: tf.as_dtype(it).as_numpy_dtype for feed, it in self._calls[signature][0].items()
        }

    def close(self):
        self._session.close()


class _Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, session):
        self._session = session

    def Predict(self, request, context):  # noqa: N802
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        try:
            found = self._session.run(request.model_spec.signature_name, inputs)
        except (ValueError, tf.errors.OpError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        response = predict_pb2.PredictResponse()
        for key, value in found.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return response


def _handler(session):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                status, answer = 200, {"predictions": _predictions(session, body)}
            except (ValueError, tf.errors.OpError) as error:
                status, answer = 400, {"error": str(error)}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    return Handler


def _predictions(session, body):
    """A row an instance, strings as text: the row format of the REST interface."""
    signature = body.get("signature_name", "serving_default")
    rows, types = [_parsed(row) for row in body["instances"]], session.types(signature)
    inputs = {name: np.array([row[name] for row in rows], types.get(name)) for name in rows[0]}
    found = session.run(signature, inputs)
    plain = {name: _plain(value) for name, value in found.items()}
    return [{name: plain[name][row] for name in plain} for row in range(len(rows))]


def _parsed(value):
    """The bytes of each file in place of its base64."""
    if isinstance(value, list):
        return [_parsed(each) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"b64"}:
        return base64.b64decode(value["b64"])
    return {name: _parsed(each) for name, each in value.items()}


def _plain(value):
    if value.dtype == object:
        return [[text.decode() for text in row] for row in value]
    return value.tolist()


@contextlib.contextmanager
def serving(version):
    """Serves a version; yields the addresses for REST and for gRPC."""
    session = Session(version)
    rest = ThreadingHTTPServer(("localhost", 0), _handler(session))
    thread = threading.Thread(target=rest.serve_forever, daemon=True)
    thread.start()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Service(session), server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield f"http://localhost:{rest.server_port}", f"localhost:{port}"
    finally:
        server.stop(None).wait()
        rest.shutdown()
        rest.server_close()
        thread.join()
        session.close()
