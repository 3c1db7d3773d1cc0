"""The signatures that LiteRT and ONNX files have in common."""

from exports import SMALL, make_run

from rlstm_tf import export
from rlstm_tf.layers import relation
from rlstm_tf.models.streaming import StreamingModel
from rlstm_tf.runs.directory import read_flags
from rlstm_tf.serving.fixed_metadata import FrameSize
from rlstm_tf.serving.fixed_signatures import FixedModule


def test_large_maps_make_no_loops(tmp_path, monkeypatch):
    """The layer takes large maps in chunks, in a loop, which not every converter has."""
    run = make_run(tmp_path / "run", *SMALL)
    metadata = export._read_metadata(run.path, read_flags(run.path / "flags.cfg"))
    monkeypatch.setattr(relation, "MOST_WEIGHTS", 1)
    module = FixedModule(run.model, metadata, FrameSize(32, 32), StreamingModel(run.model))
    for name, function in module.functions.items():
        graph = function.graph.as_graph_def()
        nodes = [*graph.node, *(node for body in graph.library.function for node in body.node_def)]
        assert not [node.name for node in nodes if "While" in node.op], name
