"""Reads the tensors of a file that `torch.save` wrote: without torch, and nothing but tensors.

A pickle is a program. Python's unpickler does not run it: `_unpickle` does, which knows only the
instructions that `torch.save` writes for named tensors, and calls nothing that a file names.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from typing import Any, NamedTuple

import numpy as np

from rlstm_tf.storage.files import open_file

# Bytes. EfficientNet-Lite2 takes 25 million, 62,000 of them for names and shapes.
_MAX_FILE = 1 << 27
_MAX_PICKLE = 1 << 17
# Parts of an archive; Lite2 has 390. zipfile makes an object of each.
_MAX_PARTS = 10_000
# Of NumPy 1.
_MAX_DIMENSIONS = 32
# Instructions that push their argument, or a constant.
_ARGUMENTS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
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

    dtype: np.dtype
    key: str
    size: int


class _Tensor(NamedTuple):
    """A tensor whose numbers come later. All but the storage is as the pickle has it."""

    storage: _Storage
    offset: Any
    shape: Any
    strides: Any

    def lay_over(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the tensor as a view, which takes no memory of its own."""
        dimensions = self.shape, self.strides
        if not all(isinstance(it, tuple) and len(it) <= _MAX_DIMENSIONS for it in dimensions):
            raise _RefusedError("a tensor without a shape or strides")
        sizes = (self.offset, *self.shape, *self.strides)
        if not all(isinstance(size, int) and size >= 0 for size in sizes):
            raise _RefusedError("a tensor whose shape or strides are not natural numbers")
        if len(self.shape) != len(self.strides):
            raise _RefusedError(f"a tensor of shape {self.shape} and strides {self.strides}")
        steps = zip(self.shape, self.strides)
        last = self.offset + sum((size - 1) * stride for size, stride in steps)
        if not 0 < math.prod(self.shape) <= numbers.size or last >= numbers.size:
            raise _RefusedError(f"a tensor of shape {self.shape} over {numbers.size} numbers")
        strides = [stride * numbers.itemsize for stride in self.strides]
        numbers = numbers[self.offset :]
        return np.lib.stride_tricks.as_strided(numbers, self.shape, strides, writeable=False)


_NAMES, _TENSOR = object(), object()
_GLOBALS = {
    "collections OrderedDict": _NAMES,
    "torch._utils _rebuild_tensor_v2": _TENSOR,
    "torch DoubleStorage": np.dtype("<f8"),
    "torch FloatStorage": np.dtype("<f4"),
    "torch HalfStorage": np.dtype("<f2"),
    "torch IntStorage": np.dtype("<i4"),
    "torch LongStorage": np.dtype("<i8"),
}


def _unpickle(content: bytes, begin: int, storages: dict[str, _Storage]) -> tuple[Any, int]:
    """Loads the pickle at a position, and adds the storages that it names.

    Returns:
        The object, and the position after the pickle.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}

    def pop_marked() -> list[Any]:
        first = marks.pop()
        values = stack[first:]
        del stack[first:]
        return values

    program, length = content[begin : begin + _MAX_PICKLE], 0
    for instruction, argument, position in pickletools.genops(program):
        name = instruction.name
        if name in _ARGUMENTS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "TUPLE":
            stack.append(tuple(pop_marked()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name in ("APPEND", "APPENDS"):
            values = pop_marked() if name == "APPENDS" else [stack.pop()]
            stack[-1].extend(values)
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name in ("SETITEM", "SETITEMS"):
            values = pop_marked() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            for key, value in zip(values[::2], values[1::2]):
                stack[-1][_check_name(key)] = value
        elif name == "GLOBAL":
            if argument not in _GLOBALS:
                found = str(argument).replace(" ", ".")
                raise _RefusedError(f"it holds {found:.100}; only tensors are read")
            stack.append(_GLOBALS[argument])
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(_call(stack.pop(), arguments))
        elif name == "BINPERSID":
            stack.append(_add_storage(stack.pop(), storages))
        elif name == "BUILD":
            # Attributes: torch adds versions of layers, which are left out.
            stack.pop()
        elif name not in ("PROTO", "STOP"):
            raise _RefusedError(f"it holds a pickled {name}; only tensors are read")
        length = (position or 0) + 1
    return stack.pop(), begin + length


def _call(function: Any, arguments: Any) -> Any:
    if function is _NAMES and arguments == ():
        return {}
    if function is _TENSOR and isinstance(arguments[0], _Storage):
        return _Tensor(*arguments[:4])
    raise _RefusedError("damaged: its pickle calls what is not a function")


def _check_name(key: Any) -> str:
    # Python could spend forever on the hash of a nested tuple, or crash.
    if not isinstance(key, str):
        raise _RefusedError(f"it holds a {type(key).__name__} in place of a name")
    return key


def _add_storage(values: Any, storages: dict[str, _Storage]) -> _Storage:
    _, dtype, key, _, size = values[:5]
    if not isinstance(dtype, np.dtype) or not isinstance(size, int):
        raise _RefusedError("damaged: it holds numbers without a type or size")
    storage = _Storage(dtype, _check_name(key), size)
    if storages.setdefault(key, storage) != storage:
        raise _RefusedError(f"its numbers {key:.100} have two sizes or types")
    return storage


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
    for key in map(_check_name, keys):
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
    # What an entry of the archive's directory begins with.
    if content.count(b"PK\1\2") > _MAX_PARTS:
        raise _RefusedError(f"it has more than {_MAX_PARTS} parts")
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
        if not isinstance(tensor, _Tensor):
            raise _RefusedError(f"its entry {name!r:.100} is not a tensor")
    return {name: tensor.lay_over(numbers[tensor.storage.key]) for name, tensor in tensors.items()}
