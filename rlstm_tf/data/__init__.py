"""Shards of video frames or optical flow -> batches."""

import os

from rlstm_tf.choices import MAX_PIXELS

# OpenCV reads it when it is loaded. The header of a picture can claim gigabytes; a flow field is
# twice as high as its video.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2 * MAX_PIXELS))
