"""Chooses the store of a remote path by its scheme: TensorFlow, tensorflow-io or fsspec.

TensorFlow supports `gs://`, and tensorflow-io, if it loads, adds `s3://`, `az://`, `hdfs://` and
`http(s)://`. Other schemes go through fsspec. All are imported only when needed.
"""

from __future__ import annotations

import functools
import threading
import warnings

from rlstm_tf.errors import DataError
from rlstm_tf.quiet import quiet
from rlstm_tf.storage.fsspec_store import FsspecStore
from rlstm_tf.storage.store import Store

_TENSORFLOW_IO_SCHEMES = ("az", "har", "hdfs", "http", "https", "oss", "s3", "viewfs")
_making = threading.Lock()


def get_store(path: str) -> Store:
    """Returns the store of a path.

    Args:
        path: `SCHEME://...`, or a local path, which goes through TensorFlow.

    Raises:
        DataError: no installed package supports the scheme.
    """
    scheme, separator, _ = path.partition("://")
    # Many threads may ask at once.
    with _making:
        return _make_store(scheme if separator else "")


@functools.cache
def _make_store(scheme: str) -> Store:
    # Where a command needs TensorFlow for nothing else, this is what loads it.
    with quiet():
        from tensorflow import io

        from rlstm_tf.storage.gfile_store import GfileStore

    reasons = []
    if scheme in _TENSORFLOW_IO_SCHEMES and scheme not in io.gfile.get_registered_schemes():
        with warnings.catch_warnings(), quiet():
            warnings.simplefilter("ignore")
            try:
                # Importing it registers its schemes.
                import tensorflow_io  # noqa: F401
            except (ImportError, NotImplementedError) as error:
                # Its library does not load with another TensorFlow version.
                reasons.append(str(error).partition("\n")[0])
    if scheme in io.gfile.get_registered_schemes():
        return GfileStore()
    try:
        import fsspec

        file_system = fsspec.filesystem(scheme, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        reasons.append(str(error))
        raise DataError(
            f"no installed package opens {scheme}:// ({'; '.join(reasons)}). For s3://, pip "
            "install 'rlstm-tf[stores]', or, on Python 3.9 - 3.11, 'rlstm-tf[addons]', which also "
            "opens az://, hdfs:// and http://"
        ) from None
    return FsspecStore(file_system)
