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
    _required: Any = ()

    def __init_subclass__(cls) -> None:
        cls._fields = tuple(cls.__annotations__)
        cls._names = frozenset(cls._fields)
        cls._required = frozenset(name for name in cls._fields if not hasattr(cls, name))

    def __init__(self, *values: Any, **named: Any) -> None:
        fields = self._fields
        state = self.__dict__
        state.update(zip(fields, values, strict=False))
        state.update(named)
        complete = self._required <= state.keys()
        known = len(state) == len(values) + len(named) and named.keys() <= self._names
        if not complete or not known:
            raise TypeError(f"{type(self).__name__}({', '.join(fields)}) got {len(values)} values and {sorted(named)}")
        self.__post_init__()

    def __post_init__(self) -> None:
        """For what follows from the fields."""

    def changed(self, **fields: Any) -> Self:
        """A record with other values in these fields."""
        return type(self)(**{**{name: getattr(self, name) for name in self._fields}, **fields})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self._fields)})"

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._fields)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self._fields))
