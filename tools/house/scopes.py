"""Which name means what: scopes of one module, found in its syntax tree (Python 3.12 or newer)."""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass, field

BUILTINS = set(dir(builtins)) | {"__file__", "__name__", "__doc__", "__path__"}


@dataclass(eq=False)
class Scope:
    kind: str  # module, function, class
    parent: Scope | None
    node: ast.AST
    bound: set[str] = field(default_factory=set)
    outer: set[str] = field(default_factory=set)  # named by global
    nonlocals: set[str] = field(default_factory=set)

    def chain(self):
        scope = self
        while scope:
            yield scope
            scope = scope.parent


@dataclass(eq=False)
class Ref:
    name: str
    node: ast.AST
    scope: Scope


def own(body):
    """The nodes below these that belong to no function further in."""
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)


class Scopes(ast.NodeVisitor):
    """``refs`` are all Name nodes; ``home(ref)`` the scope that binds one, None for builtins."""

    def __init__(self, tree: ast.Module) -> None:
        self.module = Scope("module", None, tree)
        self.refs: list[Ref] = []
        self.imports: list[tuple[ast.stmt, Scope]] = []
        self.scope = self.module
        self.functions: list[tuple[ast.AST, Scope]] = []
        self.parents: dict[ast.AST, ast.AST] = {}
        for node in ast.walk(tree):
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node
        for statement in tree.body:
            self.visit(statement)

    def home(self, name: str, scope: Scope) -> Scope | None:
        first = True
        for each in scope.chain():
            if each.kind == "class" and not first:
                continue
            first = False
            if name in each.outer:
                return self.module
            if name in each.nonlocals:
                continue
            if name in each.bound:
                return each
        return None

    def bind(self, name: str) -> None:
        scope = self.scope
        if name in scope.outer:
            self.module.bound.add(name)
        elif name not in scope.nonlocals:
            scope.bound.add(name)

    def visit_Name(self, node):
        if not isinstance(node.ctx, ast.Load):
            self.bind(node.id)
        self.refs.append(Ref(node.id, node, self.scope))

    def visit_Global(self, node):
        self.scope.outer |= set(node.names)

    def visit_Nonlocal(self, node):
        self.scope.nonlocals |= set(node.names)

    def visit_Import(self, node):
        for alias in node.names:
            self.bind(alias.asname or alias.name.split(".")[0])
        self.imports.append((node, self.scope))

    def visit_ImportFrom(self, node):
        for alias in node.names:
            self.bind(alias.asname or alias.name)
        self.imports.append((node, self.scope))

    def visit_ExceptHandler(self, node):
        if node.name:
            self.bind(node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node):
        if node.name:
            self.bind(node.name)
        self.generic_visit(node)

    def visit_MatchStar(self, node):
        if node.name:
            self.bind(node.name)

    def visit_MatchMapping(self, node):
        if node.rest:
            self.bind(node.rest)
        self.generic_visit(node)

    def visit_NamedExpr(self, node):
        self.visit(node.value)
        scope = self.scope
        while scope.kind == "comprehension":
            scope = scope.parent
        scope.bound.add(node.target.id)
        self.refs.append(Ref(node.target.id, node.target, self.scope))

    def _function(self, node, body):
        args = node.args
        for default in [*args.defaults, *args.kw_defaults]:
            if default:
                self.visit(default)
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs]
        every += [a for a in (args.vararg, args.kwarg) if a]
        for arg in every:
            if arg.annotation:
                self.visit(arg.annotation)
        if getattr(node, "returns", None):
            self.visit(node.returns)
        outer = self.scope
        self.scope = Scope("function", outer, node, {a.arg for a in every})
        self.functions.append((node, self.scope))
        # global and nonlocal first, wherever they stand
        for inner in own(body):
            if isinstance(inner, ast.Global):
                self.scope.outer |= set(inner.names)
            elif isinstance(inner, ast.Nonlocal):
                self.scope.nonlocals |= set(inner.names)
        for each in body:
            self.visit(each)
        self.scope = outer

    def visit_FunctionDef(self, node):
        self.bind(node.name)
        for each in node.decorator_list:
            self.visit(each)
        self._function(node, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node):
        self._function(node, [node.body])

    def visit_ClassDef(self, node):
        self.bind(node.name)
        for each in [*node.decorator_list, *node.bases, *(k.value for k in node.keywords)]:
            self.visit(each)
        outer = self.scope
        self.scope = Scope("class", outer, node)
        for each in node.body:
            self.visit(each)
        self.scope = outer

    def _comprehension(self, node, results):
        first = node.generators[0]
        self.visit(first.iter)
        outer = self.scope
        self.scope = Scope("comprehension", outer, node)
        for index, generator in enumerate(node.generators):
            self.visit(generator.target)
            if index:
                self.visit(generator.iter)
            for each in generator.ifs:
                self.visit(each)
        for each in results:
            self.visit(each)
        self.scope = outer

    def visit_ListComp(self, node):
        self._comprehension(node, [node.elt])

    visit_SetComp = visit_GeneratorExp = visit_ListComp

    def visit_DictComp(self, node):
        self._comprehension(node, [node.key, node.value])
