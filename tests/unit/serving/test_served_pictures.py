"""Pictures in a request, as phones and browsers send them, compared with Pillow's."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from exports import videos
from PIL import Image, ImageOps

from rlstm_tf.serving.exif import read_orientation
from rlstm_tf.serving.preprocessing import decode_picture

PICTURE = videos(1, 1, 24, 36)[0, 0]


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def decode(picture):
    return decode_picture(picture, "frames_bytes")


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def orientation_of(jpeg):
    return read_orientation(jpeg)


def encode(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def exif(orientation, order="<", kind=3, before=(), name=b"Exif\0\0"):
    """Returns an EXIF segment; `before` are other entries (tag, type, count, value)."""
    entries = [*before, (0x0112, kind, 1, orientation)]
    packed = b"".join(
        struct.pack(f"{order}HHI", *entry[:3])
        + struct.pack(f"{order}H" if entry[1] == 3 else f"{order}I", entry[3]).ljust(4, b"\0")
        for entry in entries
    )
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, 8)
    return segment(0xE1, name + head + struct.pack(f"{order}H", len(entries)) + packed + bytes(4))


def segment(marker, content):
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def with_segments(jpeg, *segments):
    """Puts segments before all others of a JPEG."""
    assert jpeg[:2] == b"\xff\xd8"
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


JPEG = encode(Image.fromarray(PICTURE), "JPEG", quality=95)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(orientation, order):
    entries = [(0x010F, 2, 4, 0x41424344), (0x0110, 3, 1, 7)]
    file = with_segments(JPEG, exif(orientation, order, before=entries))
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(file))))
    np.testing.assert_array_equal(decode(file), upright)
    assert decode(file).shape == ((24, 36, 3) if orientation < 5 else (36, 24, 3))


def test_where_the_orientation_stands():
    jfif = segment(0xE0, b"JFIF\0" + bytes(9))
    color_profile = segment(0xE2, b"ICC_PROFILE\0" + bytes(60_000))
    later = [segment(0xFE, b"Exif\0\0II*\0 in a comment"), segment(0xE1, b"http://ns.adobe.com/")]
    for before in ([], [jfif], [jfif, color_profile], later):
        assert orientation_of(with_segments(JPEG, *before, exif(6))) == 6
    # The first counts.
    assert orientation_of(with_segments(JPEG, exif(3), exif(6))) == 3
    assert orientation_of(JPEG) == 1


def cut(content, end):
    return segment(0xE1, content[4:end])


@pytest.mark.parametrize(
    "nonsense",
    [
        exif(0),
        exif(9),
        exif(6, kind=4),
        exif(6, name=b"Exif\0X"),
        exif(6).replace(b"II*\0", b"II+\0"),
        exif(6).replace(struct.pack("<I", 8), struct.pack("<I", 2**32 - 1)),
        exif(6).replace(struct.pack("<I", 8), struct.pack("<I", 60_000)),
        segment(0xE1, b"Exif\0\0"),
        segment(0xE1, b""),
        *(cut(exif(6), end) for end in (11, 17, 19, 23)),
        segment(0xE0, bytes(65_000)) * 3 + exif(6),
        segment(0xFE, b"") * 70 + exif(6),
    ],
)
def test_nonsense_counts_as_no_orientation(nonsense):
    file = with_segments(JPEG, nonsense)
    assert orientation_of(file) == 1
    np.testing.assert_array_equal(decode(file), decode(JPEG))


def test_no_bytes_make_it_fail():
    rng = np.random.default_rng(0)
    whole = np.frombuffer(with_segments(JPEG, exif(6, before=[(1, 3, 1, 0)] * 3))[:90], np.uint8)
    for _ in range(200):
        file = whole[: rng.integers(3, 91)].copy()
        places = rng.integers(2, len(file), 3)
        file[places] = rng.integers(0, 256, 3)
        assert 1 <= int(orientation_of(file.tobytes())) <= 8
    for file in (b"", b"\xff", b"\xff\xd8\xff", b"\xff\xd8" + b"\xff" * 300_000):
        assert orientation_of(file) == 1


@pytest.mark.parametrize("mode", ["L", "CMYK", "YCbCr"])
def test_color_spaces_of_jpeg(mode):
    file = encode(Image.fromarray(PICTURE).convert(mode), "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"), int)
    # Pillow and TensorFlow round the product with black differently.
    assert np.abs(decode(file).numpy() - expected).max() <= 2
    # It is the picture, not its negative.
    original = Image.fromarray(PICTURE).convert("L" if mode == "L" else "RGB").convert("RGB")
    assert np.abs(expected - np.asarray(original)).mean() < 12


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
def test_png(mode):
    if mode == "I;16":
        image = Image.fromarray(PICTURE[..., 0].astype(np.uint16) * 257)
        expected = np.repeat(PICTURE[..., :1], 3, axis=-1)
    else:
        image = Image.fromarray(PICTURE).convert(mode)
        expected = np.asarray(image.convert("RGB"))
    file = encode(image, "PNG")
    np.testing.assert_array_equal(decode(file), expected)
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(file[: len(file) // 2])
    for size in ((30_000, 30_000), (60_000, 1), (0, 5), (2**31 + 5, 5)):
        bomb = file[:16] + struct.pack(">II", *size) + file[24:]
        with pytest.raises(tf.errors.InvalidArgumentError, match="a frame"):
            decode(bomb)


@pytest.mark.parametrize("form", ["WEBP", "GIF", "BMP", "TIFF"])
def test_other_formats_are_refused(form):
    with pytest.raises(tf.errors.InvalidArgumentError, match="must hold JPEG or PNG files"):
        decode(encode(Image.fromarray(PICTURE), form))
