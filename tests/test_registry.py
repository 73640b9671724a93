"""
A loss stands in every list that it belongs to: the C++ headers, the core, the Python modules, the case table, the
benchmarks, the tables of the pages. Where one is missing, the message says which file lacks which name.

Every list is read from its file, so that the same reader can be shown a copy from which a name was taken.
"""

from __future__ import annotations

import ast
import inspect
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

import cases
import ndloss as nl
import ndloss.functional as F
from cases import CASES, LOSSES
from ndloss import _core
from ndloss._loss import Differentiable

ROOT = Path(__file__).resolve().parents[1]
HEADERS = "cpp/include/ndloss/losses"
PACKAGE = "python/ndloss"
BENCH = "bench/workloads.py"
CASE_TABLE = "tests/cases.py"

# Functions that are made of what other losses have in the core, and of what: the only ones without a name there.
COMPOSED = {"softmax": "cross_entropy", "log_softmax": "cross_entropy"}

Lists = Mapping[str, Iterable[str]]


def lacking(lists: Lists) -> list[str]:
    """Which file lacks which of the names that another one has."""
    sets = {file: set(names) for file, names in lists.items()}
    holders = {name: [file for file, names in sets.items() if name in names] for name in set().union(*sets.values())}
    return sorted(
        f"{file} lacks {name}, which {files[0]} has"
        for name, files in holders.items()
        for file, names in sets.items()
        if name not in names
    )


# ---- readers: the names in a file ----


def header_names(root: Path) -> dict[str, list[str]]:
    """The losses that each header under losses/ names."""
    found: dict[str, list[str]] = {}
    for path in sorted((root / HEADERS).glob("*.hpp")):
        named = re.findall(r"constexpr const char\* name\s*=([^;]*);", path.read_text(encoding="utf-8"))
        found[path.name] = [name for one in named for name in re.findall(r'"(\w+)"', one)]
    return found


def included_headers(root: Path) -> list[str]:
    text = (root / HEADERS).with_suffix(".hpp").read_text(encoding="utf-8")
    return re.findall(r'^#include "ndloss/losses/([\w.]+)"', text, re.MULTILINE)


def family_modules(root: Path) -> dict[str, list[str]]:
    """`__all__` of every public module: the families, by file."""
    found: dict[str, list[str]] = {}
    for path in sorted((root / PACKAGE).glob("[a-z]*.py")):
        if path.name != "functional.py":
            found[path.name] = next(
                ast.literal_eval(statement.value)
                for statement in ast.parse(path.read_text(encoding="utf-8")).body
                if isinstance(statement, ast.Assign | ast.AnnAssign)
                and statement.value is not None
                and "__all__" in ast.unparse(statement).partition("=")[0]
            )
    return found


def family_names(root: Path) -> list[str]:
    return [name for names in family_modules(root).values() for name in names]


def families_listed(root: Path, file: str) -> list[str]:
    """The modules that `_FAMILIES` of a file lists."""
    text = (root / PACKAGE / file).read_text(encoding="utf-8")
    listed = re.search(r"^_FAMILIES = \(([^)]*)\)", text, re.MULTILINE)
    assert listed, f"{file} has no _FAMILIES"
    return [f"{name}.py" for name in re.findall(r"_(\w+)", listed[1])]


def bench_names(root: Path) -> set[str]:
    """The losses of the workloads: the second argument of every `Spec`."""
    tree = ast.parse((root / BENCH).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Spec"]
    return {ast.literal_eval(call.args[1]) for call in calls}


def table_names(page: Path) -> list[str]:
    """The functions in the tables of a page whose rows begin with a class and its function; with the class."""
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [f"{function} ({class_name})" for class_name, function in rows]


def pages_with_tables(root: Path) -> list[Path]:
    pages = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    return [page for page in pages if re.search(r"^\| class \| function \|", page.read_text(encoding="utf-8"), re.MULTILINE)]


def of_functions(names: Iterable[str]) -> set[str]:
    """The functions that names of the core stand for: `<function>_<option>` is a function with that option given."""
    functions = dict.fromkeys(F.__all__)
    return {name if name in functions else next((f for f in functions if is_variant(name, f)), name) for name in names}


def is_variant(name: str, function: str) -> bool:
    rest = name.removeprefix(f"{function}_")
    return rest != name and rest in inspect.signature(getattr(F, function)).parameters


# ---- what must agree ----


def core_lists(root: Path) -> Lists:
    return {
        "cpp/include/ndloss/losses.hpp (as built)": (*_core.elementwise_names, *_core.rowwise_names),
        f"{HEADERS}/": [name for names in header_names(root).values() for name in names],
    }


def header_lists(root: Path) -> Lists:
    return {"cpp/include/ndloss/losses.hpp": included_headers(root), f"{HEADERS}/": header_names(root)}


def module_lists(root: Path) -> Lists:
    """Every module of losses is a family of the package and of `functional`."""
    return {
        f"{PACKAGE}/": family_modules(root),
        f"{PACKAGE}/__init__.py": families_listed(root, "__init__.py"),
        f"{PACKAGE}/functional.py": families_listed(root, "functional.py"),
    }


def function_lists(root: Path) -> Lists:
    return {
        f"{HEADERS}/": of_functions(n for names in header_names(root).values() for n in names) | COMPOSED.keys(),
        f"{PACKAGE}/": [name for name in family_names(root) if name[0].islower()],
        CASE_TABLE: [case.name for case in CASES],
    }


def class_lists(root: Path) -> Lists:
    return {
        f"{PACKAGE}/": [name for name in family_names(root) if name[0].isupper()],
        CASE_TABLE: [case.class_name for case in CASES],
    }


def bench_lists(root: Path) -> Lists:
    return {CASE_TABLE: [case.name for case in LOSSES], BENCH: bench_names(root)}


def table_lists(root: Path) -> Lists:
    """Tables may name the activations too; all of them or none."""
    pages = pages_with_tables(root)
    assert pages, "no page has a table of losses"
    activations = {f"{case.name} ({case.class_name})" for case in CASES if not case.is_loss}
    return {
        CASE_TABLE: [f"{case.name} ({case.class_name})" for case in LOSSES],
        **{str(page.relative_to(root)): set(table_names(page)) - activations for page in pages},
    }


LISTS: tuple[Callable[[Path], Lists], ...] = (
    core_lists,
    header_lists,
    module_lists,
    function_lists,
    class_lists,
    bench_lists,
    table_lists,
)


@pytest.mark.parametrize("lists", LISTS, ids=lambda lists: lists.__name__)
def test_every_list_has_every_name(lists: Callable[[Path], Lists]) -> None:
    found = lists(ROOT)
    assert all(list(names) for names in found.values())
    assert lacking(found) == []


def test_no_name_stands_twice() -> None:
    for names in (
        *(list(map(str, _names)) for lists in (core_lists, module_lists) for _names in lists(ROOT).values()),
        family_names(ROOT),
        [case.name for case in CASES],
        [case.class_name for case in CASES],
        *(table_names(page) for page in pages_with_tables(ROOT)),
    ):
        assert sorted(names) == sorted(set(names))


def test_every_header_names_a_loss() -> None:
    assert [file for file, names in header_names(ROOT).items() if not names] == []


def test_what_is_said_to_be_composed_has_no_name_of_its_own() -> None:
    core = {*_core.elementwise_names, *_core.rowwise_names}
    assert COMPOSED.keys() & core == set()
    assert set(COMPOSED.values()) <= core


def test_the_package_has_what_its_modules_list() -> None:
    """And nothing else that is a loss: functions in `functional`, classes beside their functions."""
    names = family_names(ROOT)
    assert set(names) <= set(nl.__all__)
    assert sorted(F.__all__) == sorted(name for name in names if name[0].islower())
    for name in nl.__all__:
        one = getattr(nl, name)
        a_loss = getattr(one, "_differentiable", False) or (inspect.isclass(one) and issubclass(one, Differentiable))
        assert a_loss == (name in names) or one is nl.Loss, name
    for case in CASES:
        assert getattr(nl, case.class_name).__module__ == getattr(nl, case.name).__module__, case.name


def test_a_case_says_what_the_class_and_the_core_take() -> None:
    for case in CASES:
        legacy = ("size_average", "reduce")
        taken = inspect.signature(getattr(nl, case.class_name)).parameters.values()
        constructor = [p.name for p in taken if p.name not in legacy and p.kind is not p.VAR_KEYWORD]
        assert set(constructor) == set(case.constructor), case.name
        parameters = tuple(inspect.signature(getattr(F, case.name)).parameters)
        assert parameters[: len(case.operands)] == case.operands, case.name
        assert (case.is_loss and "reduction" in parameters) or not case.is_loss, case.name
        assert issubclass(getattr(nl, case.class_name), nl.Loss) == case.is_loss, case.name
        headers = "".join(path.read_text(encoding="utf-8") for path in (ROOT / HEADERS).glob("*.hpp"))
        assert case.name in COMPOSED or re.search(rf"\b(struct|using) {case.struct_name}\b", headers), case.struct_name


def test_the_stub_types_what_the_extension_has() -> None:
    """Losses that have no fast path are types of nobody's."""
    tree = ast.parse((ROOT / PACKAGE / "_core.pyi").read_text(encoding="utf-8"))
    typed = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    typed |= {ast.unparse(node.target) for node in tree.body if isinstance(node, ast.AnnAssign)}
    assert typed - set(dir(_core)) - {"Plain"} == set()
    called = {
        node.attr
        for path in (ROOT / PACKAGE).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "_core"
    }
    assert called - typed == set()


# ---- the tests above can fail ----


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for folder in (HEADERS, PACKAGE, "docs", "bench"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.so", "__pycache__", "demo"))
    for file in ("README.md", f"{HEADERS}.hpp"):
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def edit(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text(encoding="utf-8")
    after = change(before)
    assert after != before, f"nothing to take from {path.name}"
    path.write_text(after, encoding="utf-8")


def without_lines(pattern: str) -> Callable[[str], str]:
    return lambda text: re.sub(rf"^.*{pattern}.*\n", "", text, flags=re.MULTILINE)


def without_entry(name: str) -> Callable[[str], str]:
    return lambda text: re.sub(rf'(__all__.*?)"{name}",?', r"\1", text, count=1, flags=re.DOTALL)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_name_taken_from_a_file_is_missed_there(case: cases.LossCase, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [lacking(lists(copy)) for lists in LISTS] == [[]] * len(LISTS)
    name, class_name = case.name, case.class_name

    def missed(lists: Callable[[Path], Lists], file: str, what: str) -> bool:
        return any(line.startswith(f"{file} lacks {what}, which ") for line in lacking(lists(copy)))

    module = next(file for file, names in family_modules(copy).items() if name in names)
    for listed in (name, class_name):
        edit(copy / PACKAGE / module, without_entry(listed))
    assert missed(function_lists, f"{PACKAGE}/", name)
    assert missed(class_lists, f"{PACKAGE}/", class_name)
    if name not in COMPOSED:
        header = next(file for file, names in header_names(copy).items() if name in of_functions(names))
        edit(copy / HEADERS / header, without_lines(f'"{name}\\w*"'))
        assert missed(core_lists, f"{HEADERS}/", name)
        assert missed(function_lists, f"{HEADERS}/", name)
        edit((copy / HEADERS).with_suffix(".hpp"), without_lines(re.escape(header)))
        assert missed(header_lists, "cpp/include/ndloss/losses.hpp", header)
        monkeypatch.setattr(_core, "elementwise_names", ())
        monkeypatch.setattr(_core, "rowwise_names", ())
        shutil.copytree(ROOT / HEADERS, copy / HEADERS, dirs_exist_ok=True)
        assert missed(core_lists, "cpp/include/ndloss/losses.hpp (as built)", name)
    if case.is_loss:
        edit(copy / BENCH, without_lines(rf'Spec\("[^"]*", "{name}"'))
        assert missed(bench_lists, BENCH, name)
        for page in pages_with_tables(copy):
            edit(page, without_lines(rf"^\| `{class_name}` \|"[1:]))
            assert missed(table_lists, str(page.relative_to(copy)), f"{name} ({class_name})")


def test_a_case_or_a_family_left_out_is_missed(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = next(iter(family_modules(copy)))
    for file in ("__init__.py", "functional.py"):
        edit(copy / PACKAGE / file, without_lines(f"    _{module.removesuffix('.py')},"))
        assert f"{PACKAGE}/{file} lacks {module}, which {PACKAGE}/ has" in lacking(module_lists(copy))
    left_out = LOSSES[0]
    monkeypatch.setitem(globals(), "CASES", tuple(case for case in CASES if case is not left_out))
    monkeypatch.setitem(globals(), "LOSSES", LOSSES[1:])
    for lists, name in ((function_lists, left_out.name), (class_lists, left_out.class_name), (bench_lists, left_out.name)):
        assert any(line.startswith(f"{CASE_TABLE} lacks {name}, ") for line in lacking(lists(copy)))
