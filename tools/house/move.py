!/usr/bin/env python3
"""Moves the modules of batch-screen into the tree of HOUSE.md: ``move.py [--plan] REPOSITORY``.

Not one statement is edited but imports, names that clash, and strings that name modules.
``--plan`` only says what would be moved, with cycles, sizes and clashes. Run it on a clean tree.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import patches
import table
from scopes import BUILTINS, Scopes

PACKAGE = "batch_screen"
REPORT: list[str] = []
CACHE: dict[str, Module] = {}
ERRORS: list[str] = []


def report(text: str) -> None:
    if text not in REPORT:
        REPORT.append(text)


def wrong(text: str) -> None:
    if text not in ERRORS:
        ERRORS.append(text)


# --- what there is --------------------------------------------------------------------------


@dataclass(eq=False)
class Module:
    """One file of today: its full dotted name, text, and what its names mean."""

    name: str
    path: Path  # below the repository
    source: bytes
    tree: ast.Module
    scopes: Scopes
    is_package: bool
    defs: dict[str, ast.stmt] = field(default_factory=dict)
    imports: dict[str, tuple] = field(default_factory=dict)  # local → identity, at the top
    typing_only: set[str] = field(default_factory=set)
    local_imports: dict = field(default_factory=dict)  # (scope, local) → identity

    def __post_init__(self) -> None:
        self.starts = [0]
        for line in self.source.split(b"\n"):
            self.starts.append(self.starts[-1] + len(line) + 1)

    def at(self, line: int, column: int) -> int:
        return self.starts[line - 1] + column

    def span(self, node) -> tuple[int, int]:
        first = node
        for decorator in getattr(node, "decorator_list", []):
            if decorator.lineno < first.lineno:
                first = decorator
        if first is not node:  # from the @
            return self.at(first.lineno, 0), self.at(node.end_lineno, node.end_col_offset)
        return self.at(node.lineno, node.col_offset), self.at(node.end_lineno, node.end_col_offset)

    def line_span(self, node) -> tuple[int, int]:
        """Whole lines, with a comment behind."""
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        return self.starts[first - 1], self.starts[node.end_lineno]

    def text(self, node) -> str:
        first, end = self.span(node)
        return self.source[first:end].decode()

    @property
    def base(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def folder(self) -> str:
        return self.name if self.is_package else self.name.rpartition(".")[0]


ROOTS = (PACKAGE, "tests", "benchmarks", "reference", "docs", "sample_data")


def is_type_checking(node) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
        and all(isinstance(each, (ast.Import, ast.ImportFrom)) for each in node.body)
        and not node.orelse
    )


def is_docstring(node) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def is_future(node) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def bound_by(node) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [a.asname or a.name.split(".")[0] for a in node.names]
    found = []
    stack = [node]
    while stack:
        each = stack.pop()
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            found.append(each.id)
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.append(each.name)
        elif not isinstance(each, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            stack += ast.iter_child_nodes(each)
    return found


class House:
    """All modules of today and where they go."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules: dict[str, Module] = {}
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True, text=True
        ).stdout.split("\0")
        self.files = [Path(name) for name in listed if name and (root / name).is_file()]
        for path in self.files:
            if path.suffix == ".py" and path.parts[0] in ROOTS:
                self._read(path)
        for module in self.modules.values():
            self._understand(module)
        self.decide()

    def _read(self, path: Path) -> None:
        parts = list(path.with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        source = (self.root / path).read_bytes()
        known = CACHE.get(name)
        if known is None or known.source != source:  # renames read a house many times
            tree = ast.parse(source)
            known = CACHE[name] = Module(name, path, source, tree, Scopes(tree), is_package)
        self.modules[name] = known

    def _understand(self, module: Module) -> None:
        for found in (module.defs, module.imports, module.typing_only, module.local_imports):
            found.clear()
        for node in module.tree.body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                module.imports |= dict(self.identities(module, node))
            elif is_type_checking(node):
                for each in node.body:
                    found = dict(self.identities(module, each))
                    module.imports |= found
                    module.typing_only |= set(found)
            else:
                for name in bound_by(node):
                    module.defs.setdefault(name, node)
        tops = set(module.tree.body) | {
            each for node in module.tree.body if is_type_checking(node) for each in node.body
        }
        for node, scope in module.scopes.imports:
            if node not in tops:
                for local, identity in self.identities(module, node):
                    module.local_imports[scope, local] = identity

    def source_of(self, module: Module, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        base = module.folder.split(".")
        base = base[: len(base) - (node.level - 1)]
        return ".".join([*base, *([node.module] if node.module else [])])

    def identities(self, module: Module, node):
        """(local name, identity): ("def", module, name), ("mod", module) or ("ext", …)."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname and alias.name in self.modules:
                    yield alias.asname, ("mod", alias.name)
                else:
                    yield (
                        alias.asname or alias.name.split(".")[0],
                        ("ext", None, alias.name, bool(alias.asname)),
                    )
            return
        source = self.source_of(module, node)
        for alias in node.names:
            local = alias.asname or alias.name
            if f"{source}.{alias.name}" in self.modules:
                yield local, ("mod", f"{source}.{alias.name}")
            elif source in self.modules:
                yield local, ("def", source, alias.name)
            else:
                yield local, ("ext", source, alias.name, True)

    def resolve(self, identity: tuple) -> tuple:
        """The definition behind a name that a module only imports itself."""
        seen = set()
        while identity[0] == "def" and identity not in seen:
            seen.add(identity)
            module = self.modules[identity[1]]
            if identity[2] in module.defs or module.is_package:
                break
            if identity[2] in module.imports:
                identity = module.imports[identity[2]]
            else:
                break
        return identity

    # --- where everything goes -------------------------------------------------------------

    def decide(self) -> None:
        self.home: dict[str, str] = {}  # old module → new module
        self.parts: dict[str, list[str]] = defaultdict(list)  # new module → old ones
        package = {n for n in self.modules if n == PACKAGE or n.startswith(f"{PACKAGE}.")}
        unmerged = table.UNMERGED
        for new, olds in table.MODULES.items():
            full = full_name(new)
            there = [o for o in map(full_name, olds) if o in package]
            for o in map(full_name, olds):
                if o not in package:
                    wrong(f"the table names {o}, which is not there")
            if not there:
                continue
            if (new in unmerged or "*" in unmerged) and new != "__init__":
                folder = full.rpartition(".")[0]
                for number, old in enumerate(there):
                    self._goes(old, full if not number else f"{folder}.{old.rpartition('.')[2]}")
            else:
                for old in there:
                    self._goes(old, full)
        for old in sorted(package - set(self.home)):
            self._goes(old, self._by_folder(old))
        self.splits = {}
        for old, new in table.SPLITS.items():
            module, _, name = old.partition(":")
            target, _, renamed = new.partition(":")
            module = full_name(module)
            if module not in package or name not in self.modules[module].defs:
                wrong(f"the table splits {old}, which is not there")
                continue
            self.splits[module, name] = (full_name(target), renamed or name)
        self.renames = {}
        for old, new in table.RENAMES.items():
            module, _, name = old.partition(":")
            module = module if module.startswith("tests.") else full_name(module)
            if module not in self.modules or name not in self.modules[module].defs:
                wrong(f"the table renames {old}, which is not there")
            self.renames[module, name] = new
        self._decide_tests()
        for module in self.modules:
            if module not in self.home:
                self._goes(module, module)

    def _goes(self, old: str, new: str) -> None:
        self.home[old] = new
        self.parts[new].append(old)

    def _by_folder(self, old: str) -> str:
        parts = old.split(".")
        module = self.modules[old]
        if len(parts) > 1 and parts[1] in table.FOLDERS:
            new = ".".join([PACKAGE, table.FOLDERS[parts[1]], *parts[2:]])
            if module.is_package and len(parts) == 2 and parts[1] in ("output", "purging"):
                return f"{PACKAGE}.(gone).{parts[1]}"
        else:
            new = old
        if not module.is_package and len(parts) == 2 and old not in table.STAY:
            report(f"NOT IN THE TABLE: {old} stays at the root; name its place in table.py")
        if not module.is_package and len(parts) == 3 and parts[1] not in table.KEPT_FOLDERS:
            if old not in table.STAY:
                report(f"not in the table: {old} → {new}, by its folder")
        return new

    def _decide_tests(self) -> None:
        for old in sorted(self.modules):
            if not old.startswith("tests.unit."):
                continue
            new = self._place_of_test(old)
            self._goes(old, new)

    def _place_of_test(self, old: str) -> str:
        if old in table.TESTS:
            return table.TESTS[old]
        parts = old.split(".")
        module = self.modules[old]
        inner = parts[2:]
        if inner[-1].startswith("test_"):
            mirrored = ".".join([PACKAGE, *inner[:-1], inner[-1].removeprefix("test_")])
            if mirrored in self.home and not self.modules[mirrored].is_package:
                new = self.home[mirrored].split(".")[1:]
                if not new:
                    return old
                merged = ".".join(new)
                if merged in table.UNMERGED_TESTS or "*" in table.UNMERGED_TESTS:
                    if self.parts[self.home[mirrored]][0] != mirrored:
                        return ".".join(["tests.unit", *new[:-1], inner[-1]])
                return ".".join(["tests.unit", *new[:-1], f"test_{new[-1]}"])
        if len(inner) > 1 and inner[0] in table.FOLDERS or module.is_package and inner[0] in table.FOLDERS:
            if module.is_package:
                return f"tests.unit.{table.FOLDERS[inner[0]]}"
            if inner[-1].startswith("test_"):
                report(f"test without a module of its name: {old}")
            return ".".join(["tests.unit", table.FOLDERS[inner[0]], *inner[1:]])
        return old

    def target(self, module: str, name: str) -> tuple[str, str]:
        """New module and new name of a definition."""
        if (module, name) in self.splits:
            return self.splits[module, name]
        return self.home[module], self.renames.get((module, name), name)


def full_name(name: str) -> str:
    return PACKAGE if name == "__init__" else f"{PACKAGE}.{name}"


# --- a new module and the names in it --------------------------------------------------------


@dataclass(eq=False)
class Part:
    """What one old module gives to one new module."""

    module: Module
    statements: list[ast.stmt]
    whole: bool


class Plan:
    """For each new module: its parts in order, and one local name for everything in it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.parts: dict[str, list[Part]] = {}
        self.locals: dict[str, dict[tuple, str]] = {}  # new module → identity → local name
        self.dropped: set[tuple[str, str]] = set()  # the same definition in two parts
        for new, olds in house.parts.items():
            extra = [m for (m, _), (t, _) in house.splits.items() if t == new and m not in olds]
            self.parts[new] = self._parts_of(new, [*olds, *dict.fromkeys(extra)])
        for new in self.parts:
            self._name_definitions(new)
        for new in self.parts:
            self._name_imports(new)

    def _parts_of(self, new: str, olds: list[str]) -> list[Part]:
        parts = []
        for old in self._in_order(olds):
            module = self.house.modules[old]
            statements, whole = [], True
            previous = None
            for node in module.tree.body:
                names = bound_by(node)
                if names and not isinstance(node, (ast.Import, ast.ImportFrom)) and not is_type_checking(node):
                    targets = {self.house.target(old, name)[0] for name in names}
                    if len(targets) > 1:
                        wrong(f"{old}: one statement would be split: {names}")
                    goes = targets.pop()
                elif is_docstring(node) and previous is not None:
                    goes = previous
                else:
                    goes = self.house.home[old]
                previous = goes if not isinstance(node, (ast.Import, ast.ImportFrom)) else None
                if node is module.tree.body[0] and is_docstring(node):
                    previous = None
                if goes == new:
                    statements.append(node)
                else:
                    whole = False
            parts.append(Part(module, statements, whole))
        return parts

    def _in_order(self, olds: list[str]) -> list[str]:
        """What others need comes first; otherwise as in the table, the main one last of its kind."""
        needs = {old: self._reached(old) & set(olds) - {old} for old in olds}
        done: list[str] = []
        left = list(olds)
        while left:
            ready = [old for old in left if needs[old] <= set(done)]
            if not ready:
                wrong(f"modules need each other: {left}")
                ready = left
            # the main module as late as it can be, so that its helpers stand before it only
            # where they must
            done.append(ready[0])
            left.remove(ready[0])
        return done

    def _reached(self, old: str) -> set[str]:
        seen: set[str] = set()
        waiting = [old]
        while waiting:
            module = self.house.modules[waiting.pop()]
            for local, identity in module.imports.items():
                if local in module.typing_only:
                    continue
                if identity[0] in ("def", "mod") and identity[1] not in seen:
                    seen.add(identity[1])
                    waiting.append(identity[1])
        return seen

    def _name_definitions(self, new: str) -> None:
        taken: dict[str, tuple] = {}
        names = self.locals.setdefault(new, {})
        order = {old: n for n, old in enumerate(self.house.parts[new])}
        parts = sorted(self.parts[new], key=lambda p: order.get(p.module.name, 99))
        for part in parts:
            for node in part.statements:
                if isinstance(node, (ast.Import, ast.ImportFrom)) or is_type_checking(node):
                    continue
                for name in dict.fromkeys(bound_by(node)):
                    identity = ("def", part.module.name, name)
                    wish = self.house.target(part.module.name, name)[1]
                    if wish in taken and taken[wish] != identity:
                        if self._same(taken[wish], node, part.module):
                            self.dropped.add((part.module.name, name))
                            names[identity] = wish
                            report(f"{short(new)}: {wish} stood in both, kept once")
                            continue
                        old_wish, wish = wish, self._another(wish, part.module)
                        while wish in taken:
                            wish += "_"
                        kind = "private" if old_wish.startswith("_") else "PUBLIC"
                        if new.startswith("tests"):
                            kind = "test"
                        report(f"{kind} clash in {short(new)}: {part.module.name}:{name} → {wish}")
                        self.house.renames[part.module.name, name] = wish
                    taken[wish] = identity
                    names[identity] = wish

    def _same(self, identity: tuple, node, module: Module) -> bool:
        other = self.house.modules[identity[1]]
        one = other.defs[identity[2]]
        if type(one) is not type(node):
            return False
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            return ast.dump(one) == ast.dump(node) and module.name.startswith("tests") and self._alike(other, module, node)
        if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
            return False
        return ast.dump(one) == ast.dump(node) and self._alike(other, module, node)

    def _alike(self, one: Module, other: Module, node) -> bool:
        """Whether the names in a statement mean the same in both modules."""
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and each.id in (one.defs.keys() | other.defs.keys()):
                first = one.defs.get(each.id)
                second = other.defs.get(each.id)
                if first is None or second is None or ast.dump(first) != ast.dump(second):
                    return False
            elif isinstance(each, ast.Name):
                first, second = one.imports.get(each.id), other.imports.get(each.id)
                if first != second:
                    return False
        return True

    def _another(self, name: str, module: Module) -> str:
        base = module.base.removeprefix("test_")
        if name.isupper():
            return f"{name}_OF_{base.upper()}"
        if name[:1].isupper() or name[:2].strip("_")[:1].isupper():
            return f"{name}{base.title().replace('_', '')}"
        return f"{name}_of_{base}"

    def _name_imports(self, new: str) -> None:
        names = self.locals[new]
        taken = {local: identity for identity, local in names.items()}
        wishes: dict[tuple, list[str]] = {}
        used: dict[tuple, list] = defaultdict(list)  # the scopes in which one is referred to
        example: dict[tuple, tuple] = {}
        for part in self.parts[new]:
            module = part.module
            for local, identity in module.imports.items():
                identity = self.canonical(identity)
                if self.is_here(identity, new):
                    continue
                key = self.key(identity)
                example[key] = identity
                wishes.setdefault(key, []).insert(0, self.wish(local, identity))
                wishes[key].append(local)
            for ref in module.scopes.refs:
                if module.scopes.home(ref.name, ref.scope) is not module.scopes.module:
                    continue
                if ref.name in module.imports:
                    key = self.key(self.canonical(module.imports[ref.name]))
                elif ref.name in module.defs:  # what a split takes away comes back as an import
                    target, renamed = self.house.target(module.name, ref.name)
                    if target == new:
                        continue
                    key = ("def", module.name, ref.name)
                    example[key] = key
                    wishes.setdefault(key, []).append(renamed)
                else:
                    continue
                used[key].append((module, ref))
        wanted = table.LOCAL_NAMES.get(short(new), {})
        loops = {part.module: loop_names(part.module) for part in self.parts[new]}
        for key in sorted(wishes, key=lambda key: key[0] == "mod"):
            identity, locals_ = example[key], wishes[key]
            whole = f"{identity[1]}.{identity[2]}" if identity[0] == "ext" else locals_[-1]
            locals_ = [*([wanted[whole]] if whole in wanted else []), *locals_]
            locals_ += [self._alias(locals_[0], identity)]
            for local in dict.fromkeys(locals_):
                in_loops = any(
                    local in names_ and local not in m.imports for m, names_ in loops.items()
                )
                if local in taken or in_loops or any(hidden(m, r, local) for m, r in used[key]):
                    continue
                break
            else:
                wrong(f"{short(new)}: no name is left for {key}")
            if local != locals_[0]:
                report(f"{short(new)}: imports {identity[1:]} as {local}, as {locals_[0]} is taken")
            taken[local] = key
            names[key] = local
        # names that Python has of its own, and that another part now hides
        for part in self.parts[new]:
            for ref in part.module.scopes.refs:
                if ref.name in taken and part.module.scopes.home(ref.name, ref.scope) is None:
                    wrong(f"{short(new)}: {ref.name} of Python's, used in {part.module.name}, is hidden")

    def _alias(self, local: str, identity: tuple) -> str:
        if identity[0] == "mod":
            return "_".join(self.house.home[identity[1]].split(".")[-2:])
        base = (identity[1] or identity[2]).rpartition(".")[2]
        return f"{local}_{base.upper()}" if local.isupper() else f"{local}_{base}"

    def canonical(self, identity: tuple) -> tuple:
        return self.house.resolve(identity)

    def key(self, identity: tuple) -> tuple:
        """What two names have in common that mean the same in the new house."""
        if identity[0] == "mod":
            return ("mod", self.house.home[identity[1]])
        if identity[0] == "def" and identity[2] not in self.house.modules[identity[1]].defs:
            return ("def", *self.place(identity))
        return identity

    def called(self, new: str, identity: tuple, otherwise: str | None = None) -> str:
        """The local name in a new module."""
        names = self.locals[new]
        if otherwise is None:
            return names[self.key(identity)]
        return names.get(self.key(identity), otherwise)

    def is_here(self, identity: tuple, new: str) -> bool:
        if identity[0] == "def":
            return self.place(identity)[0] == new
        if identity[0] == "mod":
            return self.house.home[identity[1]] == new and new.startswith((PACKAGE, "tests"))
        return False

    def place(self, identity: tuple) -> tuple[str, str]:
        """New module and name of a definition; a package's own imports stay its names."""
        module = self.house.modules[identity[1]]
        if identity[2] in module.defs:
            return self.house.target(identity[1], identity[2])
        if module.is_package and identity[2] in module.imports:
            behind = module.imports[identity[2]]
            if behind[0] == "def" and behind[2] == identity[2]:
                return self.house.home[identity[1]], self.place(self.canonical(behind))[1]
        return self.house.home[identity[1]], identity[2]

    def wish(self, local: str, identity: tuple) -> str:
        if identity[0] == "mod":
            old_base = identity[1].rpartition(".")[2]
            new_base = self.house.home[identity[1]].rpartition(".")[2]
            return new_base if local == old_base else local
        if identity[0] == "def":
            return self.place(identity)[1] if local == identity[2] else local
        return local

    def attribute(self, module: str, name: str) -> tuple[str, str]:
        """New module and name behind ``module.name``, whatever the old module had it from."""
        old = self.house.modules[module]
        if name in old.defs:
            return self.house.target(module, name)
        new = self.house.home[module]
        if name in old.imports:
            identity = self.canonical(old.imports[name])
            if identity[0] == "def" and self.is_here(identity, new):
                return self.place(identity)
            if self.key(identity) in self.locals[new]:
                return new, self.called(new, identity)
        return new, name


def loop_names(module: Module) -> set[str]:
    """Names that a loop of a module binds: the linter wants no import of such a name."""
    return {
        name.id
        for node in ast.walk(module.tree)
        if isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension))
        for name in ast.walk(node.target)
        if isinstance(name, ast.Name)
    }


def hidden(module: Module, ref, local: str) -> bool:
    """Whether a global of this name could not be seen where ``ref`` stands."""
    if local == ref.name:
        return False
    for scope in ref.scope.chain():
        if scope is module.scopes.module:
            return False
        if local in scope.bound and local not in scope.outer:
            return True
    return False


def short(name: str) -> str:
    return name.removeprefix(f"{PACKAGE}.")


# --- writing --------------------------------------------------------------------------------


class Writer:
    def __init__(self, house: House, plan: Plan) -> None:
        self.house, self.plan = house, plan

    def path_of(self, new: str) -> Path:
        olds = self.house.parts[new]
        if any(self.house.modules[o].is_package for o in olds):
            return Path(*new.split("."), "__init__.py")
        return Path(*new.split(".")).with_suffix(".py")

    def written(self, new: str) -> str | None:
        """The text of a new module, or None where nothing changes."""
        parts = self.plan.parts[new]
        if len(parts) == 1 and parts[0].whole:
            return self._in_place(new, parts[0])
        return self._merged(new, parts)

    # imports as text

    def line_for(self, identity: tuple, local: str, new: str) -> str:
        match identity:
            case ("ext", None, name, has_alias):
                return f"import {name} as {local}" if has_alias and local != name else f"import {name}"
            case ("ext", source, name, _):
                return f"from {source} import {name}" + (f" as {local}" if local != name else "")
            case ("mod", module):
                target = self.house.home[module]
                source, _, base = target.rpartition(".")
                source = self.relative(source, new)
                return f"from {source} import {base}" + (f" as {local}" if local != base else "")
            case ("def", _, _):
                target, name = self.plan.place(identity)
                source = self.relative(target, new)
                return f"from {source} import {name}" + (f" as {local}" if local != name else "")
        raise AssertionError(identity)

    def relative(self, target: str, new: str) -> str:
        """Relative between neighbours among the tests, as they are today."""
        if not new.startswith("tests.") or not target.startswith("tests."):
            return target
        if not getattr(self, "uses_relative", False):
            return target
        folder = new.rpartition(".")[0]
        if target == folder:
            return "."
        if target.rpartition(".")[0] == folder:
            return f".{target.rpartition('.')[2]}"
        return target

    # the edits in one old module's text

    def edits(self, module: Module, new: str, statements: set) -> list[tuple[int, int, str]]:
        """Renamed names, flattened attributes and late imports in the statements given."""
        plan, found = self.plan, []
        names = plan.locals[new]
        tops = set(module.tree.body)
        owner: dict[ast.AST, ast.stmt] = {}
        for top in module.tree.body:
            for each in ast.walk(top):
                owner[each] = top
        parents = module.scopes.parents
        for ref in module.scopes.refs:
            if owner.get(ref.node) not in statements:
                continue
            home = module.scopes.home(ref.name, ref.scope)
            if home is None:
                continue
            identity, is_top = None, home is module.scopes.module
            if is_top and ref.name in module.imports:
                identity = plan.canonical(module.imports[ref.name])
            elif is_top and ref.name in module.defs:
                identity = ("def", module.name, ref.name)
            elif (home, ref.name) in module.local_imports:
                identity = plan.canonical(module.local_imports[home, ref.name])
            if identity is None:
                continue
            if identity[:3] == ("ext", None, PACKAGE):
                parent = parents.get(ref.node)
                ours = self.house.modules[PACKAGE]
                if isinstance(parent, ast.Attribute) and parent.attr in ours.imports:
                    _, attr = plan.place(("def", PACKAGE, parent.attr))
                    if attr != parent.attr:
                        found.append((*module.span(parent), f"{ref.name}.{attr}"))
                continue
            first, end = module.span(ref.node)
            if identity[0] == "mod":
                parent = parents.get(ref.node)
                if isinstance(parent, ast.Attribute) and parent.value is ref.node:
                    self._attribute(module, new, ref, identity, parent, is_top, found)
                    continue
                self._patched_name(module, ref, identity, parents, found, new)
                if plan.is_here(identity, new):
                    wrong(f"{module.name}:{ref.node.lineno}: {ref.name} as a whole, in {short(new)} itself")
                    continue
                local = plan.called(new, identity, ref.name) if is_top else ref.name
            elif identity[0] == "def":
                if plan.is_here(identity, new):
                    local = names.get(identity, plan.place(identity)[1])
                elif is_top:
                    local = plan.called(new, identity)
                else:
                    local = self._late_name(module, new, ref.name, identity)
            else:
                local = plan.called(new, identity) if is_top else ref.name
            if local != ref.name:
                self._check_capture(module, ref, local, new)
                found.append((first, end, local))
        for top in statements:
            for each in ast.walk(top):
                if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                    if each in tops or parents.get(each) in tops and not isinstance(
                        parents[each], (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
                    ):
                        local = names.get(("def", module.name, each.name), each.name)
                        if local != each.name:
                            line = module.at(each.lineno, 0)
                            text = module.source[line : module.starts[each.lineno]].decode()
                            column = re.search(rf"(?:def|class)\s+({each.name})\b", text)
                            first = line + len(text[: column.start(1)].encode())
                            found.append((first, first + len(each.name), local))
                elif isinstance(each, ast.Global):
                    for name in each.names:
                        local = names.get(("def", module.name, name), name)
                        if local != name:
                            first, end = module.span(each)
                            text = module.source[first:end].decode()
                            found.append((first, end, re.sub(rf"\b{name}\b", local, text)))
                elif isinstance(each, (ast.Import, ast.ImportFrom)) and each not in tops:
                    if not is_type_checking(parents.get(each)):
                        self._late(module, new, each, found)
        self._typevars(module, new, statements, found)
        self._fixtures(module, new, statements, found)
        self._doctests(module, new, statements, found)
        return found

    def _dropped(self, identity: tuple) -> bool:
        return identity[1:] in self.plan.dropped

    def _attribute(self, module, new, ref, identity, parent, is_top, found) -> None:
        plan = self.plan
        target, name = plan.attribute(identity[1], parent.attr)
        first, end = module.span(parent)
        if target == new:
            self._check_capture(module, ref, name, new)
            found.append((first, end, name))
            return
        home = self.house.home[identity[1]]
        if target != home:
            other = f"{module.name}: {ref.name}.{parent.attr} now lies in {target}"
            wrong(other)
            return
        local = plan.called(new, identity, ref.name) if is_top else ref.name
        if local != ref.name:
            self._check_capture(module, ref, local, new)
        wanted = f"{local}.{name}"
        if module.source[first:end].decode() != wanted:
            found.append((first, end, wanted))

    def _patched_name(self, module, ref, identity, parents, found, new) -> None:
        """``setattr(module, "name", …)`` and ``patch.object(module, "name", …)``."""
        call = parents.get(ref.node)
        if not isinstance(call, ast.Call) or len(call.args) < 2 or call.args[0] is not ref.node:
            return
        named = call.args[1]
        if not isinstance(named, ast.Constant) or not isinstance(named.value, str):
            if ast.unparse(call.func).endswith(("setattr", "object")):
                report(f"look at {module.name}:{call.lineno}: {ast.unparse(call)[:70]}")
            return
        target, name = self.plan.attribute(identity[1], named.value)
        if target != self.house.home[identity[1]]:
            wrong(f"{module.name}:{call.lineno}: {named.value} now lies in {target}")
        if name != named.value:
            first, end = module.span(named)
            found.append((first, end, f'"{name}"'))

    def _check_capture(self, module, ref, local, new) -> None:
        if hidden(module, ref, local):
            wrong(f"{module.name}:{ref.node.lineno}: {local} (was {ref.name}) is a local name there")

    def _late_name(self, module, new, local: str, identity: tuple) -> str:
        """The local name of what a function imports: a renamed thing's own, where it is free."""
        if local != identity[2]:
            return local
        name = self.plan.place(identity)[1]
        if name == local:
            return local
        wanted = table.LOCAL_NAMES.get(short(new), {}).get(local)
        if wanted:
            return wanted
        taken = set(module.defs) | set(module.imports)
        if name in taken or any(
            name in scope.bound for _, scope in module.scopes.functions
        ):
            return local
        return name

    def _late(self, module, new, node, found) -> None:
        """Imports inside a function, a run of them at once: from the new place, or away with them."""
        body = next(
            block
            for _, block in ast.iter_fields(module.scopes.parents[node])
            if isinstance(block, list) and node in block
        )
        place = body.index(node)
        if place and isinstance(body[place - 1], (ast.Import, ast.ImportFrom)):
            return  # done with the first of the run
        run = []
        for each in body[place:]:
            if not isinstance(each, (ast.Import, ast.ImportFrom)):
                break
            run.append(each)
        lines: dict[str, list[str]] = {}
        noqas: dict[str, str] = {}
        is_changed = False
        for each in run:
            first, end = module.span(each)
            whole = module.source[first : module.starts[each.end_lineno] - 1].decode()
            noqa = re.search(r"  # .*$", whole.split("\n")[0] if "(" in whole.split("#")[0] else whole)
            for local, identity in self.house.identities(module, each):
                if identity[0] == "ext":
                    line = self.line_for(identity, local, new)
                else:
                    identity = self.plan.canonical(identity)
                    if self.plan.is_here(identity, new):
                        is_changed = True
                        continue
                    if identity[0] == "def":
                        local = self._late_name(module, new, local, identity)
                    line = self.line_for(identity, local, new)
                source, _, what = line.partition(" import ")
                before = ast.unparse(each).partition(" import ")[0]
                is_changed |= before != source or flat(what) not in flat(ast.unparse(each))
                if " as " in what:  # on a line of its own, as the linter wants it
                    source, what = f"{source} import {what}", ""
                lines.setdefault(source, [])
                if what:
                    lines[source].append(what)
                if noqa and len(noqa.group()) > len(noqas.get(source, "")):
                    noqas[source] = noqa.group()
        if not is_changed:
            return
        indent = " " * node.col_offset
        new_lines = [
            (f"{source} import {', '.join(what)}" if what else source) + noqas.get(source, "")
            for source, what in lines.items()
        ]
        first, end = module.starts[node.lineno - 1], module.starts[run[-1].end_lineno]
        found.append((first, end, "".join(f"{indent}{line}\n" for line in new_lines)))

    def _typevars(self, module, new, statements, found) -> None:
        for top in statements:
            if isinstance(top, ast.Assign) and isinstance(top.value, ast.Call):
                if ast.unparse(top.value.func) in ("TypeVar", "ParamSpec") and top.value.args:
                    name = top.targets[0].id
                    local = self.plan.locals[new].get(("def", module.name, name), name)
                    if local != name:
                        first, end = module.span(top.value.args[0])
                        found.append((first, end, f'"{local}"'))

    def _fixtures(self, module, new, statements, found) -> None:
        """A fixture that is renamed is renamed as an argument too."""
        if not new.startswith("tests"):
            return
        renamed = {}
        for name, node in module.defs.items():
            local = self.plan.locals[new].get(("def", module.name, name), name)
            if local != name and is_fixture(node):
                renamed[name] = local
        if not renamed:
            return
        for node, scope in module.scopes.functions:
            if isinstance(node, ast.Lambda) or not (is_fixture(node) or node.name.startswith("test")):
                continue
            given = parametrized(node)
            for arg in [*node.args.args, *node.args.kwonlyargs]:
                if arg.arg in renamed and arg.arg not in given:
                    first = module.at(arg.lineno, arg.col_offset)
                    found.append((first, first + len(arg.arg), renamed[arg.arg]))
                    for ref in module.scopes.refs:
                        if ref.name == arg.arg and module.scopes.home(ref.name, ref.scope) is scope:
                            found.append((*module.span(ref.node), renamed[arg.arg]))
            for decorator in node.decorator_list:
                if "usefixtures" in ast.unparse(decorator):
                    for each in ast.walk(decorator):
                        if isinstance(each, ast.Constant) and each.value in renamed:
                            found.append((*module.span(each), f'"{renamed[each.value]}"'))

    def _doctests(self, module, new, statements, found) -> None:
        """Names in the lines of doctests, which are looked up in the module."""
        changed = {}
        for identity, local in self.plan.locals[new].items():
            if identity[0] == "def" and identity[1] == module.name and identity[2] != local:
                changed[identity[2]] = local
        for local, identity in module.imports.items():
            identity = self.plan.canonical(identity)
            now = self.plan.called(new, identity, local)
            if now != local:
                changed[local] = now
        if not changed:
            return
        for top in statements:
            for each in ast.walk(top):
                if is_docstring(each) and ">>>" in each.value.value:
                    first, end = module.span(each)
                    lines = module.source[first:end].decode().split("\n")
                    for index, line in enumerate(lines):
                        if re.match(r'\s*(?:"""|r""")?\s*(>>>|\.\.\.) ', line):
                            for name, local in changed.items():
                                line = re.sub(rf"(?<![\w.\"']){name}\b(?!\s*=[^=])", local, line)
                            lines[index] = line
                    text = "\n".join(lines)
                    if text != module.source[first:end].decode():
                        found.append((first, end, text))

    # whole files

    def _in_place(self, new: str, part: Part) -> str | None:
        module = part.module
        self.uses_relative = any(
            isinstance(n, ast.ImportFrom) and n.level for n in ast.walk(module.tree)
        )
        found = self.edits(module, new, set(part.statements))
        for node in module.tree.body:
            for each in node.body if is_type_checking(node) else [node]:
                if isinstance(each, (ast.Import, ast.ImportFrom)) and not is_future(each):
                    self._top_import(module, new, each, found)
        if module.name == PACKAGE:
            found += self._homes(module)
        return apply(module, found)

    def _top_import(self, module, new, node, found) -> None:
        identities = list(self.house.identities(module, node))
        if all(i[0] == "ext" and self.plan.called(new, i, local) == local for local, i in identities):
            return
        lines = []
        for local, identity in identities:
            identity = self.plan.canonical(identity)
            if self.plan.is_here(identity, new):
                continue
            local = self.plan.called(new, identity, local)
            lines.append(self.line_for(identity, local, new))
        first, end = module.span(node)
        indent = " " * node.col_offset
        text = f"\n{indent}".join(dict.fromkeys(lines))
        now = module.source[first:end].decode()
        if flat(now) != flat(text):
            found.append((first, end, text))

    def _homes(self, module: Module) -> list[tuple[int, int, str]]:
        found = []
        if not table.MODULES:
            return found
        node = module.defs["_HOMES"]
        for key, value in zip(node.value.keys, node.value.values, strict=True):
            target, name = self.house.target(full_name(value.value), key.value)
            if name != key.value:
                wrong(f"_HOMES: {key.value} is renamed")
            found.append((*module.span(value), f'"{short(target)}"'))
        return found

    def _merged(self, new: str, parts: list[Part]) -> str:
        self.uses_relative = any(
            isinstance(n, ast.ImportFrom) and n.level
            for part in parts
            for n in ast.walk(part.module.tree)
        )
        order = self.house.parts[new]
        main = self.house.modules[order[0]]
        texts, runtime, typing = [], {}, {}
        for part in parts:
            if new.startswith("tests") and b"autouse=True" in part.module.source:
                report(f"{new}: a fixture of {part.module.name} is used by all its tests now")
        for part in parts:
            module = part.module
            body = [
                n
                for n in part.statements
                if not isinstance(n, (ast.Import, ast.ImportFrom)) and not is_type_checking(n)
            ]
            if module.tree.body and body and body[0] is module.tree.body[0] and is_docstring(body[0]):
                body = body[1:]
            kept, docs_of_dropped = [], False
            for node in body:
                names = bound_by(node)
                if names and all((module.name, n) in self.plan.dropped for n in names):
                    docs_of_dropped = True
                    continue
                if docs_of_dropped and is_docstring(node):
                    continue
                docs_of_dropped = False
                kept.append(node)
            is_home = self.house.home[module.name] == new
            self._gather(part, new, set(kept), is_home, runtime, typing)
            found = self.edits(module, new, set(kept))
            if module.name == PACKAGE:
                found += self._homes(module)
            texts.append((module, self._cut(module, kept, found, is_home), is_home))
        return self._assembled(new, main, texts, runtime, typing)

    def _gather(self, part, new, kept, is_home, runtime, typing) -> None:
        module, names = part.module, self.plan.locals[new]
        used = set()
        for node in module.tree.body if part.whole else ():
            if isinstance(node, ast.Import):  # several may bind one name: urllib.error, urllib.request
                for alias in node.names:
                    if "." in alias.name and not alias.asname:
                        runtime["ext", None, alias.name, False] = f"import {alias.name}"
        for top in kept:
            for each in ast.walk(top):
                if isinstance(each, ast.Name):
                    used.add(each.id)
                elif is_docstring(each) and ">>>" in each.value.value:
                    used |= set(re.findall(r"\w+", each.value.value))
        for local, identity in module.imports.items():
            if (not part.whole or not is_home) and local not in used:
                continue
            identity = self.plan.canonical(identity)
            if self.plan.is_here(identity, new):
                continue
            (typing if local in module.typing_only else runtime)[self.plan.key(identity)] = (
                self.line_for(identity, self.plan.called(new, identity), new)
            )
        for top in kept:
            for each in ast.walk(top):
                if isinstance(each, ast.Name) and each.id in module.defs:
                    identity = ("def", module.name, each.id)
                    if not self.plan.is_here(identity, new) and identity in names:
                        runtime[identity] = self.line_for(identity, names[identity], new)

    def _cut(self, module: Module, kept: list, found: list, is_home: bool) -> str:
        """The text of the statements kept, with the comments that stand before each."""
        spans, previous = [], 0
        for node in module.tree.body:
            first, end = module.line_span(node)
            if node in kept:
                spans.append((previous, end))
            previous = end
        if is_home and spans and spans[-1][1] >= previous:
            spans[-1] = (spans[-1][0], len(module.source))
        pieces = []
        for first, end in spans:
            inside = [e for e in found if first <= e[0] and e[1] <= end]
            pieces.append(changed_text(module.source, inside, first, end))
        return "".join(pieces).strip("\n")

    def _assembled(self, new, main, texts, runtime, typing) -> str:
        head = []
        doc = ast.get_docstring(main.tree, clean=False)
        said = table.DOCS.get(short(new)) if len(self.house.parts[new]) > 1 else None
        if said:
            head.append('"""' + re.sub(r"(?m)^    ", "", said) + '"""')
        elif doc is not None:
            head.append(main.text(main.tree.body[0]))
        future = any(is_future(n) for m, _, _ in texts for n in m.tree.body)
        if future:
            head.append("from __future__ import annotations")
        lines = list(runtime.values())
        if lines:
            head.append("\n".join(dict.fromkeys(lines)))
        typing = {i: line for i, line in typing.items() if i not in runtime}
        if typing:
            inner = [f"    {line}" for line in typing.values()]
            head.append("if TYPE_CHECKING:\n" + "\n".join(dict.fromkeys(inner)))
        pieces = []
        said_already = bool(said)
        for module, text, is_home in texts:
            if not text:
                continue
            other = ast.get_docstring(module.tree)
            if (module is not main or said_already) and is_home and other and not new.startswith("tests"):
                said = as_comment(other)
                text = f"{said}\n\n{text}"
            pieces.append(text)
        return "\n\n".join(head) + "\n\n\n" + "\n\n\n".join(pieces) + "\n"


def as_comment(text: str) -> str:
    import textwrap

    paragraphs = []
    for paragraph in text.split("\n\n"):
        lines = paragraph.split("\n")
        if max(map(len, lines)) > 97:
            lines = textwrap.wrap(" ".join(lines), 97, break_long_words=False)
        paragraphs.append("\n".join(f"# {line}".rstrip() for line in lines))
    return "\n#\n".join(paragraphs)


def is_fixture(node) -> bool:
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and any(
        "fixture" in ast.unparse(d) for d in node.decorator_list
    )


def parametrized(node) -> set[str]:
    found = set()
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and "parametrize" in ast.unparse(decorator.func):
            first = decorator.args[0]
            for each in ast.walk(first):
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    found |= {n.strip() for n in each.value.split(",")}
    return found


def flat(text: str) -> str:
    return re.sub(r"[\s(),]+", " ", text).strip()


def changed_text(source: bytes, found: list, first: int, end: int) -> str:
    out, at = [], first
    last = None
    for start, stop, text in sorted(set(found)):
        if start < at:
            if last and (start, stop) == last[:2] and text == last[2]:
                continue
            wrong(f"edits overlap: {source[start:stop]!r} {text!r}")
            continue
        out.append(source[at:start].decode())
        out.append(text)
        at = stop
        last = (start, stop, text)
    out.append(source[at:end].decode())
    return "".join(out)


def apply(module: Module, found: list) -> str | None:
    if not found:
        return None
    return changed_text(module.source, found, 0, len(module.source))


# --- names of modules in strings, comments and documents --------------------------------------


class Words:
    """Old names of modules in text: dotted, and as paths."""

    def __init__(self, house: House, plan: Plan) -> None:
        self.house, self.plan = house, plan
        self.moved = {o: n for o, n in house.home.items() if o != n}

    def dotted(self, match: re.Match) -> str:
        name = match.group()
        parts = name.split(".")
        for length in range(len(parts), 1, -1):
            module = ".".join(parts[:length])
            if module in self.house.modules and module in self.house.home:
                rest = parts[length:]
                if self.house.modules[module].is_package:
                    if rest and rest[0] in self.house.modules[module].imports:
                        _, attr = self.plan.place(("def", module, rest[0]))
                        return ".".join([module, attr, *rest[1:]])
                    if length == len(parts) and "(gone)" not in self.house.home[module]:
                        return self.house.home[module]
                    return name
                if rest:
                    target, attr = self.plan.attribute(module, rest[0])
                    return ".".join([target, attr, *rest[1:]])
                return self.house.home[module]
        return name

    def in_code(self, text: str) -> str:
        """Text of a string or comment."""
        text = re.sub(
            rf"from ({PACKAGE}[\w.]*) import (\w+)(?! as)", self._imported, text
        )
        text = re.sub(rf"\b{PACKAGE}(?:\.[a-z_]\w*)+(?:\.\w+)*", self.dotted, text)
        return re.sub(r"(?<=``)[a-z_]+(?:\.\w+)+(?=``)", self._short, text)

    def _short(self, match: re.Match) -> str:
        """A module or a name in one, as docstrings say it: without the package."""
        name = f"{PACKAGE}.{match.group()}"
        parts = name.split(".")
        for length in range(len(parts), 1, -1):
            module = self.house.modules.get(".".join(parts[:length]))
            if module and not module.is_package:
                rest = parts[length:]
                if rest and rest[0] not in module.defs or not rest and length == 2:
                    return match.group()
                if not rest:
                    return short(self.house.home[module.name])
                target, attr = self.plan.attribute(module.name, rest[0])
                return short(".".join([target, attr, *rest[1:]]))
        return match.group()

    def _imported(self, match: re.Match) -> str:
        source, name = match.groups()
        if f"{source}.{name}" in self.house.modules:
            target = self.house.home[f"{source}.{name}"]
            folder, _, base = target.rpartition(".")
            return f"from {folder} import {base}" + (f" as {name}" if base != name else "")
        if source in self.house.modules and source != PACKAGE:
            target, new = self.plan.attribute(source, name)
            return f"from {target} import {new}" + (f" as {name}" if new != name else "")
        return match.group()

    def paths(self, text: str) -> str:
        def path(match: re.Match) -> str:
            full = match.group()
            name = full.removesuffix(".py").replace("/", ".")
            for prefix in ("", f"{PACKAGE}."):
                old = f"{prefix}{name}"
                if old in self.moved and (old.startswith(PACKAGE) or old.startswith("tests.unit")):
                    new = self.moved[old]
                    if new == PACKAGE:
                        return f"{PACKAGE}/__init__.py" if not prefix else "__init__.py"
                    return new.removeprefix(prefix).replace(".", "/") + ".py"
            return full

        return re.sub(r"(?<![\w/.])(?:[a-z_]\w*/)*[a-z_]\w*\.py\b", path, text)


def in_strings(words: Words, text: str) -> str:
    """The text of a Python file with old names in its strings and comments rewritten."""
    import io
    import tokenize

    if PACKAGE not in text and ".py" not in text:
        return text
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    kinds = {tokenize.STRING, tokenize.COMMENT, tokenize.FSTRING_MIDDLE}
    found = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds:
            first = starts[token.start[0] - 1] + token.start[1]
            end = starts[token.end[0] - 1] + token.end[1]
            old = text[first:end]
            new = words.in_code(old)
            if new != old:
                found.append((first, end, new))
    for first, end, new in reversed(found):
        text = text[:first] + new + text[end:]
    return text


# --- all of it --------------------------------------------------------------------------------


def main() -> None:
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    root = Path(arguments[0]).resolve()
    house = House(root)
    plan = Plan(house)
    writer = Writer(house, plan)
    words = Words(house, plan)
    texts: dict[Path, str] = {}
    gone: list[Path] = []
    for new in house.parts:
        if "(gone)" in new:
            gone += [house.modules[o].path for o in house.parts[new]]
            continue
        text = writer.written(new)
        if text is None:
            text = house.modules[house.parts[new][0]].source.decode()
        texts[writer.path_of(new)] = in_strings(words, text)
        gone += [house.modules[o].path for o in house.parts[new]]
    if "--plan" in sys.argv:
        tell(texts, house)
        return
    if ERRORS:
        tell(texts, house)
        sys.exit("nothing was written")
    for old, new in other_files(house).items():
        data = (root / old).read_bytes()
        gone.append(old)
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / new).write_bytes(data)
    for path in gone:
        (root / path).unlink(missing_ok=True)
    for old, new in other_files(house).items():
        if old == new:
            raise SystemExit(f"{old} stays")
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")
    packages(root)
    for path in house.files:
        if path.suffix in (".md", ".toml") or path.name in ("Makefile",):
            if (root / path).exists():
                old = (root / path).read_text("utf-8")
                new = words.paths(words.in_code(old))
                if new != old:
                    (root / path).write_text(new, "utf-8")
    patches.apply(root, report, wrong)
    empty_folders(root)
    ruff = root / ".venv/bin/ruff"
    for command in (
        ["check", "--select", "I001", "--fix", "--quiet", "."],
        ["format", "--quiet", "."],
        ["check", "--select", "I001", "--fix", "--quiet", "."],
    ):
        subprocess.run([str(ruff), *command], cwd=root, check=False)
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    tell(texts, house)


def other_files(house: House) -> dict[Path, Path]:
    """Files beside modules that go with their folder."""
    found = {}
    for path in house.files:
        if path.parts[0] == PACKAGE and path.suffix != ".py" and len(path.parts) > 2:
            folder = table.FOLDERS.get(path.parts[1])
            if folder:
                found[path] = Path(PACKAGE, folder, *path.parts[2:])
    return found


def packages(root: Path) -> None:
    """An __init__.py in every folder of the package, and where tests have helpers."""
    for folder in {p.parent for p in (root / PACKAGE).rglob("*.py")}:
        (folder / "__init__.py").touch()
    for folder in {p.parent for p in (root / "tests/unit").rglob("*.py")} - {root / "tests/unit"}:
        helpers = [p for p in folder.glob("*.py") if not p.name.startswith(("test_", "__", "conftest"))]
        relative = any("from ." in p.read_text("utf-8") for p in folder.glob("*.py"))
        if helpers or relative:
            (folder / "__init__.py").touch()


def empty_folders(root: Path) -> None:
    for top in (PACKAGE, "tests"):
        for folder in sorted((root / top).rglob("*"), reverse=True):
            if folder.is_dir() and folder.name != "__pycache__":
                inner = [p for p in folder.iterdir() if p.name != "__pycache__"]
                if not inner or [p.name for p in inner] == ["__init__.py"] and not (
                    folder / "__init__.py"
                ).read_text():
                    import shutil

                    shutil.rmtree(folder)


def graph_of(texts: dict[Path, str]) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    names = {}
    for path in texts:
        if path.parts[0] == PACKAGE:
            parts = path.with_suffix("").parts
            names[path] = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    known = set(names.values())
    top, every = defaultdict(set), defaultdict(set)
    for path, name in names.items():
        tree = ast.parse(texts[path])
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGE):
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    target = full if full in known else node.module
                    if target != name:
                        every[name].add(target)
                        if node in tree.body:
                            top[name].add(target)
    return top, every


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    index, low, stack, on, out, counter = {}, {}, [], set(), [], [0]

    def visit(v):
        index[v] = low[v] = counter[0]
        counter[0] += 1
        stack.append(v)
        on.add(v)
        for w in sorted(graph.get(v, ())):
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in on:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            found = []
            while True:
                w = stack.pop()
                on.discard(w)
                found.append(w)
                if w == v:
                    break
            if len(found) > 1:
                out.append(sorted(found))

    sys.setrecursionlimit(10000)
    for v in sorted(graph):
        if v not in index:
            visit(v)
    return out


def depth_of(graph: dict[str, set[str]]) -> int:
    from functools import cache

    @cache
    def depth(v: str) -> int:
        return 1 + max((depth(w) for w in graph.get(v, ())), default=0)

    return max(depth(v) for v in graph)


def room(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def tell(texts: dict[Path, str], house: House) -> None:
    top, every = graph_of(texts)
    rooms = defaultdict(set)
    because = defaultdict(set)
    for name, targets in every.items():
        if name in (PACKAGE,):
            continue
        for target in targets:
            if target != PACKAGE and room(target) != room(name):
                rooms[room(name)].add(room(target))
                because[room(name), room(target)].add(f"{short(name)} → {short(target)}")
    for text in sorted(REPORT):
        print(text)
    before = {m.path: m.source.decode() for n, m in house.modules.items() if n.startswith(PACKAGE)}
    old_top, old_every = graph_of(before)
    for what, these, graph in (("before", before, old_every), ("now", {p: t for p, t in texts.items() if p.parts[0] == PACKAGE}, every)):
        lines = sum(t.count("\n") for t in these.values())
        full = sum(1 for p, t in these.items() if t.strip())
        g = {k: {t for t in v if t != PACKAGE} for k, v in graph.items() if k != PACKAGE}
        depth = depth_of(g) if not circles(g) else "-"
        print(f"{what}: {lines} lines, {full} modules with content, depth {depth}, "
              f"{sum(map(len, g.values()))} imports between modules, circles {circles(g)}")
    print("rooms:", len({room(n) for n in every} - {"__init__"}), "arrows:", sum(map(len, rooms.values())))
    for each in circles(rooms):
        print("CIRCLE of rooms:", each)
        for (a, b), why in sorted(because.items()):
            if a in each and b in each:
                print("   ", a, "→", b, sorted(why)[:6])
    for path, text in sorted(texts.items()):
        count = text.count("\n")
        if path.parts[0] == PACKAGE and count > 420:
            print("long:", path, count)
    for text in ERRORS:
        print("ERROR:", text)


if __name__ == "__main__":
    main()
