"""The report command and its page: complete, self-contained, escaped; no other file is replaced."""

import base64
import subprocess
import sys
from html.parser import HTMLParser

import evaluations
import numpy as np
import pytest
import small_shards
from reports import contents, refused, run

SCRIPT = "<script>alert(1)</script>"
VOID = ("meta", "img", "br", "link", "input", "hr")


class Page(HTMLParser):
    """Elements of a page as (tag, attributes), and its text; refuses tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def make(runs, output, *arguments):
    assert run(f"--runs={runs}", f"--output={output}", *arguments) == 0
    return Page((output / "index.html").read_text(encoding="utf-8"))


def two_models(root, **changes):
    evaluations.write_right(root / "two_branch", 27, videos=30, **changes)
    evaluations.write_right(root / "tsn", 21, videos=30, model="tsn", **changes)
    return root


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    page = make(two_models(root / "runs"), root / "out", "--title=Ours & <theirs>")
    return root / "out", page


def test_files(finished):
    assert sorted(contents(finished[0])) == sorted(
        ["index.html", "tables/results.csv", "tables/per_class_ucf101_split1.csv"]
        + [f"tables/table{number}.{kind}" for number in range(2, 9) for kind in ("md", "csv")]
        + [f"tables/recurrent_peers.{kind}" for kind in ("md", "csv")]
        + [f"figures/{name}_ucf101_split1.png" for name in ("figure3", "confusion", "per_class")]
        + [f"figures/figure4_ucf101_split1_{number}.png" for number in range(1, 7)]
    )


def test_the_page_is_self_contained(finished):
    output, page = finished
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in page.elements}
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    targets = [attributes["href"] for attributes in page.of("a")]
    assert {f"#table{number}" for number in range(2, 9)} <= set(targets)
    assert {target[0] for target in targets} == {"#"}
    assert {target[1:] for target in targets} <= set(ids)
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    policies = [meta["content"] for meta in page.of("meta") if "http-equiv" in meta]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert "url(" not in (output / "index.html").read_text(encoding="utf-8")


def test_every_image_is_embedded_and_described(finished):
    output, page = finished
    images = page.of("img")
    head = "data:image/png;base64,"
    assert all(image["src"].startswith(head) for image in images)
    assert {base64.b64decode(image["src"][len(head) :]) for image in images} == {
        path.read_bytes() for path in (output / "figures").iterdir()
    }
    # 30 videos, 12 classes; two-branch has the last 3 wrong, TSN the last 9 (v21 ... v29): classes
    # d (v27), e (v28), f (v29) are wrong in both, j (v21), k, l, a, b, c in TSN alone. Classes a to
    # f have 3 videos, the others 2.
    assert images[0]["alt"] == (
        "Bar chart, percentage points: class j +50.0; class k +50.0; class l +50.0; "
        "class a +33.3; class b +33.3; class c +33.3; class d +0.0; class e +0.0; class f +0.0; "
        "class g +0.0."
    )
    # v24 is of class a: the first of the chosen, which go by class.
    assert images[1]["alt"].startswith("0 frames. True class class a. TSN (wrong): class b ")
    assert "Two-branch (right): class a " in images[1]["alt"]
    assert images[-2]["alt"] == (
        "Matrix of 12 by 12 classes. "
        "Most often confused: class d taken for class e, 33.3 % of its videos."
    )


def test_the_page_names_its_results(finished):
    output, page = finished
    text = " ".join(page.text.split())
    assert "Ours & <theirs>" in text
    assert f"Made from 2 evaluations in {output.parent / 'runs'}." in text
    assert "UCF-101 split 1: data set ucf101 in the manifest, 30 test videos, 12 classes" in text
    assert (
        "Protocol paper (4 groups, 5 crops; of multi-label videos 10 clips): result 1\u20132"
        in text
    )
    assert "30 videos (the official test set has 3,783): result 1\u20132" in text
    assert "Figure 4 is without frames: no shards in no/such/shards" in text
    assert "run runs/x, resnet101v2, cut conv5_block2_out, T = 8, protocol paper" in text


def test_another_protocol_is_named_at_the_top(tmp_path):
    runs = two_models(tmp_path / "runs", protocol="center")
    text = " ".join(make(runs, tmp_path / "out").text.split())
    note = "protocol center (paper: 4 groups, 5 crops): result 1\u20132"
    assert note in text[: text.index("Tables")]


def test_the_same_runs_give_the_same_files(finished, tmp_path):
    make(finished[0].parent / "runs", tmp_path / "again", "--title=Ours & <theirs>")
    assert contents(tmp_path / "again") == contents(finished[0])


def test_text_from_files_is_escaped(tmp_path):
    classes = [SCRIPT, 'a"b', "c'd", "</style>", "{{ 7 * 7 }}", "e\nf"]
    runs = tmp_path / "a \"b\" 'c' <i>"
    changes = {
        "run": f"runs/{SCRIPT}\"'",
        "data": "<b>",
        "backbone": SCRIPT,
        "dataset": f"../{SCRIPT}",
        "protocol": SCRIPT,
        "cut": SCRIPT,
    }
    evaluations.write_right(runs / "x", 20, videos=30, classes=classes, **changes)
    evaluations.write_right(runs / "y", 9, videos=30, classes=classes, model="tsn", **changes)
    quoted = '"' + str(runs).replace('"', '""') + '"'
    page = make(quoted, tmp_path / "out", f"--title={SCRIPT}")
    assert page.of("script") == []
    assert page.of("i") == []
    assert page.text.count(SCRIPT) > 10
    assert str(runs) in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert SCRIPT in page.of("img")[0]["alt"]
    text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert text.count("</style>") == 1
    # The name of a data set makes a file name, and no path.
    assert (tmp_path / "out" / "figures" / "figure3_script-alert-1-script_split1.png").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["out", runs.name])


def test_multi_label_results(tmp_path):
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]], bool)
    scores = np.array([[3, 1, 0], [2, 2, 0], [1, 3, 0], [9, 9, 9]], np.float32)
    runs, names = tmp_path / "runs", ["c000 Hold", "c001 Put", "c002 Take"]
    evaluations.write_map(runs / "two_branch", labels, scores, names, 11 / 12)
    evaluations.write_map(runs / "tsn", labels, -scores, names, 17 / 24, model="tsn")
    page = make(runs, tmp_path / "out")
    figures = sorted(path.name for path in (tmp_path / "out" / "figures").iterdir())
    assert figures == ["figure3_charades.png", "per_class_charades.png"]
    # TSN: class 0 hits at 1 and 3, 5/6 as two-branch; class 1 at 2 and 3, (1/2 + 2/3) / 2 = 7/12.
    table = (tmp_path / "out" / "tables" / "per_class_charades.csv").read_text()
    assert table == (
        "class,videos,1,2\nc000 Hold,2,83.3,83.3\nc001 Put,2,58.3,100.0\nc002 Take,0,,\n"
    )
    assert page.of("img")[0]["alt"] == (
        "Bar chart, percentage points: c001 Put +41.7; c000 Hold +0.0."
    )


def test_chosen_videos_with_frames(tmp_path, capsys):
    small_shards.write_shards(
        tmp_path / "shards", [9, 9], ids=["v0005", "v0024"], subset="test", num_shards=1
    )
    runs = two_models(tmp_path / "runs", data=str(tmp_path / "shards"))
    page = make(runs, tmp_path / "out", "--videos=v0024,v0003")
    alts = [image["alt"] for image in page.of("img") if "frames." in image["alt"]]
    assert [alt.split(". TSN")[0] for alt in alts] == [
        "8 frames. True class class a",
        "0 frames. True class class d",
    ]
    assert "Figure 4, video 2, is without frames: the shards hold no video 'v0003'" in page.text
    arguments = (f"--runs={runs}", f"--output={tmp_path / 'out'}", "--videos=v0024,v1")
    refused(2, "--videos: 'v1' is in no test set", capsys, *arguments)


def test_a_report_is_replaced(tmp_path):
    runs, output = two_models(tmp_path / "runs"), tmp_path / "deep" / "out"
    make(runs, output)
    assert (output / "figures" / "figure4_ucf101_split1_6.png").exists()
    make(runs, output, "--videos=v0000")
    assert not (output / "figures" / "figure4_ucf101_split1_6.png").exists()
    assert [path.name for path in output.parent.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "name", ["notes.txt", "index.html", "tables/mine.xlsx", "figures/deeper/x.png", ".hidden"]
)
def test_other_directories_are_not_replaced(tmp_path, capsys, name):
    runs, output = two_models(tmp_path / "runs"), tmp_path / "out"
    if name != "index.html":
        make(runs, output)
    (output / name).parent.mkdir(parents=True, exist_ok=True)
    (output / name).write_text("mine")
    before = contents(output)
    refused(1, "is not a report", capsys, f"--runs={runs}", f"--output={output}")
    assert contents(output) == before


def test_outputs_that_cannot_be_written(tmp_path, capsys):
    runs = two_models(tmp_path / "runs")
    (tmp_path / "file").write_text("mine")
    refused(
        1,
        "file is not a report (it is a file)",
        capsys,
        f"--runs={runs}",
        f"--output={tmp_path / 'file'}",
    )
    below = tmp_path / "file" / "out"
    refused(1, f"cannot write {below}", capsys, f"--runs={runs}", f"--output={below}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "runs"]


def test_errors_leave_no_output(tmp_path, capsys):
    runs, output = two_models(tmp_path / "runs"), tmp_path / "out"
    refused(2, "either --runs or --benchmark must be given", capsys, f"--output={output}")
    refused(2, "--output must be given", capsys, f"--runs={runs}")
    refused(
        2, "either --runs or --benchmark must be given", capsys, "--runs=", f"--output={output}"
    )
    refused(1, "is not a directory", capsys, f"--runs={runs},{runs}x", f"--output={output}")
    (runs / "tsn" / "scores.npz").write_bytes(b"")
    refused(1, "scores.npz is damaged", capsys, f"--runs={runs}", f"--output={output}")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize(
    ("name", "input_flag"),
    [("jinja2", "--runs=."), ("matplotlib", "--runs=."), ("pandas", "--benchmark=a.csv")],
)
def test_without_the_extra(tmp_path, name, input_flag):
    script = (
        f"import sys; sys.modules[{name!r}] = None\n"
        "from rlstm_tf import report\n"
        "from rlstm_tf.cli import app as cli\n"
        "cli.leave(cli.run(report.main, report.define_flags))"
    )
    arguments = [input_flag, f"--output={tmp_path / 'out'}"]
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stderr == (
        f"error: {name} is missing; the extra report brings it: pip install 'rlstm-tf[report]'\n"
    )
