"""The rules that keep the code a house (docs/design.md), over the imports of every module."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What a package or module of ours may import of ours; entry points may import anything below them.
ALLOWED = {
    "rlstm_tf.errors": (),
    "rlstm_tf.compat": (),
    "rlstm_tf.addons": ("rlstm_tf.compat", "rlstm_tf.errors"),
    "rlstm_tf.cli": ("rlstm_tf.errors",),
    "rlstm_tf.flag_values": ("rlstm_tf.errors",),
    "rlstm_tf.flags": ("rlstm_tf.errors", "rlstm_tf.flag_values"),
    "rlstm_tf.run_flags": ("rlstm_tf.errors", "rlstm_tf.flags"),
    "rlstm_tf.step_flags": ("rlstm_tf.errors", "rlstm_tf.flag_values", "rlstm_tf.flags"),
    "rlstm_tf.layers": ("rlstm_tf.compat", "rlstm_tf.layers"),
    "rlstm_tf.models": (
        "rlstm_tf.addons",
        "rlstm_tf.compat",
        "rlstm_tf.errors",
        "rlstm_tf.layers",
        "rlstm_tf.models",
    ),
    "rlstm_tf.epochs": ("rlstm_tf.errors",),
    "rlstm_tf.division": ("rlstm_tf.errors",),
    "rlstm_tf.data": (
        "rlstm_tf.errors",
        "rlstm_tf.epochs",
        "rlstm_tf.division",
        "rlstm_tf.data",
    ),
    "rlstm_tf.accumulation": ("rlstm_tf.layers",),
    "rlstm_tf.optimization": ("rlstm_tf.addons", "rlstm_tf.compat"),
    "rlstm_tf.metrics": (),
    "rlstm_tf.writing": ("rlstm_tf.errors",),
    "rlstm_tf.position": ("rlstm_tf.errors",),
    "rlstm_tf.stopping": (),
    "rlstm_tf.event_files": ("rlstm_tf.writing",),
    "rlstm_tf.checkpoints": ("rlstm_tf.compat", "rlstm_tf.errors", "rlstm_tf.writing"),
    "rlstm_tf.transfer": (
        "rlstm_tf.checkpoints",
        "rlstm_tf.errors",
        "rlstm_tf.models",
        "rlstm_tf.run_flags",
        "rlstm_tf.working_copy",
    ),
    "rlstm_tf.run_directory": (
        "rlstm_tf.checkpoints",
        "rlstm_tf.data.schema",
        "rlstm_tf.errors",
        "rlstm_tf.writing",
    ),
    "rlstm_tf.working_copy": (
        "rlstm_tf.cli",
        "rlstm_tf.data",
        "rlstm_tf.errors",
        "rlstm_tf.writing",
    ),
    "rlstm_tf.exported": ("rlstm_tf.data", "rlstm_tf.errors"),
    "rlstm_tf.prediction": ("rlstm_tf.data", "rlstm_tf.errors", "rlstm_tf.exported"),
    "rlstm_tf.console": (),
    "rlstm_tf.serving": (
        "rlstm_tf.compat",
        "rlstm_tf.data",
        "rlstm_tf.errors",
        "rlstm_tf.exported",
        "rlstm_tf.serving",
        "rlstm_tf.writing",
    ),
    "rlstm_tf.trained": ("rlstm_tf.checkpoints", "rlstm_tf.flags", "rlstm_tf.models"),
    "rlstm_tf.cluster": ("rlstm_tf.errors",),
    "rlstm_tf.rendezvous": ("rlstm_tf.cluster", "rlstm_tf.errors"),
    "rlstm_tf.devices": (
        "rlstm_tf.cluster",
        "rlstm_tf.division",
        "rlstm_tf.errors",
        "rlstm_tf.rendezvous",
    ),
    "rlstm_tf.agreement": ("rlstm_tf.checkpoints", "rlstm_tf.devices", "rlstm_tf.position"),
    "rlstm_tf.scoring": ("rlstm_tf.errors",),
    "rlstm_tf.relations": ("rlstm_tf.compat", "rlstm_tf.errors", "rlstm_tf.layers"),
    "rlstm_tf.explaining": (
        "rlstm_tf.data",
        "rlstm_tf.errors",
        "rlstm_tf.explaining",
        "rlstm_tf.layers",
        "rlstm_tf.prediction",
        "rlstm_tf.relations",
    ),
    "rlstm_tf.scores": ("rlstm_tf.errors", "rlstm_tf.writing"),
    "rlstm_tf.fusion": ("rlstm_tf.errors", "rlstm_tf.metrics", "rlstm_tf.scores"),
    "rlstm_tf.reproduction": (),
    "rlstm_tf.training": (
        "rlstm_tf.accumulation",
        "rlstm_tf.compat",
        "rlstm_tf.epochs",
        "rlstm_tf.errors",
        "rlstm_tf.layers",
        "rlstm_tf.models.dropout",
        "rlstm_tf.models.recomputation",
        "rlstm_tf.optimization",
        "rlstm_tf.position",
        "rlstm_tf.stopping",
    ),
    "rlstm_tf.progress": (),
    "rlstm_tf.reporting": (
        "rlstm_tf.errors",
        "rlstm_tf.data",
        "rlstm_tf.fusion",
        "rlstm_tf.metrics",
        "rlstm_tf.reporting",
        "rlstm_tf.reproduction",
        "rlstm_tf.scores",
        "rlstm_tf.writing",
    ),
    "rlstm_tf.validation": (
        "rlstm_tf.data",
        "rlstm_tf.devices",
        "rlstm_tf.metrics",
        "rlstm_tf.scoring",
        "rlstm_tf.stopping",
        "rlstm_tf.training",
    ),
    "rlstm_tf.board": (
        "rlstm_tf.board",
        "rlstm_tf.data",
        "rlstm_tf.epochs",
        "rlstm_tf.event_files",
        "rlstm_tf.layers",
        "rlstm_tf.metrics",
        "rlstm_tf.position",
        "rlstm_tf.relations",
        "rlstm_tf.validation",
    ),
    "rlstm_tf.callbacks": (
        "rlstm_tf.checkpoints",
        "rlstm_tf.epochs",
        "rlstm_tf.position",
        "rlstm_tf.progress",
        "rlstm_tf.writing",
    ),
    "rlstm_tf.tuning": (
        "rlstm_tf.checkpoints",
        "rlstm_tf.data.json_values",
        "rlstm_tf.errors",
        "rlstm_tf.progress",
        "rlstm_tf.run_directory",
        "rlstm_tf.tuning",
        "rlstm_tf.writing",
    ),
    "tfrecords_tools": (
        "rlstm_tf.errors",
        "rlstm_tf.cli",
        "rlstm_tf.data",
        "rlstm_tf.progress",
        "rlstm_tf.writing",
        "tfrecords_tools",
    ),
}
SHARED_FLAGS = (
    *("rlstm_tf.cli", "rlstm_tf.flag_values", "rlstm_tf.flags"),
    *("rlstm_tf.run_flags", "rlstm_tf.step_flags"),
    "tfrecords_tools.flags",
)
MODULES = sorted(
    path for folder in ("rlstm_tf", "tfrecords_tools") for path in (ROOT / folder).rglob("*.py")
)


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module in ("rlstm_tf", "tfrecords_tools"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def is_entry_point(path):
    return '__name__ == "__main__"' in path.read_text()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_downwards(path):
    name = name_of(path)
    ours = [i for i in imports_of(path) if i.split(".")[0] in ("rlstm_tf", "tfrecords_tools")]
    if is_entry_point(path) and name.startswith("rlstm_tf"):
        entry_points = {name_of(other) for other in MODULES if is_entry_point(other)}
        assert not entry_points & set(ours)
        assert not any(i.startswith("tfrecords_tools") for i in ours)
        return
    if name == "rlstm_tf":
        assert ours == []
        return
    rules = [rule for rule in ALLOWED if name == rule or name.startswith(rule + ".")]
    assert rules, f"{name} has no rule"
    for imported in ours:
        allowed = ALLOWED[max(rules, key=len)]
        assert any(imported == a or imported.startswith(a + ".") for a in allowed), imported


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_entry_points_read_flags(path):
    reads = any(name.split(".")[0] == "absl" for name in imports_of(path))
    assert not reads or is_entry_point(path) or name_of(path) in SHARED_FLAGS


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_pipeline_knows_beam(path):
    """So that what makes a shard is tested where Beam is not installed too."""
    knows = any(name.split(".")[0] == "apache_beam" for name in imports_of(path))
    assert not knows or name_of(path) in ("tfrecords_tools.pipeline", "tfrecords_tools.beam")


def test_both_tests_see_the_modules():
    names = {name_of(path) for path in MODULES}
    assert {"rlstm_tf.layers.relational_lstm", "rlstm_tf.train", "tfrecords_tools.build"} <= names
    assert sum(is_entry_point(path) for path in MODULES) >= 4
