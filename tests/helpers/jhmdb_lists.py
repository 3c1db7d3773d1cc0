"""Made-up split files with the classes and counts of J-HMDB."""

from tfrecords_tools.datasets.jhmdb import CLASSES, COUNTS


def write_lists(directory):
    """Writes the files of all splits; returns the directory.

    Films have three clips of a class each: Film_0_<class>_u_nm_np1_fr_med_0.avi.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for split, counts in COUNTS.items():
        lines = {name: [] for name in CLASSES}
        for number in range(sum(counts)):
            name, clip = CLASSES[number % len(CLASSES)], number // len(CLASSES)
            subset = 1 if number < counts[0] else 2
            lines[name].append(f"{file_of(name, clip)} {subset}")
        for name in CLASSES:
            text = "\n".join(lines[name]) + "\n"
            (directory / f"{name}_test_split{split}.txt").write_text(text)
    return directory


def file_of(name, clip):
    """Returns the file name of a clip of a class."""
    return f"Film_{clip // 3}_{name}_u_nm_np1_fr_med_{clip % 3}.avi"


def link_clips(real, directory, number, classes=CLASSES):
    """Links that many genuine clips, one of each class, then the next; returns the directory."""
    lists = [sorted((real / "jhmdb/videos" / name).iterdir()) for name in classes]
    for clip in [clip for clips in zip(*lists) for clip in clips][:number]:
        (directory / clip.parent.name).mkdir(parents=True, exist_ok=True)
        (directory / clip.parent.name / clip.name).symlink_to(clip)
    return directory
