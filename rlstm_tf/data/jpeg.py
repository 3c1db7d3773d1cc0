"""Reads the shape in the header of a JPEG file, before a decoder asks memory for it."""

from __future__ import annotations

# Markers of a frame's header (SOF), which say how the file is coded.
_FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def jpeg_shape(content: bytes) -> tuple[int, ...] | None:
    """Returns the shape that OpenCV would decode to: `(height, width, 3)`, gray `(height, width)`.

    None if the content is no JPEG, or ends before.

    Args:
        content: a JPEG file.
    """
    at = 2
    if content[:2] != b"\xff\xd8":
        return None
    while content[at : at + 1] == b"\xff" and at + 10 <= len(content):
        marker = content[at + 1]
        if marker in _FRAME_HEADERS:
            height, width = content[at + 5 : at + 7], content[at + 7 : at + 9]
            size = int.from_bytes(height, "big"), int.from_bytes(width, "big")
            return size if content[at + 9] == 1 else (*size, 3)
        # A marker may be padded with bytes of its first half.
        at += 1 if marker == 0xFF else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None
