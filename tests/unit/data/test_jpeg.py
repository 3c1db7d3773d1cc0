"""The shape in a JPEG's header, without decoding."""

import cv2
import numpy as np
import pytest

from rlstm_tf.data.jpeg import jpeg_shape


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("shape", [(40, 48, 3), (17, 1), (1, 300, 3)])
def test_shapes(shape, progressive):
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    content = cv2.imencode(".jpg", np.zeros(shape, np.uint8), options)[1].tobytes()
    assert jpeg_shape(content) == shape
    # Padded, and with a comment that holds a marker.
    more = b"\xff\xd8\xff\xff\xfe\x00\x06\xff\xc0\xff\xff" + content[2:]
    assert jpeg_shape(more) == shape


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 10, 20])
def test_cut_short(size):
    content = cv2.imencode(".jpg", np.zeros((40, 48, 3), np.uint8))[1].tobytes()
    assert jpeg_shape(content[:size]) is None


def test_no_jpeg():
    assert jpeg_shape(cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()) is None
    assert jpeg_shape(b"\xff\xd8\xff\xe0\x00\x00" + bytes(100)) is None
