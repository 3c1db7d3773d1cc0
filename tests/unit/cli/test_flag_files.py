"""Flag files, as editors of all systems write them."""

import pytest
from absl import flags

from rlstm_tf.cli.flag_files import FlagValues

TEXT = "# A comment.\n--number=3\n\n  --name=a b  \n// another\n--nolast\n"


def parse(*arguments):
    values = FlagValues()
    own = {"flag_values": values}
    flags.DEFINE_integer("number", 0, "A number.", **own)
    flags.DEFINE_string("name", "", "A text.", **own)
    flags.DEFINE_boolean("last", True, "A switch.", **own)
    flags.DEFINE_string("flagfile", "", "Files.", **own)
    values(["run", *arguments])
    return values.number, values.name, values.last


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks_and_line_ends(encoding, ends, tmp_path):
    path = tmp_path / "flags.cfg"
    path.write_bytes(TEXT.replace("\n", ends).encode(encoding))
    assert parse(f"--flagfile={path}") == (3, "a b", False)
    # A flag, too, may stand first.
    path.write_bytes(TEXT.partition("\n")[2].replace("\n", ends).encode(encoding))
    assert parse(f"--flagfile={path}") == (3, "a b", False)


def test_files_in_files(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "inner.cfg").write_bytes(b"\xef\xbb\xbf--number=4\r\n--name=inner\r\n")
    for place in (tmp_path, "~", "$HOME"):
        (tmp_path / "outer.cfg").write_text(f"--number=1\n--flagfile={place}/inner.cfg\n--name=x\n")
        assert parse(f"--flagfile={place}/outer.cfg", "--nolast") == (4, "x", False)
    assert parse("--flagfile=") == (0, "", True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        (b"\xff\xfe\xfa", "not a text file"),
        (b"--name=\xff\n", "not a text file"),
        (b"--number=1\n--flagfile=a.cfg\n", "the file includes itself"),
    ],
)
def test_files_that_are_refused(content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "a.cfg").write_bytes(content)
    with pytest.raises(flags.Error, match=f"--flagfile=a.cfg: {message}"):
        parse("--flagfile=a.cfg")
