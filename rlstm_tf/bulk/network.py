"""The exported network of a bulk prediction: identified once, loaded by each worker."""

from __future__ import annotations

import gc
import hashlib
from pathlib import Path
from typing import NamedTuple

from rlstm_tf.cli.app import load_tensorflow
from rlstm_tf.runs.remote import local_mirror
from rlstm_tf.serving.artifact import (
    ModelMetadata,
    compute_checksums,
    find_newest_version,
    verify_files,
)
from rlstm_tf.serving.predictor import Predictor
from rlstm_tf.storage.atomic import writing
from rlstm_tf.storage.files import is_remote


class Network(NamedTuple):
    """A version of an exported network.

    Attributes:
        source: its directory, local or remote.
        sha256: of its files.
        metadata: its inputs and outputs.
    """

    source: str
    sha256: str
    metadata: ModelMetadata


def identify(model: str) -> Network:
    """Finds the newest version of a network and computes its digest, without loading it.

    Args:
        model: saved_models/NAME, local, or one version, local or remote.

    Raises:
        DataError: there is none, or it is damaged.
    """
    with local_mirror(model) as mirror:
        version = find_newest_version(mirror.path)
        metadata = ModelMetadata.read(version)
        verify_files(version)
        with writing(version):
            checksums = compute_checksums(version)
    source = model if is_remote(model) else str(version)
    return Network(source, hashlib.sha256(checksums.encode()).hexdigest(), metadata)


def load(source: str) -> Predictor:
    """Loads a network in a worker.

    Args:
        source: `Network.source`.

    Raises:
        DataError: it is damaged or cannot be loaded.
    """
    load_tensorflow()
    with local_mirror(source) as mirror:
        predictor = Predictor.load(Path(mirror.path))
    # The collection after each portion need not look through TensorFlow's objects.
    gc.freeze()
    return predictor
