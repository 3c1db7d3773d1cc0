"""Links and paths in README, CONTRIBUTING and docs/ lead to files."""

import re

import pytest
from repository import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "examples/serving/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FOLDERS = "benchmarks|configs|constraints|docs|examples|rlstm_tf|tests|tfrecords_tools"


def page_id(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_to_files(page):
    prose = re.sub(r"(?s)```.*?```|`[^`]*`", "", page.read_text())
    links = re.findall(r"\]\(([^)#\s]+)", prose)
    for link in (link for link in links if "://" not in link):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_named_paths_exist(page):
    for path in re.findall(rf"`((?:{FOLDERS})/[\w./]*)`", page.read_text()):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_configurations_exist(page):
    for path in re.findall(r"--flagfile=(configs/[\w/]+\.cfg)", page.read_text()):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_modules_that_commands_run_exist(page):
    names = r"python -m ((?:rlstm_tf|tfrecords_tools|benchmarks)\.\w+)"
    for name in re.findall(names, page.read_text()):
        assert (ROOT / f"{name.replace('.', '/')}.py").exists(), name


def test_each_page_is_in_the_site():
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert f": {page.relative_to(ROOT / 'docs')}\n" in navigation
