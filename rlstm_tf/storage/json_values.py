"""Reads JSON files and checks their values.

Does not use pydantic, which takes 0.3 s to import, and whose strict mode refuses paths that are not
UTF-8.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from rlstm_tf.errors import DataError
from rlstm_tf.storage.bounded import parse_json_text, read_text_file
from rlstm_tf.storage.files import open_file

# First word of a field's annotation -> its type in JSON.
_JSON_TYPES = {"str": str, "int": int, "bool": bool, "list": list, "tuple": list, "dict": dict}


def read_json(path: str) -> dict[str, Any] | None:
    """Reads a local or remote file that holds one JSON object; None if it does not exist.

    Raises:
        DataError: the file cannot be read, or is not a JSON object.
    """
    try:
        return parse_json(read_text_file(open_file(path)), path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def parse_json(text: str | bytes, where: str) -> dict[str, Any]:
    """Parses a JSON object.

    Args:
        text: contents of the file.
        where: file name, for errors.

    Raises:
        DataError: the text is not a JSON object.
    """
    try:
        values = parse_json_text(text)
    except ValueError as error:
        raise DataError(f"{where} is not JSON: {error}") from None
    return require_type(values, dict, where)


def require_type(value: Any, kind: type, where: str) -> Any:
    """Returns a JSON value that has the type `kind`.

    Args:
        value: the value.
        kind: expected type; `bool` and `int` are distinct here.
        where: file and field, for errors.

    Raises:
        DataError: the value has another type.
    """
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise DataError(f"{where} must be {kind.__name__}, found {type(value).__name__}")
    return value


def require_names(values: list, where: str) -> tuple[str, ...]:
    """Returns the strings of a list: at least one, all different.

    Raises:
        DataError: the list is empty, or an entry is not a string, not Unicode, or occurs twice.
    """
    names = tuple(require_type(value, str, where) for value in values)
    if not names or len(set(names)) != len(names):
        raise DataError(f"{where} must be names, at least one, each once")
    for name in names:
        require_unicode(name, where)
    return names


def require_unicode(text: str, where: str) -> str:
    """Returns a string that can be written: JSON may hold half of a character (`\\ud800`).

    Raises:
        DataError: it cannot.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(f"{where}: {text!r} is not Unicode") from None
    return text


def require_fields(kind: type, values: Any, where: str) -> dict[str, Any]:
    """Checks that an object has exactly the fields of a dataclass, with their types.

    Lists and objects are not checked further; fields with other types (a union, a dataclass) are
    not checked at all.

    Args:
        kind: a dataclass.
        values: the object.
        where: file and field, for errors.

    Returns:
        `values`.

    Raises:
        DataError: a field is missing, unknown, or has another type.
    """
    types = {entry.name: str(entry.type) for entry in fields(kind)}
    if types.keys() != require_type(values, dict, where).keys():
        different = ", ".join(sorted(types.keys() ^ values.keys()))
        raise DataError(f"{where} lacks, or does not know, the fields: {different}")
    for name, annotation in types.items():
        json_type = _JSON_TYPES.get(annotation.partition("[")[0])
        if json_type:
            require_type(values[name], json_type, f"{where}: {name}")
    return values
