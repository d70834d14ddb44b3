"""A notebook's parameters: one model a notebook, whichever way the values came.

They come from the notebook's own cell, from a YAML file, from `ltkit run -p`, or from plain papermill, which injects
unknown names with no more than a warning. All are checked here, and a wrong one is one line with the nearest name.
"""

from __future__ import annotations

import ast
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from annotated_types import MinLen
from pydantic.fields import FieldInfo

from .errors import UserError, nearest, one_line, shown
from .spec import Value

LONGEST = 100_000  # bytes of a parameter file; those that come with ltkit have 2,000


class Parameters(Value):
    """The base of a notebook's parameter model: frozen; no unknown key, empty grid, double seed or yes for a number.

    A list that may well be empty says so: `Annotated[tuple[str, ...], Field(min_length=0)]`.
    """

    @classmethod
    def check(cls, values: Mapping[str, Any], where: str) -> Self:
        """The validated parameters; raises `UserError` with one line that begins with `where`."""
        for key, value in values.items():
            field = cls.model_fields.get(key)
            if field is None:
                continue  # pydantic refuses it below, with all else that is wrong
            if isinstance(value, (list, tuple)) and not value and not _may_be_empty(field):
                raise UserError(f"{where}: {key}: an empty grid; give at least one value")
            if _holds_bool(value) and bool not in _leaves(field.annotation):
                raise UserError(f"{where}: {key}: {shown(value)} is a yes or no where a number or a word is wanted")
        try:
            found = cls(**values)
        except UserError as error:
            raise UserError(f"{where}: {one_line(str(error).removeprefix(cls.__name__ + ': '))}") from None
        seeds = getattr(found, "seeds", ())
        if isinstance(seeds, tuple) and len(set(seeds)) < len(seeds):
            raise UserError(f"{where}: seeds: {shown(list(seeds))} names a seed twice, and would count it as two")
        return found

    @classmethod
    def here(cls, namespace: Mapping[str, Any]) -> Self:
        """The parameters of the notebook whose `globals()` are given.

        Each field must be a global by now, and the last cell that begins with `# Parameters`, as the one that papermill
        injects does, may assign nothing else. From here on a `UserError` shows as one line, not as a traceback.
        """
        _show_errors_as_one_line()
        known = list(cls.model_fields)
        faults = [f"unknown name '{n}'{nearest(n, known)}" for n in _injected(namespace) if n not in known]
        faults += [f"'{name}' is missing" for name in known if name not in namespace]
        if faults:
            raise UserError("parameters: " + "; ".join(faults))
        return cls.check({n: _listed(namespace[n], field) for n, field in cls.model_fields.items()}, "parameters")


def _listed(value: Any, field: FieldInfo) -> Any:
    """The list that a text stands for where a list is wanted: papermill's own `-p` knows numbers and words only."""
    if not isinstance(value, str) or typing.get_origin(field.annotation) is not tuple:
        return value
    try:
        found = parse(value, "")
    except UserError:
        return value
    return found if isinstance(found, list) else value


def _may_be_empty(field: FieldInfo) -> bool:
    return field.default in ([], ()) or MinLen(0) in field.metadata


def _holds_bool(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_holds_bool(item) for item in value)
    return isinstance(value, bool)


def _leaves(annotation: Any) -> set[Any]:
    inner = typing.get_args(annotation)
    return {annotation}.union(*(_leaves(item) for item in inner))


def _injected(namespace: Mapping[str, Any]) -> list[str]:
    """The names that the last cell with papermill's mark assigns; none in a notebook that papermill didn't start."""
    marked = [cell for cell in namespace.get("In", []) if cell.lstrip().startswith("# Parameters")]
    try:
        return list(assigned(marked[-1])) if marked else []
    except SyntaxError:
        return []  # the cell itself has failed already


def assigned(source: str) -> dict[str, ast.expr]:
    """The names that a cell assigns at its top level, with the expressions; annotated or not."""
    found: dict[str, ast.expr] = {}
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign):
            found |= {t.id: statement.value for t in statement.targets if isinstance(t, ast.Name)}
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            found[statement.target.id] = statement.value
    return found


def _show_errors_as_one_line() -> None:
    try:
        shell = get_ipython()  # type: ignore[name-defined]
    except NameError:
        return

    def show(shell: Any, kind: type[BaseException], error: BaseException, trace: Any, tb_offset: Any = None) -> None:
        # The kernel's own way to publish an error: papermill and nbval still see a failed cell.
        shell._showtraceback(kind, error, [f"ltkit: {error}"])

    shell.set_custom_exc((UserError,), show)


# Reading a YAML file


class _Strict(yaml.SafeLoader):
    """YAML without double keys, and without anchors and aliases, which can grow a small file beyond any memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if getattr(event, "anchor", None) is not None:
            problem = "anchors and aliases (& and *) are not allowed"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise yaml.MarkedYAMLError(problem=f"'{key.value}' is there twice", problem_mark=key.start_mark)
            seen.add((key.tag, key.value))
        return dict(super().construct_mapping(node, deep))


def parse(text: str | bytes, where: str) -> Any:
    """The value of a YAML text; raises `UserError` with one line that says where it is wrong."""
    try:
        return yaml.load(text, Loader=_Strict)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"{where}{place}: {one_line(error.problem or 'not YAML')}") from None
    except Exception as error:  # its constructors raise whatever they stumble over: `!!timestamp x`, `!!int ""`
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{where}: not a readable YAML file ({one_line(line)})") from None


def read(path: str | Path) -> dict[str, Any]:
    """The keys and values of a parameter file, unchecked; raises `UserError` for anything but a plain mapping."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(LONGEST + 1)
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or 'not readable').lower()}") from None
    if len(text) > LONGEST:
        raise UserError(f"{path}: more than {LONGEST:,} bytes are no parameter file")
    values = parse(text, str(path))
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"{path}: a mapping of parameter names to values is wanted, like `epochs: 30`")
    return values


Model = TypeVar("Model", bound=Parameters)


def load(path: str | Path, model: type[Model]) -> Model:
    """The validated parameters of a YAML file."""
    return model.check(read(path), str(path))
