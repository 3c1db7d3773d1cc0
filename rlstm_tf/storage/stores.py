"""What opens a path with `://` in it: TensorFlow, tensorflow-io or fsspec, whichever can.

TensorFlow itself has `gs://`. tensorflow-io, where it loads, adds `s3://`, `az://`, `hdfs://` and
`http(s)://` to it. For what is still missing there is fsspec, which reads and writes the same
stores without TensorFlow. None of them is imported before there is such a path.
"""

from __future__ import annotations

import functools
import warnings

from rlstm_tf.errors import DataError
from rlstm_tf.storage.fsspec_store import FsspecStore
from rlstm_tf.storage.store import Store

_OF_TENSORFLOW_IO = ("az", "har", "hdfs", "http", "https", "oss", "s3", "viewfs")


def get_store(path: str) -> Store:
    """What opens a path.

    Args:
        path: `SCHEME://...`; TensorFlow opens local ones too.

    Raises:
        DataError: nothing that is installed does; says what would.
    """
    scheme, found, _ = path.partition("://")
    return _store(scheme if found else "")


@functools.cache
def _store(scheme: str) -> Store:
    from tensorflow import io

    from rlstm_tf.storage.gfile_store import GfileStore

    reasons = []
    if scheme in _OF_TENSORFLOW_IO and scheme not in io.gfile.get_registered_schemes():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                # It registers its own.
                import tensorflow_io  # noqa: F401
            except (ImportError, NotImplementedError) as error:
                # Beside a TensorFlow that is not its own, its library does not load.
                reasons.append(str(error).partition("\n")[0])
    if scheme in io.gfile.get_registered_schemes():
        return GfileStore()
    try:
        import fsspec

        file_system = fsspec.filesystem(scheme, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        reasons.append(str(error))
        raise DataError(
            f"nothing that is installed opens {scheme}:// ({'; '.join(reasons)}). s3:// takes "
            "pip install 'rlstm-tf[stores]', or, on Python 3.9 - 3.11, 'rlstm-tf[addons]', which "
            "opens az://, hdfs:// and http:// too"
        ) from None
    return FsspecStore(file_system)
