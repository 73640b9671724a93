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
from typing import TypeGuard

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
COMPOSED = {
    "softmax": "cross_entropy",
    "log_softmax": "cross_entropy",
    "linear_cross_entropy": "cross_entropy",
    "triplet_margin_with_distance_loss": "triplet_margin_loss",
    "pairwise_distance": "triplet_margin_loss",
    "cosine_similarity": "cosine_embedding_loss",
}
# The other way round: names of the core that are no function, and the module that calls them.
PARTS = {
    "identity": "_selected.py",
    "triplet_margin_of_distances": "_triplets.py",
    "triplet_margin_of_swapped_distances": "_triplets.py",
}
# Functions without a class, and with it without a case; they have their own tests in test_vectors.py.
ALONE = {"cosine_similarity", "pairwise_distance"}
# Public names of the families' modules that are neither losses nor activations.
NO_LOSSES = {"LinearCrossEntropyOptions"}
# Options that the core calls by another name: `poisson_nll_loss_rate` is that with `log_input=False`.
CORE_OPTIONS = {"rate": "log_input"}
# Arguments that only the constructor takes, because it makes what the function is given.
OF_THE_LAYER = {"in_features", "num_classes", "out_features", "bias", "device", "dtype", "options", "rng"}

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


def named_structs(root: Path) -> list[str]:
    """The structs that have a name in the core: where they are templates, what their header calls their instances."""
    found: list[str] = []
    for path in sorted((root / HEADERS).glob("*.hpp")):
        text = path.read_text(encoding="utf-8")
        for template, struct, body in re.findall(
            r"^(template <[^\n]*>\n)?struct (\w+) \{\n(.*?)^\};", text, re.MULTILINE | re.DOTALL
        ):
            if "constexpr const char* name" in body:
                instances = re.findall(rf"^using (\w+) = {struct}<", text, re.MULTILINE) if template else []
                found += instances or [struct]
    return found


def registered_structs(root: Path) -> list[str]:
    """The structs in the lists of losses.hpp."""
    text = (root / HEADERS).with_suffix(".hpp").read_text(encoding="utf-8")
    return [
        name
        for listed in re.findall(r"^using \w+Losses = TypeList<([^>]*)>;", text, re.MULTILINE)
        for name in re.findall(r"\w+", listed)
    ]


def core_names() -> list[str]:
    """The losses that the extension has: those it lists, and those of vectors, which only their fast paths name."""
    listed = (*_core.elementwise_names, *_core.rowwise_names, *_core.sequence_names)
    plain = [name for name, one in vars(_core).items() if (one.__doc__ or "").startswith("A plain call, or None")]
    return [*listed, *(name for name in plain if name not in listed)]


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
    """The losses of the workloads: the second argument of every `Spec`, or all that a comprehension puts there."""
    tree = ast.parse((root / BENCH).read_text(encoding="utf-8"))
    tuples = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    loops = {node.elt: node.generators[0] for node in ast.walk(tree) if isinstance(node, ast.GeneratorExp) and is_spec(node.elt)}
    found: set[str] = set()
    for spec in filter(is_spec, ast.walk(tree)):
        if spec in loops:
            assert ast.unparse(spec.args[1]) == ast.unparse(loops[spec].target)
            found.update(ast.literal_eval(tuples[ast.unparse(loops[spec].iter)]))
        else:
            found.add(ast.literal_eval(spec.args[1]))
    return found


def is_spec(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "Spec"


def table_names(page: Path) -> list[str]:
    """The functions in the tables of a page whose rows begin with a class and its function; with the class."""
    rows = re.findall(r"^\| `(\w+)`(?: †)? \| `(\w+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [f"{function} ({class_name})" for class_name, function in rows]


def pages_with_tables(root: Path) -> list[Path]:
    pages = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    return [
        page
        for page in pages
        if re.search(r"^\| class \| function \|", page.read_text(encoding="utf-8"), re.MULTILINE | re.IGNORECASE)
    ]


def of_functions(names: Iterable[str]) -> set[str]:
    """The functions that names of the core stand for: `<function>_<options>` is a function with those options given."""
    functions = dict.fromkeys(F.__all__)
    return {name if name in functions else next((f for f in functions if is_variant(name, f)), name) for name in names}


def is_variant(name: str, function: str) -> bool:
    parameters = inspect.signature(getattr(F, function)).parameters
    options = "|".join((*parameters, *(word for word, option in CORE_OPTIONS.items() if option in parameters)))
    return re.fullmatch(rf"{function}(_({options}))+", name) is not None


# ---- what must agree ----


def core_lists(root: Path) -> Lists:
    return {
        "cpp/include/ndloss/losses.hpp (as built)": core_names(),
        f"{HEADERS}/": [name for names in header_names(root).values() for name in names],
    }


def struct_lists(root: Path) -> Lists:
    return {"cpp/include/ndloss/losses.hpp": registered_structs(root), f"{HEADERS}/": named_structs(root)}


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
        f"{HEADERS}/": of_functions(n for names in header_names(root).values() for n in names) - PARTS.keys() | COMPOSED.keys(),
        f"{PACKAGE}/": [name for name in family_names(root) if name[0].islower()],
        CASE_TABLE: {case.name for case in CASES} | ALONE,
    }


def class_lists(root: Path) -> Lists:
    return {
        f"{PACKAGE}/": [name for name in family_names(root) if name[0].isupper() and name not in NO_LOSSES],
        CASE_TABLE: [case.class_name for case in CASES],
    }


def bench_lists(root: Path) -> Lists:
    """Of a composed loss its parts are measured; `linear_cross_entropy` has a program of its own."""
    return {CASE_TABLE: [case.name for case in LOSSES if case.name not in COMPOSED], BENCH: bench_names(root)}


def table_lists(root: Path) -> Lists:
    """Tables may name the activations too; all of them or none."""
    pages = pages_with_tables(root)
    assert pages, "no page has a table of losses"
    activations = {f"{case.name} ({case.class_name})" for case in CASES if not case.is_loss}
    return {
        CASE_TABLE: [f"{case.name} ({case.class_name})" for case in CASES if case.is_loss],
        **{str(page.relative_to(root)): set(table_names(page)) - activations for page in pages},
    }


LISTS: tuple[Callable[[Path], Lists], ...] = (
    core_lists,
    struct_lists,
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
        *(list(map(str, _names)) for lists in (core_lists, struct_lists, module_lists) for _names in lists(ROOT).values()),
        family_names(ROOT),
        [case.name for case in CASES],
        [case.class_name for case in CASES],
        *(table_names(page) for page in pages_with_tables(ROOT)),
    ):
        assert sorted(names) == sorted(set(names))


def test_tables_have_one_order() -> None:
    readme, *others = [table_names(page) for page in pages_with_tables(ROOT)]
    assert others
    assert all(other == readme for other in others)


def test_every_header_names_a_loss() -> None:
    assert [file for file, names in header_names(ROOT).items() if not names] == []


def test_what_is_said_to_be_composed_has_no_name_of_its_own() -> None:
    core = set(core_names())
    assert COMPOSED.keys() & core == set()
    assert set(COMPOSED.values()) <= core


def test_what_is_said_to_be_a_part_is_called() -> None:
    assert PARTS.keys() <= set(core_names())
    assert PARTS.keys() & of_functions(F.__all__) == set()
    for name, file in PARTS.items():
        assert f'"{name}"' in (ROOT / PACKAGE / file).read_text(encoding="utf-8"), name


def test_what_is_said_to_stand_alone_does() -> None:
    names = set(family_names(ROOT))
    assert names >= ALONE | NO_LOSSES
    assert (ALONE | NO_LOSSES) & {name for case in CASES for name in (case.name, case.class_name)} == set()
    tests = (ROOT / "tests/test_vectors.py").read_text(encoding="utf-8")
    assert [name for name in ALONE if f"F.{name}" not in tests] == []


def test_the_package_has_what_its_modules_list() -> None:
    """And nothing else that is a loss: functions in `functional`, classes beside their functions."""
    names = family_names(ROOT)
    assert set(names) <= set(nl.__all__)
    assert sorted(F.__all__) == sorted(name for name in names if name[0].islower())
    for name in nl.__all__:
        one = getattr(nl, name)
        a_loss = getattr(one, "_differentiable", False) or (inspect.isclass(one) and issubclass(one, Differentiable))
        assert a_loss == (name in names and name not in NO_LOSSES) or one is nl.Loss, name
    for case in CASES:
        assert getattr(nl, case.class_name).__module__ == getattr(nl, case.name).__module__, case.name


def test_a_case_says_what_the_class_and_the_core_take() -> None:
    for case in CASES:
        legacy = ("size_average", "reduce")
        taken = inspect.signature(getattr(nl, case.class_name)).parameters.values()
        constructor = {p.name for p in taken if p.name not in legacy and p.kind is not p.VAR_KEYWORD}
        if case.name == "linear_cross_entropy":
            assert constructor >= OF_THE_LAYER
            constructor = constructor - OF_THE_LAYER | {"linear_bias"}
        assert constructor == set(case.constructor), case.name
        parameters = tuple(inspect.signature(getattr(F, case.name)).parameters)
        assert parameters[: len(case.operands)] == case.operands, case.name
        assert (case.is_loss and "reduction" in parameters) or not case.is_loss, case.name
        assert issubclass(getattr(nl, case.class_name), nl.Loss) == case.is_loss, case.name
        struct = case.struct_name.partition(" of ")[0]
        assert struct in named_structs(ROOT) or (case.name in COMPOSED and not case.is_loss), case.struct_name


def test_the_stub_types_what_the_extension_has() -> None:
    """Whatever has no type of its own is the fast path of a loss, and is there."""
    tree = ast.parse((ROOT / PACKAGE / "_core.pyi").read_text(encoding="utf-8"))
    typed = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    typed |= {ast.unparse(node.target) for node in tree.body if isinstance(node, ast.AnnAssign)}
    there = set(dir(_core))
    assert typed - there - {"Plain", "__getattr__"} == set()
    called = {
        node.attr
        for path in (ROOT / PACKAGE).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "_core"
    }
    assert called - there == set()
    assert {name for name in called - typed if not getattr(_core, name).__doc__.startswith("A plain call")} == set()


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
        registry = (copy / HEADERS).with_suffix(".hpp")
        edit(registry, lambda text: re.sub(rf"\b{case.struct_name}(?=[, ])", "", text))
        assert missed(struct_lists, "cpp/include/ndloss/losses.hpp", case.struct_name)
        edit(copy / HEADERS / header, without_lines(f'"{name}\\w*"'))
        assert missed(core_lists, f"{HEADERS}/", name)
        assert missed(function_lists, f"{HEADERS}/", name)
        edit(registry, without_lines(re.escape(f"ndloss/losses/{header}")))
        assert missed(header_lists, "cpp/include/ndloss/losses.hpp", header)
        for names in ("elementwise_names", "rowwise_names", "sequence_names"):
            monkeypatch.setattr(_core, names, tuple(n for n in getattr(_core, names) if n != name))
        monkeypatch.delattr(_core, name, raising=False)
        shutil.copytree(ROOT / HEADERS, copy / HEADERS, dirs_exist_ok=True)
        assert missed(core_lists, "cpp/include/ndloss/losses.hpp (as built)", name)
    if case in LOSSES and name not in COMPOSED:
        edit(copy / BENCH, without_lines(rf'(Spec\("[^"]*", |^    )"{name}"'))
        assert missed(bench_lists, BENCH, name)
    if case.is_loss:
        for page in pages_with_tables(copy):
            edit(page, without_lines(rf"\| `{class_name}`( †)? \| `{name}` \|"))
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
