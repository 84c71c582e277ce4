"""What every wrong call has to do: end in ValueError or TypeError that names who, what and what would fit."""

import pytest

from minicnn import train

FOREIGN = ["broadcast together", "could not be broadcast", "not subscriptable", "not iterable", "has no attribute",
           "out of range for", "unsupported operand", "NoneType' object", "remapped shapes", "could not convert",
           "division by zero", "zero-size array", "cannot reshape", "tuple index", "list index",
               "required positional", "positional arguments but",
           "keyword argument", "_shape()", "object is not", "not supported between"]  # fmt: skip
REMEDIES = ("Use ", "Give ", "Make ", "Call ", "Put ", "Add ", "Transpose ", "Crop ", "The arguments are ",
    "There are no ",
            "Pad ", "Leave ", "Compare ", "Did you mean ",
            "must be ")  # fmt: skip


def says(message, fragment):
    """Tell whether a message has a fragment; "name=value" is also said by "name must be ..., got value"."""
    name, equals, value = fragment.partition("=")
    return fragment in message or (bool(equals) and f"{name} must be" in message and f", got {value}" in message)


def check(call, kind, fragments):
    """Make the call; the first fragment is the name that the message starts with."""
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    message = str(caught.value)
    assert caught.type is kind or (kind is ValueError and caught.type.__name__ == "ShapeError"), message
    assert message.startswith(fragments[0].partition("=")[0]), message
    for fragment in fragments:
        assert says(message, fragment), message
    assert any(word in message for word in REMEDIES), message
    for words in FOREIGN:
        assert words not in message, message


def check_refused(call, kind, words, monkeypatch):
    """Make a call of training: it must be refused before it takes a step."""
    monkeypatch.setattr(train.loop, "_step", lambda *_, **__: pytest.fail("worked"))
    with pytest.raises(kind) as caught:
        call()
    assert all(says(str(caught.value), word) for word in words), str(caught.value)


def table(rows):
    """Return the decorator for a test of rows (kind, call, *fragments)."""
    ids = [f"{i} {row[2]} {row[-1]}" for i, row in enumerate(rows)]
    return pytest.mark.parametrize(("call", "kind", "fragments"), [(c, k, f) for k, c, *f in rows], ids=ids)
