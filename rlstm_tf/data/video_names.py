"""File names of videos and of pictures."""

from __future__ import annotations

import os

# What FFmpeg opens and decodes without further options. Its own lists of suffixes are incomplete,
# and have sound, subtitles and text too. Not here: pictures, playlists, pixels without a header.
VIDEO_SUFFIXES = frozenset(
    {
        # Containers.
        *(".3g2", ".3gp", ".amv", ".apng", ".asf", ".avi", ".bik", ".cine", ".dav", ".divx"),
        *(".dif", ".dv", ".dvr-ms", ".evo", ".f4v", ".flc", ".fli", ".flv", ".gif", ".gxf"),
        *(".ismv", ".ivf", ".ivr", ".kux", ".lrv", ".lxf", ".m2p", ".m2t", ".m2ts", ".m4v"),
        *(".mj2", ".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mlv", ".mod", ".mov", ".mp4", ".mp4v"),
        *(".mpe", ".mpeg", ".mpg", ".mpv", ".mts", ".mxf", ".mxg", ".nsv", ".nut", ".nuv"),
        *(".ogg", ".ogm", ".ogv", ".ogx", ".ps", ".pva", ".qt", ".rm", ".rmvb", ".roq", ".smk"),
        *(".swf", ".thp", ".tod", ".trp", ".ts", ".ty", ".viv", ".vob", ".vro", ".webm", ".wm"),
        *(".wmv", ".wtv", ".xmv", ".y4m"),
        # Streams of one codec.
        *(".264", ".265", ".266", ".avc", ".avs2", ".avs3", ".cavs", ".dirac", ".dnxhd"),
        *(".dnxhr", ".drc", ".evc", ".h261", ".h263", ".h264", ".h265", ".h266", ".h26l"),
        *(".hevc", ".ipu", ".m1v", ".m2v", ".mp2v", ".mpv2", ".obu", ".rcv", ".vc1", ".vvc"),
    }
)
# What OpenCV reads.
PICTURE_SUFFIXES = frozenset(
    {
        *(".bmp", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff"),
        ".webp",
    }
)


def is_video_name(name: str) -> bool:
    """Returns whether a file name ends like a video's, in small letters or capitals."""
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def is_picture_name(name: str) -> bool:
    """Returns whether a file name ends like a picture's, in small letters or capitals."""
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


def is_hidden_name(name: str) -> bool:
    """Returns whether a name is hidden: by a dot, or left by macOS in an archive."""
    return name.startswith(".") or name == "__MACOSX"
