"""Reads and applies the orientation in a JPEG's EXIF data, as TensorFlow graphs.

A phone stores a picture as its sensor sees it, and in the EXIF data how it was held. Nothing here
fails: data that are cut off or make no sense count as none. Sources: ITU-T T.81, annex B (the
segments of a JPEG), CIPA DC-008 (EXIF) and TIFF 6.0, section 2.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

# Bytes in which the EXIF data must begin; they are the first segment, or the second.
_HEAD = 1 << 17
# Segments, and entries of the directory, that are looked at.
_MAX_SEGMENTS, _MAX_ENTRIES = 64, 128
_START_OF_SCAN, _APP1 = 0xDA, 0xE1
_EXIF = b"Exif\0\0"
_ORIENTATION, _SHORT = 0x0112, 3
_ENTRY_BYTES = 12


def read_orientation(jpeg: tf.Tensor) -> tf.Tensor:
    """Returns the EXIF orientation of a JPEG file, int32 1 ... 8; 1 = upright, or none is given.

    Args:
        jpeg: string scalar.
    """
    data = tf.io.decode_raw(tf.strings.substr(jpeg, 0, _HEAD), tf.uint8)
    begin, end = _find_exif(_Bytes(data))
    tiff = _Bytes(data[begin:end])
    # II: little-endian, MM: big-endian.
    big = tf.equal(tiff.at(0), ord("M"))
    directory = tiff.number(4, 4, big)
    entries = directory + 2 + _ENTRY_BYTES * tf.range(_MAX_ENTRIES, dtype=tf.int64)
    good = tf.range(_MAX_ENTRIES, dtype=tf.int64) < tiff.number(directory, 2, big)
    good &= tf.equal(tiff.number(2, 2, big), 42)
    good &= tf.equal(tiff.number(entries, 2, big), _ORIENTATION)
    good &= tf.equal(tiff.number(entries + 2, 2, big), _SHORT)
    value = tf.reduce_max(tf.where(good, tiff.number(entries + 8, 2, big), 1))
    return tf.cast(tf.where((value >= 1) & (value <= 8), value, 1), tf.int32)


def apply_orientation(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns and mirrors a picture, so that it is upright.

    Args:
        image: uint8 `[H, W, C]`, as it is stored.
        orientation: from `read_orientation`.

    Returns:
        uint8 `[H, W, C]`, or `[W, H, C]` for the orientations from 5 on.
    """
    shape = tf.TensorShape([None, None, image.shape[-1]])

    def choose(condition: Any, change: Any, image: tf.Tensor) -> tf.Tensor:
        changed = tf.cond(condition, lambda: change(image), lambda: tf.identity(image))
        return tf.ensure_shape(changed, shape)

    def is_one_of(*numbers: int) -> tf.Tensor:
        return tf.reduce_any(tf.equal(orientation, numbers))

    image = choose(orientation >= 5, lambda x: tf.transpose(x, [1, 0, 2]), image)
    image = choose(is_one_of(2, 3, 6, 7), lambda x: tf.reverse(x, [1]), image)
    return choose(is_one_of(3, 4, 7, 8), lambda x: tf.reverse(x, [0]), image)


class _Bytes:
    """Bytes that are 0 outside the data."""

    def __init__(self, data: tf.Tensor) -> None:
        self._last = tf.size(data, tf.int64)
        self._data = tf.concat([data, tf.zeros([1], tf.uint8)], 0)

    def at(self, place: Any) -> tf.Tensor:
        """Returns the bytes at these places, int64."""
        found = tf.gather(self._data, tf.minimum(tf.cast(place, tf.int64), self._last))
        return tf.cast(found, tf.int64)

    def number(self, place: Any, size: int, big: Any = True) -> tf.Tensor:
        """Returns the unsigned numbers of `size` bytes at these places, int64."""
        places = tf.cast(place, tf.int64)[..., tf.newaxis] + tf.range(size, dtype=tf.int64)
        factors = tf.constant([256**index for index in range(size)], tf.int64)
        return tf.reduce_sum(self.at(places) * tf.where(big, factors[::-1], factors), axis=-1)


def _find_exif(data: _Bytes) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns where the TIFF structure begins and ends; twice 0 if there is none."""

    def searching(count: Any, place: Any, begin: Any, end: Any) -> Any:
        is_segment = tf.equal(data.at(place), 0xFF) & tf.not_equal(
            data.at(place + 1), _START_OF_SCAN
        )
        return (count < _MAX_SEGMENTS) & tf.equal(end, 0) & is_segment

    def look(count: Any, place: Any, begin: Any, end: Any) -> Any:
        # The length covers itself, but not the two bytes of the marker.
        after = place + 2 + tf.maximum(data.number(place + 2, 2), 2)
        name = data.at(place + 4 + tf.range(len(_EXIF), dtype=tf.int64))
        found = tf.equal(data.at(place + 1), _APP1) & tf.reduce_all(tf.equal(name, [*_EXIF]))
        begin = tf.where(found, place + 4 + len(_EXIF), 0)
        return count + 1, after, begin, tf.where(found, after, 0)

    zero = tf.constant(0, tf.int64)
    state = tf.while_loop(searching, look, (zero, zero + 2, zero, zero))
    return state[2], state[3]
