"""Split files of each data set in, a list of videos out."""
