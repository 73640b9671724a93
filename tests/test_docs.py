"""Every example in the README and under docs/ runs and prints what the page says."""

from __future__ import annotations

import doctest
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")) if path.exists())
TUTORIALS = ("01_bce", "02_multilabel", "03_cross_entropy", "04_side_by_side", "05_which_loss")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

FENCE = re.compile(r"^\s*```\s*(\w*)")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


def python_blocks(text: str) -> list[tuple[int, str]]:
    """Return the ```python blocks of a page, each with the number of its first line."""
    blocks: list[tuple[int, str]] = []
    language, first, lines = None, 0, list[str]()
    for number, line in enumerate(text.splitlines()):
        fence = FENCE.match(line)
        if fence and language is None:
            language, first, lines = fence.group(1), number + 1, []
        elif fence:
            if language in ("python", "py", "pycon"):
                blocks.append((first, "\n".join(lines) + "\n"))
            language = None
        elif language is not None:
            lines.append(line)
    assert language is None, "a fenced block is not closed"
    return blocks


def examples(path: Path) -> doctest.DocTest:
    """Return all >>> examples of a page as one test: they share names, top to bottom, and keep their line numbers."""
    found: list[doctest.Example] = []
    parser = doctest.DocTestParser()
    for first, block in python_blocks(path.read_text(encoding="utf-8")):
        for example in parser.get_examples(block, path.name):
            example.lineno += first
            found.append(example)
    return doctest.DocTest(found, {"__name__": "__main__"}, path.name, str(path), 0, None)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_examples_print_what_the_page_says(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    test = examples(path)
    if not test.examples:
        return
    source = "".join(example.source for example in test.examples)
    if re.search(r"^\s*(from|import) sklearn\b", source, re.MULTILINE) and importlib.util.find_spec("sklearn") is None:
        pytest.skip("the page uses scikit-learn, which is not installed; the `test` extra brings it")
    monkeypatch.chdir(tmp_path)
    report: list[str] = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append)
    assert result.failed == 0, "".join(report)
    assert result.attempted == len(test.examples)


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_python_blocks_without_prompt_are_python(path: Path) -> None:
    for first, block in python_blocks(path.read_text(encoding="utf-8")):
        if ">>>" not in block:
            compile("\n" * first + block, str(path), "exec")


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_inside_the_repository_lead_somewhere(path: Path) -> None:
    targets = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in targets if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("stem", TUTORIALS)
def test_tutorial_exists_and_is_mostly_examples(stem: str) -> None:
    assert len(examples(ROOT / "docs" / "tutorials" / f"{stem}.md").examples) >= 15


def test_runner_finds_a_wrong_answer_and_its_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\n>>> 1 + 1\n3\n```\n", encoding="utf-8")
    report: list[str] = []
    assert doctest.DocTestRunner(optionflags=FLAGS).run(examples(page), out=report.append).failed == 1
    assert "line 4" in "".join(report)
