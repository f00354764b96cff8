"""Numbers in what a person wrote for a part of a network: told when they are too large."""

from core.errors import UserError


def number_of(what: str, number: str, size: int, field: str) -> int:
    """The layer or head that a number names, of `size`. Raises UserError for one that is not
    there."""
    if int(number) >= size:
        raise UserError(
            f"There is no {what} {int(number)}: this model's {what}s are 0 to {size - 1}.", field
        )
    return int(number)


def position_of(number: str | None, T: int, field: str) -> int | None:
    """The position that a number names, of T, counted from 0; None where none was written. Raises
    UserError for one that is not there."""
    if number is None:
        return None
    if not -T <= int(number) < T:
        raise UserError(
            f"There is no position {int(number)}: this text's are 0 to {T - 1}, or -{T} to -1"
            " counted from its end.",
            field,
        )
    return int(number) % T
