"""The rules that keep the code in order (docs/design.md)."""

import ast
import re
from collections import Counter

import pytest
from repository import ROOT

# Package (or module at the root) -> what else of ours it may import. Each row may name only rows
# above it. Commands may import every package, but no other command.
ALLOWED = {
    "rlstm_tf.errors": "",
    "rlstm_tf.messages": "",
    "rlstm_tf.choices": "",
    "rlstm_tf.compat": "",
    "rlstm_tf.model_config": "choices errors",
    "rlstm_tf.addons": "compat errors",
    "rlstm_tf.quiet": "errors",
    "rlstm_tf.worker_pool": "errors",
    "rlstm_tf.beam_job": "errors quiet",
    "rlstm_tf.storage": "errors messages quiet",
    "rlstm_tf.cli": "choices errors messages model_config quiet",
    "rlstm_tf.layers": "choices compat",
    "rlstm_tf.data": "choices errors storage",
    "rlstm_tf.evaluation": "errors storage",
    "rlstm_tf.models": "addons choices compat errors layers model_config storage",
    "rlstm_tf.reporting": "errors storage data evaluation",
    "rlstm_tf.serving": "compat errors storage layers data models",
    "rlstm_tf.runs": "compat errors messages model_config storage cli data models",
    "rlstm_tf.bulk": "errors messages worker_pool beam_job storage cli data serving runs",
    "rlstm_tf.distributed": "errors messages storage data",
    "rlstm_tf.attention": "choices compat errors layers data serving",
    "rlstm_tf.showcase": "errors messages storage data serving runs attention",
    "rlstm_tf.cached_maps": "choices errors messages storage cli data runs",
    "rlstm_tf.training": (
        "addons compat errors messages model_config storage cli layers data evaluation models "
        "runs distributed cached_maps"
    ),
    "rlstm_tf.tuning": "errors messages model_config storage cli runs",
    "rlstm_tf.summaries": "messages storage layers data evaluation attention training",
    "tfrecords_tools.datasets": "choices errors messages storage data",
    "tfrecords_tools.synthetic": "storage cli",
    "tfrecords_tools.builder": (
        "choices errors messages worker_pool beam_job storage cli data tfrecords_tools.datasets"
    ),
    "tfrecords_tools.checker": (
        "choices errors storage cli data tfrecords_tools.datasets tfrecords_tools.builder"
    ),
}
# `app` hands on what `say` printed.
PRINT = ("rlstm_tf.messages", "rlstm_tf.cli.terminal", "rlstm_tf.cli.app")
READ_WHOLE = (
    # Files of the package itself.
    *("rlstm_tf.reporting.published", "rlstm_tf.attention.page"),
    # Files that the user names on the command line, texts of one's own program.
    *("rlstm_tf.cli.flag_files", "rlstm_tf.model_config"),
    # Arrays that this process has just written.
    "tfrecords_tools.builder.shard_builder",
)
# Beside the commands.
READ_FLAGS = ("rlstm_tf.cli", "rlstm_tf.runs.directory", "tfrecords_tools.builder.flags")
MODULES = sorted(
    path for folder in ("rlstm_tf", "tfrecords_tools") for path in (ROOT / folder).rglob("*.py")
)


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def within(name, package):
    return name == package or name.startswith(package + ".")


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module in ("rlstm_tf", "tfrecords_tools"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def is_command(path):
    return '__name__ == "__main__"' in path.read_text()


COMMANDS = {name_of(path) for path in MODULES if is_command(path)}


def allowed_beside(package):
    return [n if "." in n else f"rlstm_tf.{n}" for n in ALLOWED[package].split()]


def test_the_table_runs_downwards():
    rows = list(ALLOWED)
    for number, package in enumerate(rows):
        assert set(allowed_beside(package)) <= set(rows[:number]), package


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_downwards(path):
    name = name_of(path)
    ours = [i for i in imports_of(path) if i.split(".")[0] in ("rlstm_tf", "tfrecords_tools")]
    assert not COMMANDS & set(ours)
    if name.startswith("rlstm_tf"):
        assert not any(i.startswith("tfrecords_tools") for i in ours)
    if name in COMMANDS:
        return
    if name in ("rlstm_tf", "tfrecords_tools"):
        assert ours == []
        return
    (package,) = (row for row in ALLOWED if within(name, row))
    for imported in ours:
        assert any(within(imported, a) for a in (package, *allowed_beside(package))), imported


def test_each_row_is_needed():
    """No package is allowed what it does not import."""
    for package in ALLOWED:
        paths = [path for path in MODULES if within(name_of(path), package)]
        assert paths, package
        ours = {imported for path in paths for imported in imports_of(path)}
        for other in allowed_beside(package):
            assert any(within(imported, other) for imported in ours), (package, other)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_commands_read_flags(path):
    reads = any(name.split(".")[0] == "absl" for name in imports_of(path))
    allowed = name_of(path) in COMMANDS or any(within(name_of(path), p) for p in READ_FLAGS)
    assert not reads or allowed


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_pipelines_know_beam(path):
    """What a worker does is tested without Beam too."""
    knows = any(name.split(".")[0] == "apache_beam" for name in imports_of(path))
    allowed = (
        "tfrecords_tools.builder.beam_pipeline",
        "rlstm_tf.bulk.pipeline",
        "rlstm_tf.beam_job",
    )
    assert not knows or name_of(path) in allowed


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_messages_print(path):
    """Names and texts from elsewhere reach a terminal or a log escaped, or not at all."""
    if name_of(path) in PRINT:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.Name) and node.id == "print"), node.lineno
        if isinstance(node, ast.Attribute) and node.attr in ("write", "writelines"):
            assert not re.search(r"(stdout|stderr|bar)$", ast.unparse(node.value)), node.lineno


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_storage_reads_what_needs_bounds(path):
    """What a file claims is bounded before memory is asked for (`bounded`, `arrays`)."""
    if within(name_of(path), "rlstm_tf.storage") or name_of(path) in READ_WHOLE:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node) != "files.read_text":
            unbounded = ("read_text", "read_bytes", "NpzFile")
            assert node.attr not in unbounded, node.lineno
            assert ast.unparse(node) not in ("json.load", "json.loads", "np.load"), node.lineno


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_storage_opens_files_for_writing(path):
    """It alone knows how, where others may have put a link (`rlstm_tf.storage.creation`)."""
    if within(name_of(path), "rlstm_tf.storage"):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            assert not opens_for_writing(node), node.lineno


def opens_for_writing(call):
    """Standard error and os.devnull are no files of anyone's."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    whose = ast.unparse(call.func)
    arguments = [ast.unparse(argument) for argument in call.args]
    if name in ("write_text", "write_bytes", "touch"):
        return whose not in ("write_text", "files.write_text")  # those of storage
    if whose == "os.open":
        return "O_RDONLY" not in arguments[1] and arguments[0] != "os.devnull"
    if name != "open":
        return False
    # Path.open takes the mode first; the archives and containers of others take it second.
    modes = call.args[1:2] if whose in ("open", "io.open") else call.args[:1]
    modes += [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    texts = [mode.value for mode in modes if isinstance(mode, ast.Constant)]
    writes = any(re.fullmatch(r"[rwaxbt+]*[wax+][rwaxbt+]*", str(text)) for text in texts)
    return writes and arguments[0] not in ("2", "os.devnull")


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("open(path, 'wb')", True),
        ("open(path, mode='r+')", True),
        ("Path(path).open('a')", True),
        ("path.write_bytes(b'')", True),
        ("path.touch()", True),
        ("os.open(path, os.O_WRONLY | os.O_CREAT)", True),
        ("open(path)", False),
        ("path.open('rb')", False),
        ("archive.open('name', 'w')", False),
        ("files.write_text(path, text)", False),
        ("os.open(path, os.O_RDONLY)", False),
        ("open(os.devnull, 'w')", False),
    ],
)
def test_what_opens_for_writing(call, expected):
    assert opens_for_writing(ast.parse(call).body[0].value) is expected


def test_the_modules_are_found():
    names = {name_of(path) for path in MODULES}
    assert {"rlstm_tf.layers.relational_lstm", "rlstm_tf.train", "tfrecords_tools.build"} <= names
    assert {"rlstm_tf.train", "tfrecords_tools.build"} <= COMMANDS


def test_names_of_test_modules_are_unique():
    """Pytest imports them by their names alone."""
    counts = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in counts.items() if count > 1] == []


def unquoted(path):
    """Yields the lines of printed commands into which a value is put without quotes."""
    for node in ast.walk(ast.parse(path.read_text())):
        in_command = False
        for part in node.values if isinstance(node, ast.JoinedStr) else ():
            if isinstance(part, ast.Constant):
                begins = re.search(r"python3? -m |\btensorboard --|\brlstm_tf\.\w+ -", part.value)
                in_command = in_command or bool(begins)
                continue
            call = part.value
            name = ast.unparse(call.func) if isinstance(call, ast.Call) else ""
            if in_command and name not in ("shlex.quote", "shlex.join"):
                yield node.lineno


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_printed_commands_can_be_pasted(path):
    if name_of(path) in ("rlstm_tf.recipe", "rlstm_tf.reporting.paper_runs"):
        pytest.skip("tests/unit/reporting/test_recipe.py splits its commands")
    assert not list(unquoted(path))
