"""What is found about a fit: a verdict, what was seen, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LOOK", "MARKS", "SUSPICIOUS", "WELL", "WRONG", "Finding", "p_words", "verdict"]

WELL, LOOK, WRONG = "well", "look", "wrong"
MARKS = {WELL: "ok", LOOK: "look", WRONG: "wrong"}
SUSPICIOUS = 0.01  # p-values below are worth a look: several tests are made
SMALLEST = 1e-16  # p-values below are not told apart: no approximation holds there
USUAL = 0.05  # p-values below are significant to most readers


@dataclass(frozen=True)
class Finding:
    """One line of the page.

    Attributes
    ----------
    topic, verdict : str
    words : str
        What was seen.
    advice : str
        What to do; empty where nothing is to be done.
    """

    topic: str
    verdict: str
    words: str
    advice: str = ""

    @property
    def sentence(self) -> str:
        """All of it, as it stands under a picture."""
        return f"{MARKS[self.verdict].capitalize()}: {self.words}{f'. {_begun(self.advice)}' if self.advice else ''}."


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]


def verdict(pvalue: float) -> str:
    """Return what a p-value deserves."""
    return LOOK if pvalue < SUSPICIOUS else WELL


def p_words(pvalue: float) -> str:
    """Return a p-value as the page says it; with the limit, where a reader has the usual one in mind.

    Examples
    --------
    >>> p_words(0.004), p_words(0.2)
    ('p = 0.004', 'p = 0.2')
    >>> p_words(0.017)
    'p = 0.017; as several tests are made, a look is for p below 0.01'
    >>> p_words(0.0)  # of a tail that is too small to be computed
    'p < 1e-16'
    """
    if pvalue < SMALLEST:
        return f"p < {SMALLEST:g}"
    between = SUSPICIOUS <= pvalue < USUAL
    limit = f"; as several tests are made, a look is for p below {SUSPICIOUS:g}" if between else ""
    return f"p = {pvalue:.2g}{limit}"
