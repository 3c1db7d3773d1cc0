"""Made-up runs of the relational benchmark."""

import json

import numpy as np

from benchmarks.relational_runs import RECORD
from rlstm_tf.evaluation import score_files
from tfrecords_tools.synthetic.relations import CLASSES


def make_run(work, run, right):
    """Writes the files of a run of `relational_runs`, with all or no classes right."""
    directory = run.directory(work)
    labels = np.arange(len(CLASSES), dtype=np.int32)
    logits = np.eye(len(CLASSES), dtype=np.float32) * (1 if right else -1)
    ids = [str(label) for label in labels]
    found = score_files.Scores(ids, labels, logits, list(CLASSES))
    facts = {**dict.fromkeys(score_files.METADATA), **dict.fromkeys(("dataset", "subset"), "test")}
    facts.update(stream="spatial", model="tsn")
    score_files.save(directory / "evaluation/test", found, facts)
    header = "epoch,loss,accuracy,learning_rate,videos_per_second,val_loss,val_accuracy\n"
    (directory / "history.csv").write_text(
        header + "1,3,0.1,0.02,80,3,0.2\n2,2,0.3,0.02,90,2,0.4\n"
    )
    facts = {"command": "rlstm_tf.train", "commit": "abc", "machine": "two cores"}
    (directory / RECORD).write_text(json.dumps(facts))
