"""Writes files as `torch.save` does, in both of its formats, without torch."""

from __future__ import annotations

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from unittest import mock

import numpy as np


def _rebuild_tensor_v2(*arguments):
    raise AssertionError("only its name is written")


_rebuild_tensor_v2.__module__ = "torch._utils"
_KINDS = {
    dtype: type(f"{name}Storage", (), {"__module__": "torch"})
    for dtype, name in (("float32", "Float"), ("float16", "Half"), ("int64", "Long"))
}
_KINDS["uint8"] = type("ByteStorage", (), {"__module__": "torch"})
# Python looks up what a pickle names.
_MODULES = {
    "torch": types.SimpleNamespace(**{kind.__name__: kind for kind in _KINDS.values()}),
    "torch._utils": types.SimpleNamespace(_rebuild_tensor_v2=_rebuild_tensor_v2),
}


class _Numbers:
    def __init__(self, array, key):
        self.array, self.key = array, key


class _Tensor:
    def __init__(self, array, key):
        self.array, self.key = array, key

    def __reduce__(self):
        strides = tuple(stride // self.array.itemsize for stride in self.array.strides)
        numbers = _Numbers(self.array, self.key)
        return _rebuild_tensor_v2, (*(numbers, 0, self.array.shape, strides, False, OrderedDict()),)


class _Pickler(pickle.Pickler):
    # The older format adds a view of the storage, which is None.
    views: tuple = ()

    def persistent_id(self, value):
        if not isinstance(value, _Numbers):
            return None
        kind = _KINDS[str(value.array.dtype)]
        return ("storage", kind, value.key, "cpu", value.array.size, *self.views)


class _OlderPickler(_Pickler):
    views = (None,)


def pickled(value, pickler=_Pickler):
    stream = io.BytesIO()
    with mock.patch.dict(sys.modules, _MODULES):
        pickler(stream, protocol=2).dump(value)
    return stream.getvalue()


def save(path, values, archive):
    """Writes values by name; an array becomes a tensor, anything else stays what it is.

    Args:
        path: the file.
        values: arrays of any order, and others.
        archive: writes a zip archive, as torch 1.6 and later do, in place of a sequence of pickles.
    """
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    keys = {name: str(number) for number, name in enumerate(arrays)}
    state = OrderedDict(
        (name, _Tensor(value, keys[name]) if name in arrays else value)
        for name, value in values.items()
    )
    state._metadata = OrderedDict([("", {"version": 1})])
    numbers = {keys[name]: array.ravel(order="K").tobytes() for name, array in arrays.items()}
    if archive:
        with zipfile.ZipFile(path, "w") as members:
            members.writestr("net/data.pkl", pickled(state))
            members.writestr("net/byteorder", "little")
            for key, content in numbers.items():
                members.writestr(f"net/data/{key}", content)
        return
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    content = b"".join(map(pickled, (0x1950A86A20F9469CFC6C, 1001, system)))
    content += pickled(state, _OlderPickler) + pickled(list(numbers))
    for name, array in arrays.items():
        content += array.size.to_bytes(8, "little") + numbers[keys[name]]
    path.write_bytes(content)
