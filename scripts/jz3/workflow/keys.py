"""How the keys of the configuration are declared: one line holds all that is known of a key.

`key` says what a key means, its unit and range, whether it names an entry elsewhere, and whether it
is conduct: how a run goes (addresses, prices, limits, sizes for the scheduler), on which no byte of
a product depends. Everything else is identity; rules pass `Part.identity()` as params, so that
conduct never makes anything again.
"""

import types
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    Tag,
    WrapValidator,
)
from pydantic.fields import FieldInfo

Item = TypeVar("Item")


def key(
    description: str,
    *,
    unit: str = "",
    conduct: bool = False,
    names: str = "",
    split: str = "",
    **limits: Any,
) -> Any:
    """Declare one key.

    unit: of a number. names: the section (dotted) whose entries it may name; split: which split
    such a benchmark must have. limits: pydantic's (ge, gt, le, lt, min_length, pattern, default).
    """
    told = {"unit": unit, "conduct": conduct, "names": names, "split": split}
    extra: dict[str, Any] = {word: value for word, value in told.items() if value}
    return Field(description=description, json_schema_extra=extra or None, **limits)


def about(field: FieldInfo) -> dict[str, Any]:
    """What `key` was told beside pydantic's own: unit, conduct, names, split."""
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) else {}


def _as_written(value: Any, check: Callable[[Any], float]) -> Any:
    check(value)
    return value


# A number as it was written: 5 stays 5, so that params do not turn into 5.0.
Number = Annotated[float, WrapValidator(_as_written)]
Several = Annotated[tuple[Item, ...], Strict(False)]  # YAML knows lists only
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Entries = dict[Name, Item]


class Part(BaseModel):
    """A part of the configuration, or a program's recipe. Nothing has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    # How a key is told that this kind needs, or has no use for; `{place}` and `{key}` are put in.
    MISSING: ClassVar[str] = "{place}.{key}: missing. {description}"
    UNUSED: ClassVar[str] = ""

    def identity(self) -> dict[str, Any]:
        """What can change bytes of a product, as plain values, without keys that are not set."""
        return {
            name: _plain(value, lambda part: part.identity())
            for name, value, conduct in self._keys()
            if not conduct
        }

    def conduct(self) -> dict[str, Any]:
        """The rest: how the run goes. Parts without conduct are left out."""
        found = {}
        for name, value, conduct in self._keys():
            if conduct:
                found[name] = _plain(value, lambda part: part.plain())
            elif within := _conduct(value):
                found[name] = within
        return found

    def plain(self) -> dict[str, Any]:
        """All of it, as it was written."""
        return {name: _plain(value, lambda part: part.plain()) for name, value, _ in self._keys()}

    def _keys(self) -> Iterator[tuple[str, Any, bool]]:
        for name, field in type(self).model_fields.items():
            if (value := getattr(self, name)) is not None:
                yield name, value, bool(about(field).get("conduct"))


def _plain(value: Any, of_part: Callable[[Part], dict[str, Any]]) -> Any:
    if isinstance(value, Part):
        return of_part(value)
    if isinstance(value, Mapping):
        return {name: _plain(item, of_part) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item, of_part) for item in value]
    return value


def _conduct(value: Any) -> dict[str, Any]:
    if isinstance(value, Part):
        return value.conduct()
    if isinstance(value, Mapping):
        return {name: within for name, item in value.items() if (within := _conduct(item))}
    return {}


def has(word: str, then: str, otherwise: str) -> Callable[[Any], str]:
    """A discriminator: the tag `then` for an entry that holds the key `word`."""

    def tag(value: Any) -> str:
        if isinstance(value, Part):
            return then if word in type(value).model_fields else otherwise
        return then if isinstance(value, Mapping) and word in value else otherwise

    return tag


# ---------------------------------------------------------------- types, looked into


def bare(annotation: Any) -> Any:
    """A type without what annotates it."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def members(annotation: Any) -> Iterator[tuple[str, type[Part]]]:
    """The parts that an annotation admits, by their tags."""
    plain = bare(annotation)
    if get_origin(plain) in (Union, types.UnionType):
        for member in get_args(plain):
            given = [word.tag for word in get_args(member)[1:] if isinstance(word, Tag)]
            for tag, part in members(member):
                yield (given[0] if given else tag), part
    elif isinstance(plain, type) and issubclass(plain, Part):
        literals = (
            get_args(bare(field.annotation))[0]
            for field in plain.model_fields.values()
            if get_origin(bare(field.annotation)) is Literal
            and len(get_args(bare(field.annotation))) == 1
        )
        yield next(literals, plain.__name__), plain


def inside(annotation: Any) -> Any:
    """The type of a mapping's values or a sequence's items."""
    plain = bare(annotation)
    if get_origin(plain) in (Union, types.UnionType):
        [plain] = [bare(one) for one in get_args(plain) if one is not types.NoneType]
    arguments = get_args(plain)
    if get_origin(plain) is dict:
        return arguments[1]
    return arguments[0] if get_origin(plain) is tuple else None


def options(field: FieldInfo) -> tuple[Any, ...]:
    """The words that a key admits, where only certain ones do."""
    annotation = bare(field.annotation)
    return get_args(annotation) if get_origin(annotation) is Literal else ()
