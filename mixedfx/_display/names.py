"""Names in the room that there is: long ones lose their middle, and different ones stay different."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["LONGEST", "short", "shortened"]

LONGEST = 28  # letters of a name


def short(name: object, most: int = LONGEST) -> str:
    """Return a name of ``most`` letters at the most: its beginning and its end."""
    text = str(name)
    return text if len(text) <= most else f"{text[: most - most // 3 - 1]}…{text[-(most // 3) :]}"


def shortened(names: Iterable[object], most: int = LONGEST) -> list[str]:
    """Return names of ``most`` letters, or of more where they would be alike.

    Examples
    --------
    >>> shortened(["a first long name", "the second"], 10)
    ['a firs…ame', 'the second']
    >>> shortened(["arm 1 of the trial", "arm 2 of the trial"], 6)
    ['arm 1…al', 'arm 2…al']
    """
    texts = list(map(str, names))
    different, longest = len(set(texts)), max(map(len, texts), default=0)
    for letters in range(most, longest):
        found = [short(text, letters) for text in texts]
        if len(set(found)) == different:
            return found
    return texts
