"""Shards of video frames or optical flow -> batches."""
