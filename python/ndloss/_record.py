"""Records with fields and defaults, as dataclasses are.

Those compile a constructor and more for each class at `import ndloss`, and there are a dozen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform() -> Any:
        return lambda decorated: decorated


@dataclass_transform()
class Record:
    """The annotations of a class are its fields, in order; a value in the class is a default, and is not to be changed in place.

    `__post_init__` runs once the fields are set, and annotates what it computes from them itself.
    """

    _fields: Any = ()
    _names: Any = ()
    _required: Any = ()  # come first

    def __init_subclass__(cls) -> None:
        cls._fields = tuple(cls.__annotations__)
        cls._names = frozenset(cls._fields)
        cls._required = tuple(name for name in cls._fields if not hasattr(cls, name))

    def __init__(self, *values: Any, **named: Any) -> None:
        state = self.__dict__
        state.update(zip(self._fields, values))  # noqa: B905  # what is too much is refused below
        state.update(named)
        complete = len(values) >= len(self._required) or all(name in state for name in self._required)
        known = len(state) == len(values) + len(named) and (not named or named.keys() <= self._names)
        if not complete or not known:
            fields = ", ".join(self._fields)
            raise TypeError(f"{type(self).__name__}({fields}) got {len(values)} values and {sorted(named)}")
        self.__post_init__()

    def __post_init__(self) -> None:
        """For what follows from the fields."""

    def changed(self, **fields: Any) -> Self:
        """A record with other values in these fields."""
        return type(self)(**{**dict(zip(self._fields, self._values(), strict=True)), **fields})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self._fields)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.__dict__ == other.__dict__ or self._values() == other._values()

    def __hash__(self) -> int:
        return hash(tuple(self._values()))

    def _values(self) -> list[Any]:
        return [getattr(self, name) for name in self._fields]
