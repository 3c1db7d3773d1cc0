"""Finds the pictures of an MPEG-4 stream that are not coded (ISO/IEC 14496-2, 6.2).

XviD and DivX write an unchanged picture as a few bytes whose bit `vop_coded` is 0: "as the one
before". FFmpeg gives no frame for it. DivX also writes such bytes where no picture is missing: in a
packed stream, one packet holds two pictures, and a later one only these bytes, to keep the count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

# A picture is a video object plane (VOP); the header of its layer (VOL) comes before it.
_VOP = b"\0\0\1\xb6"
_VOL = re.compile(rb"\x00\x00\x01[\x20-\x2f]")
# The longest header before `vop_time_increment_resolution`, and before `vop_coded`, bytes.
_VOL_BYTES, _VOP_BYTES = 32, 64


class PictureCounter:
    """Counts the pictures in each packet of a stream.

    Args:
        headers: the stream's headers outside the packets, if there are any.
    """

    def __init__(self, headers: bytes = b""):
        self._time_bits = _read_time_bits(headers)
        # Pictures that earlier packets hold beyond one each.
        self._num_ahead = 0

    def count(self, packet: bytes) -> tuple[int, int]:
        """Returns the numbers of coded pictures, and of repeats of the picture before, in a packet.

        Args:
            packet: the next packet's bytes.
        """
        first, *pictures = packet.split(_VOP)
        self._time_bits = _read_time_bits(first) or self._time_bits
        if not pictures:
            return 0, 0
        coded = sum(self._is_coded(picture) for picture in pictures)
        if not coded and len(pictures) == 1 and self._num_ahead:
            self._num_ahead -= 1
            return 0, 0
        self._num_ahead += len(pictures) - 1
        return coded, len(pictures) - coded

    def _is_coded(self, picture: bytes) -> bool:
        if not self._time_bits:
            return True
        bits = _bits(picture[:_VOP_BYTES])
        _read(bits, 2)  # vop_coding_type
        while _read(bits, 1):  # modulo_time_base
            pass
        _read(bits, 1 + self._time_bits + 1)  # vop_time_increment, between two markers
        return _read(bits, 1) != 0


def _read_time_bits(headers: bytes) -> int:
    """Returns the length of `vop_time_increment`, bits; 0: there is no header of a layer."""
    start = _VOL.search(headers)
    if start is None:
        return 0
    bits = _bits(headers[start.end() : start.end() + _VOL_BYTES])
    _read(bits, 1 + 8)  # random_accessible_vol, video_object_type_indication
    version = 1
    if _read(bits, 1):  # is_object_layer_identifier
        version = _read(bits, 4)
        _read(bits, 3)  # video_object_layer_priority
    if _read(bits, 4) == 15:  # aspect_ratio_info: extended
        _read(bits, 8 + 8)
    if _read(bits, 1):  # vol_control_parameters
        _read(bits, 2 + 1)  # chroma_format, low_delay
        if _read(bits, 1):  # vbv_parameters
            _read(bits, 79)
    if _read(bits, 2) == 3 and version != 1:  # video_object_layer_shape: grayscale
        _read(bits, 4)
    _read(bits, 1)  # marker
    resolution = _read(bits, 16)  # vop_time_increment_resolution
    return max((resolution - 1).bit_length(), 1)


def _bits(content: bytes) -> Iterator[str]:
    return iter("".join(f"{byte:08b}" for byte in content))


def _read(bits: Iterator[str], count: int) -> int:
    """Reads a number of bits as an integer; those beyond the end are left out."""
    return int("".join(islice(bits, count)) or "0", 2)
