"""Reads the tensors of a file that `torch.save` wrote: without torch, and nothing but tensors.

A pickle is a program. This one runs only if all its instructions are among those that `torch.save`
writes for named tensors, and whatever it calls is replaced by the three classes below.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import zipfile
from typing import Any, NamedTuple

import numpy as np

from rlstm_tf.storage.files import open_file

# Bytes. EfficientNet-Lite2 takes 25 million, 62,000 of them for names and shapes.
_MAX_FILE = 1 << 27
_MAX_PICKLE = 1 << 20
_INSTRUCTIONS = {
    *("PROTO", "STOP", "MARK", "GLOBAL", "REDUCE", "BUILD", "BINPERSID", "NONE", "NEWTRUE"),
    *("BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "NEWFALSE", "BININT", "BININT1", "BININT2"),
    *("LONG1", "BINFLOAT", "BINUNICODE", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS"),
}
# Of the format before torch 1.6, which has no other name.
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001


def read_tensors(path: str) -> dict[str, np.ndarray]:
    """Reads named tensors, as `torch.save(model.state_dict(), path)` writes them.

    Args:
        path: a file of either format: a zip archive, or a sequence of pickles (before torch 1.6).

    Returns:
        Arrays by name, which cannot be written to and share the memory of the file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, too long, or holds anything but tensors of 16, 32 or 64 bits.
    """
    file = open_file(path)
    if file.size > _MAX_FILE:
        raise ValueError(f"{file.size} bytes, at most {_MAX_FILE} are read")
    content = file.read(0, file.size)
    try:
        return (_read_archive if content.startswith(b"PK") else _read_sequence)(content)
    except _RefusedError:
        raise
    # A changed byte can cause almost any error in pickle, zipfile and NumPy.
    except Exception as error:
        raise ValueError(f"damaged, or not a file of torch.save ({error})") from None


class _RefusedError(ValueError):
    """Says what the file holds."""


class _Storage(NamedTuple):
    """Numbers that tensors are laid over."""

    dtype: str
    key: str
    size: int


class _Plain:
    """Takes no attributes from a pickle."""

    def __setstate__(self, state: Any) -> None:
        pass


class _Names(_Plain, dict):
    """Stands for OrderedDict. torch adds versions of layers as an attribute, which we leave out."""


class _Tensor(_Plain):
    """Stands for `torch._utils._rebuild_tensor_v2`: a tensor whose numbers come later."""

    def __init__(self, storage: _Storage, offset: int, shape: tuple, strides: tuple, *_: Any):
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def lay_over(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the tensor as a view, which takes no memory of its own."""
        sizes = (self.offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or not all(
            isinstance(size, int) and size >= 0 for size in sizes
        ):
            raise _RefusedError(f"a tensor of shape {self.shape} and strides {self.strides}")
        steps = zip(self.shape, self.strides)
        last = self.offset + sum((size - 1) * stride for size, stride in steps)
        if not 0 < math.prod(self.shape) <= numbers.size or last >= numbers.size:
            raise _RefusedError(f"a tensor of shape {self.shape} over {numbers.size} numbers")
        strides = [stride * numbers.itemsize for stride in self.strides]
        numbers = numbers[self.offset :]
        return np.lib.stride_tricks.as_strided(numbers, self.shape, strides, writeable=False)


_CALLED = {
    ("collections", "OrderedDict"): _Names,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch", "DoubleStorage"): "<f8",
    ("torch", "FloatStorage"): "<f4",
    ("torch", "HalfStorage"): "<f2",
    ("torch", "IntStorage"): "<i4",
    ("torch", "LongStorage"): "<i8",
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, program: bytes, storages: dict[str, _Storage]):
        super().__init__(io.BytesIO(program))
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _CALLED:
            raise _RefusedError(f"it holds {module}.{name}; only tensors are read")
        return _CALLED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, _, size = pid[:5]
        storage = _Storage(dtype, key, size)
        if self._storages.setdefault(key, storage) != storage:
            raise _RefusedError(f"its numbers {key} have two sizes or types")
        return storage


def _unpickle(content: bytes, begin: int, storages: dict[str, _Storage]) -> tuple[Any, int]:
    """Loads the pickle at a position, and adds the storages that it names.

    Returns:
        The object, and the position after the pickle.
    """
    program, length = content[begin : begin + _MAX_PICKLE], 0
    for instruction, argument, position in pickletools.genops(program):
        if instruction.name not in _INSTRUCTIONS:
            raise _RefusedError(f"it holds a pickled {instruction.name}; only tensors are read")
        # Python would make a table as long as the largest of these numbers.
        if instruction.name.endswith("BINPUT") and int(argument or 0) > len(program):
            raise _RefusedError(f"its pickle counts {argument} objects")
        length = (position or 0) + 1
    return _Unpickler(program, storages).load(), begin + length


def _read_sequence(content: bytes) -> dict[str, np.ndarray]:
    """Reads five pickles, then each storage: its size, 8 bytes, and its numbers."""
    storages: dict[str, _Storage] = {}
    values, position = [], 0
    for _ in range(5):
        value, position = _unpickle(content, position, storages)
        values.append(value)
    magic, version, system, tensors, keys = values
    if (magic, version, system["little_endian"]) != (_MAGIC, _VERSION, True):
        raise _RefusedError("not a file of torch.save on a common processor")
    numbers = {}
    for key in keys:
        position += 8
        size = int.from_bytes(content[position - 8 : position], "little")
        if size != storages[key].size:
            raise _RefusedError(f"{size} numbers where {storages[key].size} should be")
        numbers[key] = np.frombuffer(content, storages[key].dtype, size, position)
        position += numbers[key].nbytes
    if position != len(content):
        raise _RefusedError(f"{len(content)} bytes where {position} should be")
    return _lay_out(tensors, numbers)


def _read_archive(content: bytes) -> dict[str, np.ndarray]:
    """Reads a zip archive with a pickle, and a member for each storage."""
    storages: dict[str, _Storage] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        # Also true of parts that overlap.
        if sum(member.file_size for member in archive.infolist()) > len(content):
            raise _RefusedError("its parts claim more bytes than the file has")
        names = archive.namelist()
        (name,) = (name for name in names if name.endswith("/data.pkl"))
        folder = name[: -len("data.pkl")]
        order = f"{folder}byteorder"
        if order in names and archive.read(order) != b"little":
            raise _RefusedError("not a file of torch.save on a common processor")
        tensors, _ = _unpickle(archive.read(name), 0, storages)
        numbers = {
            key: np.frombuffer(archive.read(f"{folder}data/{key}"), storage.dtype)
            for key, storage in storages.items()
        }
    for key, storage in storages.items():
        if numbers[key].size != storage.size:
            raise _RefusedError(f"{numbers[key].size} numbers where {storage.size} should be")
    return _lay_out(tensors, numbers)


def _lay_out(tensors: Any, numbers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if not isinstance(tensors, dict):
        raise _RefusedError(f"it holds a {type(tensors).__name__}, not tensors by name")
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise _RefusedError(f"its entry {name!r:.100} is not a tensor")
    return {name: tensor.lay_over(numbers[tensor.storage.key]) for name, tensor in tensors.items()}
