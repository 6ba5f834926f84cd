"""The model as equations, in LaTeX and in plain text: one observation, level by level, in matrices, with numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mixedfx._display import format_number
from mixedfx.explanation.structures import accounts_of
from mixedfx.explanation.words import Further
from mixedfx.matrices import RandomEffects
from mixedfx.matrices.pooled import smooth_encoder
from mixedfx.results.base import MixedResults
from mixedfx.results.effects import spelled_as

__all__ = ["Equations", "equations"]

ESCAPED = {c: "\\" + c for c in "#$%&_{}"} | {"~": r"\sim ", "^": r"\hat{\ }", "\\": r"\backslash "}
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
MOST_VALUES = 20  # parameters of a residual structure that are written out
LETTERS = "bcdfghkm"  # of random effects, term by term


@dataclass(frozen=True)
class Equations:
    """A model as equations, in LaTeX and as plain text.

    Attributes
    ----------
    scalar : str
        LaTeX: one observation.
    hierarchical : str
        LaTeX: level by level; predictors of groups stand where they act.
    matrix : str
        LaTeX: all observations at once.
    estimates : str
        LaTeX: one observation, with the estimates instead of letters.
    plain, plain_hierarchical, plain_estimates : str
        The same without LaTeX.
    """

    scalar: str
    hierarchical: str
    matrix: str
    estimates: str
    plain: str
    plain_hierarchical: str
    plain_estimates: str

    def __str__(self) -> str:
        return "\n\n".join([self.plain, self.plain_hierarchical, self.plain_estimates])

    def _repr_latex_(self) -> str:
        return "$$" + "$$\n$$".join([self.scalar, self.estimates, self.hierarchical, self.matrix]) + "$$"

    def __repr__(self) -> str:
        return str(self)


class Notation(ABC):
    """How symbols are written."""

    square: ClassVar[str]
    space: ClassVar[str]
    """Between the factors of a product."""

    @abstractmethod
    def name(self, text: str) -> str:
        """A name of the data."""

    @abstractmethod
    def row(self, symbol: str, index: str = "i") -> str:
        """Something of the row i, or of another row j."""

    @abstractmethod
    def below(self, tag: str) -> str:
        """A subscript."""

    @abstractmethod
    def raised(self, power: str) -> str:
        """An exponent."""

    @abstractmethod
    def numbered(self, letter: str, index: int) -> str:
        """A Greek or Latin letter with a number."""

    @abstractmethod
    def greek(self, letter: str) -> str:
        """A Greek letter by its English name."""

    @abstractmethod
    def times(self, coefficient: str, column: str) -> str:
        """A product."""

    @abstractmethod
    def lines(self, lines: Sequence[str]) -> str:
        """Several equations below each other."""


class Latex(Notation):
    """LaTeX."""

    square, space = "^2", r"\,"

    def name(self, text: str) -> str:
        """A name of the data."""
        return r"\text{" + "".join(ESCAPED.get(c, c) for c in text) + "}"

    def row(self, symbol: str, index: str = "i") -> str:
        """Something of a row."""
        return f"{symbol}_{index}"

    def below(self, tag: str) -> str:
        """A subscript."""
        return f"_{{{tag}}}"

    def raised(self, power: str) -> str:
        """An exponent."""
        return f"^{{{power}}}"

    def numbered(self, letter: str, index: int) -> str:
        """A letter with a number."""
        return f"{self.greek(letter)}_{{{index}}}"

    def greek(self, letter: str) -> str:
        """A Greek letter."""
        return letter if len(letter) == 1 else ("\\" + {"epsilon": "varepsilon"}.get(letter, letter))

    def times(self, coefficient: str, column: str) -> str:
        """A product."""
        return rf"{coefficient}\,{column}"

    def lines(self, lines: Sequence[str]) -> str:
        """Several equations below each other."""
        if len(lines) == 1:
            return lines[0]
        return r"\begin{aligned} " + r" \\ ".join(lines) + r" \end{aligned}"


class Plain(Notation):
    """Text."""

    square, space = "²", " "
    ROWS: ClassVar[dict[str, str]] = {"i": "ᵢ", "j": "ⱼ"}

    GREEK: ClassVar[dict[str, str]] = {
        "alpha": "α",
        "beta": "β",
        "gamma": "γ",
        "delta": "δ",
        "epsilon": "ε",
        "theta": "θ",
        "mu": "μ",
        "pi": "π",
        "phi": "φ",
        "rho": "ρ",
        "sigma": "σ",
        "Sigma": "Σ",
        "sim": "~",
        "le": "≤",
    }

    def name(self, text: str) -> str:
        """A name of the data."""
        return text

    def row(self, symbol: str, index: str = "i") -> str:
        """Something of a row."""
        return symbol + self.ROWS[index]

    def below(self, tag: str) -> str:
        """A subscript."""
        return f"_{tag}"

    def raised(self, power: str) -> str:
        """An exponent."""
        return f"^({power})"

    def numbered(self, letter: str, index: int) -> str:
        """A letter with a number."""
        return f"{self.greek(letter)}{str(index).translate(SUBSCRIPTS)}"

    def greek(self, letter: str) -> str:
        """A Greek letter."""
        return letter if len(letter) == 1 else self.GREEK[letter]

    def times(self, coefficient: str, column: str) -> str:
        """A product."""
        return f"{coefficient}·{column}"

    def lines(self, lines: Sequence[str]) -> str:
        """Several equations below each other."""
        return "\n".join(lines)


def equations(fit: MixedResults, further: Further) -> Equations:
    """Return the model of a fit as equations.

    Parameters
    ----------
    fit : fitted mixed model
    further : Further
        Of the fit.

    Returns
    -------
    Equations
    """
    latex, plain = _Writer(fit, further, Latex()), _Writer(fit, further, Plain())
    return Equations(
        scalar=latex.n.lines(latex.scalar()),
        hierarchical=latex.n.lines(latex.hierarchical()),
        matrix=_matrix(fit),
        estimates=latex.n.lines(latex.estimates()),
        plain=plain.n.lines(plain.scalar()),
        plain_hierarchical=plain.n.lines(plain.hierarchical()),
        plain_estimates=plain.n.lines(plain.estimates()),
    )


class _Writer:
    """Writes a fit's equations in one notation."""

    def __init__(self, fit: MixedResults, further: Further, notation: Notation) -> None:
        self.fit, self.further, self.n = fit, further, notation
        self.family, self.has_residuals = fit.solution.family, fit.solution.response.has_normal_residuals
        self.names = [str(name) for name in fit.params.index]
        self.y = self.n.row(self.n.name(fit.design.response.name))
        first = 0 if "Intercept" in self.names[:1] else 1
        self.numbers = {name: k + first for k, name in enumerate(self.names)}

    # -------------------------------------------------------------- pieces
    def column(self, name: str) -> str:
        """A column in the row i; nothing for the intercept."""
        return "" if name == "Intercept" else self.n.row(self.n.name(name))

    def product(self, coefficient: str, name: str) -> str:
        """A coefficient times its column."""
        return coefficient if name == "Intercept" else self.n.times(coefficient, self.column(name))

    def effect(self, k: int, j: int) -> str:
        """The j-th effect of the k-th term, of the level of the row i."""
        group = self.n.row(self.n.name(self.fit.design.random[k].group))
        return f"{self.letter(k, j)}[{group}]"

    def letter(self, k: int, j: int) -> str:
        """The letter of the j-th effect of the k-th term."""
        letter = LETTERS[k] if k < len(LETTERS) else f"b{k}"
        return self.n.numbered(letter, j)

    def offset(self) -> list[str]:
        """The known parts of the linear predictor."""
        design = self.fit.design
        if design.offset is None:
            return []
        names = [*design.offsets.expressions, *([design.offsets.column] if design.offsets.column else [])]
        return [self.n.row(self.n.name(name)) for name in names or ["offset"]]

    def random(self) -> list[str]:
        """The random part of the linear predictor."""
        return [
            piece
            for k, term in enumerate(self.fit.design.random)
            for piece in (
                self.pooled(k)
                if term.pooled is not None
                else [self.product(self.effect(k, j), name) for j, name in enumerate(term.names)]
            )
        ]

    def pooled(self, k: int) -> list[str]:
        """A smooth is a function of its variable; several memberships are a sum of effects times their weights."""
        term, n = self.fit.design.random[k], self.n
        if not term.is_smooth:
            return [self.product(n.times(n.row("w"), self.effect(k, 0)), term.shown_names[0])]
        x = n.row(n.name(term.group.removeprefix("s(").rsplit(")", 1)[0]))
        functions = [f"{self.letter(k, j)}({x})" for j in range(len(term.variances))]
        if len(functions) == 1:
            times = smooth_encoder(term).times
            return functions if times is None else [n.times(functions[0], n.row(n.name(times)))]
        levels = [n.row(n.name(name)) for name, _ in term.variances]
        return [n.times(function, level) for function, level in zip(functions, levels, strict=True)]

    def equation(self, predictor: str) -> list[str]:
        """The linear predictor on the right, and what it means for the response."""
        n, family = self.n, self.family
        if self.has_residuals:
            return [f"{self.y} = {predictor} + {n.row(n.greek('epsilon'))}"]
        link, mean = self.fit.solution.link.name, n.row(n.greek("mu"))
        if family.has_categories:
            theta = n.greek("theta") + "_k"
            return [f"{n.name(link)}(P({self.y} {n.greek('le')} k)) = {theta} - ({predictor})"]
        mean = n.row("p") if family.proportions else mean
        left = mean if link == "identity" else f"{n.name(link)}({mean})"
        return [f"{left} = {predictor}"]

    # -------------------------------------------------------------- laws
    def response_laws(self) -> list[str]:
        """The distribution of the response, or of the residuals."""
        n, family = self.n, self.family
        sim = n.greek("sim")
        if self.has_residuals:
            return self._residual_laws()
        if family.has_categories:
            return []
        mean = n.row("p") if family.proportions else n.row(n.greek("mu"))
        dispersion = n.row(n.greek("phi")) if "dispersion" in family.predictors else n.greek("phi")
        phi = [dispersion] if "dispersion" in family.phi_names or "dispersion" in family.predictors else []
        trials = [n.row("n")] if family.proportions and self.fit.design.response.trials is not None else []
        law = f"{n.name(family.innermost.name.replace('_', ' '))}({', '.join([*trials, mean, *phi])})"
        counts = n.row(n.name("y")) if trials else self.y
        laws = [f"{counts} {sim} {law}{f', {counts} > 0' if family.is_truncated else ''}"]
        if trials and not self.fit.design.response.name.startswith("cbind("):
            laws[0] += f", {counts} = {n.times(n.row('n'), self.y)}"
        if "zero_inflation" in family.predictors or "zero_inflation" in family.phi_names:
            laws.append(f"{n.name('P(zero)' if family.is_truncated else 'P(extra zero)')} = {self._pi()}")
        return [*laws, *self._component_laws()]

    def _pi(self) -> str:
        pi = self.n.greek("pi")
        return self.n.row(pi) if "zero_inflation" in self.family.predictors else pi

    def _component_laws(self, *, estimated: bool = False) -> list[str]:
        """The further linear predictors, in letters or in numbers."""
        n, laws = self.n, []
        ways = {"zero_inflation": ("alpha", f"{n.name('logit')}({self._pi()})")}
        for component, coefficients in self.further.components.items():
            letter, left = ways.get(component, ("delta", f"{n.name('log')}({n.row(n.greek('phi'))})"))
            parts = [self.product(n.numbered(letter, k), name) for k, name in enumerate(coefficients)]
            values = self._sum({name: value for name, (value, *_) in coefficients.items()})
            laws.append(f"{left} = {values if estimated else ' + '.join(parts)}")
        return laws

    def _residual_laws(self) -> list[str]:
        """The distribution of the residuals: a variance, and the correlation of two rows if they have one."""
        n, epsilon = self.n, self.n.greek("epsilon")
        accounts = sorted(accounts_of(self.fit.model.residual), key=lambda account: account.has_scale)
        scale = [n.greek("sigma") + n.square] if all(account.has_scale for account in accounts) else []
        variance = n.space.join([*scale, *(text for account in accounts if (text := account.variance(n)))])
        if self.fit.design.has_weights:
            variance += f" / {n.row('w')}"
        pair = f"{n.name('corr')}({n.row(epsilon)}, {n.row(epsilon, 'j')})"
        correlations = [text for account in accounts if (text := account.correlation(n))]
        return [f"{n.row(epsilon)} {n.greek('sim')} N(0, {variance})", *(f"{pair} = {text}" for text in correlations)]

    def effect_laws(self) -> list[str]:
        """The distributions of the random effects."""
        n, laws = self.n, []
        for k, term in enumerate(self.fit.design.random):
            letters = [self.letter(k, j) for j in range(len(term.variances))]
            tag = (LETTERS[k] if k < len(LETTERS) else f"b{k}") if len(self.fit.design.random) > 1 else "b"
            sub = n.below(tag)
            known = "" if term.loading is None else f" {n.name('with levels related as given')}"
            if len(letters) == 1:
                laws.append(f"{letters[0]} {n.greek('sim')} N(0, {n.greek('sigma')}{sub}{n.square}){known}")
                continue
            kind = n.greek("Sigma") + sub
            if not self.fit.varcorr.terms[k].correlated:
                kind = f"{n.name('diag')}({n.greek('sigma')}{sub}{n.square})"
            laws.append(f"({', '.join(letters)}) {n.greek('sim')} N(0, {kind}){known}")
        return laws

    # -------------------------------------------------------------- wholes
    def scalar(self) -> list[str]:
        """One observation, in letters."""
        fixed = [self.product(self.n.numbered("beta", self.numbers[name]), name) for name in self.names]
        predictor = " + ".join([*fixed, *self.random(), *self.offset()]) or "0"
        return [*self.equation(predictor), *self.response_laws(), *self.effect_laws()]

    def _sum(self, values: Mapping[str, float]) -> str:
        """A linear predictor in numbers."""
        parts = ""
        for name, value in values.items():
            sign = (" - " if value < 0 else " + ") if parts else ("-" if value < 0 else "")
            parts += sign + self.product(format_number(abs(float(value)), 3), name)
        return parts

    def estimates(self) -> list[str]:
        """One observation, in numbers."""
        n = self.n
        parts = self._sum(dict(zip(self.names, np.asarray(self.fit.params, dtype=float), strict=True)))
        predictor = " + ".join([*([parts] if parts else []), *self.random(), *self.offset()]) or "0"
        lines = self.equation(predictor)
        if self.further.thresholds:
            cuts = ", ".join(format_number(value, 3) for value in self.further.thresholds.values())
            lines.append(f"{n.greek('theta')} = ({cuts})")
        for k, term in enumerate(self.fit.varcorr.terms):
            sds = [
                f"{n.name('sd')}({self.letter(k, j)}) = {format_number(float(sd), 3)}" for j, sd in enumerate(term.sd)
            ]
            if term.correlated:
                sds += [
                    f"{n.name('corr')}({self.letter(k, j)}, {self.letter(k, i)}) = "
                    f"{format_number(float(term.correlation[i, j]), 2)}"
                    for j in range(len(term.sd))
                    for i in range(j + 1, len(term.sd))
                    if np.isfinite(term.correlation[i, j])
                ]
            lines.append(", ".join(sds))
        if self.has_residuals:
            if all(account.has_scale for account in accounts_of(self.fit.model.residual)):
                lines.append(f"{n.greek('sigma')} = {format_number(float(self.fit.sigma), 3)}")
            return lines + self._residual_values()
        family, letters = self.further.family, {"dispersion": n.greek("phi"), "zero_inflation": self._pi()}
        lines += [f"{sign} = {format_number(family[name], 3)}" for name, sign in letters.items() if name in family]
        return lines + self._component_laws(estimated=True)

    def _residual_values(self) -> list[str]:
        """The parameters of a residual structure in one line, as many as a reader will read."""
        shown = [f"{self._residual_name(name)} = {format_number(v, 3)}" for name, v in self.further.residual.items()]
        more = [f"… ({len(shown) - MOST_VALUES} more)"] if len(shown) > MOST_VALUES else []
        return [", ".join(shown[:MOST_VALUES] + more)] if shown else []

    def _residual_name(self, name: str) -> str:
        """The letter that the laws of the residuals have for a parameter."""
        n, (kind, bracket, level) = self.n, name.partition("[")
        letter = {"phi": "phi", "rho": "rho", "cor": "rho", "power": "delta", "rate": "delta"}.get(kind, "delta")
        return n.greek(letter) + (f"[{n.name(level.removesuffix(']'))}]" if bracket else "")

    def hierarchical(self) -> list[str]:
        """Level by level: coefficients that vary between groups have equations of their own."""
        terms, n = self.fit.design.random, self.n
        own_names = [() if term.pooled is not None else term.names for term in terms]
        called = [[spelled_as(name, self.names) for name in names] for names in own_names]  # as in the fixed part
        varying = list(dict.fromkeys(name for own in called for name in own if name in self.numbers))
        moved = self._moved(varying)
        inner, outer = [], []
        for name in [*varying, *(x for x in self.names if x not in varying and x not in moved)]:
            if name not in varying:
                inner.append(self.product(n.numbered("beta", self.numbers[name]), name))
                continue
            groups = [(k, names.index(name)) for k, names in enumerate(called) if name in names]
            where = ", ".join(n.row(n.name(terms[k].group)) for k, _ in groups)
            own = f"{n.numbered('beta', self.numbers[name])}[{where}]"
            inner.append(self.product(own, name))
            parts = [n.numbered("gamma", self.numbers[name])]
            for other, (target, rest) in moved.items():
                if target == name:
                    parts.append(self.product(n.numbered("gamma", self.numbers[other]), rest))
            parts += [self.effect(k, j) for k, j in groups]
            outer.append(f"{own} = {' + '.join(parts)}")
        alone = [
            self.product(self.effect(k, j), name)
            for k, names in enumerate(called)
            for j, name in enumerate(names)
            if name not in varying
        ]
        alone += [piece for k, term in enumerate(terms) if term.pooled is not None for piece in self.pooled(k)]
        predictor = " + ".join([*inner, *alone, *self.offset()]) or "0"
        return [*self.equation(predictor), *self.response_laws(), *outer, *self.effect_laws()]

    def _moved(self, varying: list[str]) -> dict[str, tuple[str, str]]:
        """Columns that act on a coefficient of groups: which coefficient, and the column that is constant in groups."""
        found: dict[str, tuple[str, str]] = {}
        if len(self.fit.design.random) != 1:
            return found
        term, matrix = self.fit.design.random[0], self.fit.design.fixed.matrix
        constant = {x: _is_constant(matrix[:, k], term) for k, x in enumerate(self.names) if x != "Intercept"}
        for name in constant:
            parts = name.split(":")
            if name in varying:
                continue
            if constant[name] and "Intercept" in varying:
                found[name] = "Intercept", name
            for slope in parts if len(parts) > 1 else ():
                rest = ":".join(part for part in parts if part != slope)
                if slope in varying and constant.get(rest):
                    found[name] = slope, rest
        return found


def _is_constant(column: Any, term: RandomEffects) -> bool:
    first = np.full(term.n_levels, np.nan)
    first[term.codes[::-1]] = column[::-1]
    return bool(np.all(first[term.codes] == column))


def _matrix(fit: MixedResults) -> str:
    offset = " + o" if fit.design.offset is not None else ""
    zb = " + Zb" if fit.design.random else ""
    if fit.solution.response.has_normal_residuals:
        law = r",\quad b \sim N(0, \sigma^2 \Lambda\Lambda')" if zb else ""
        inner = "R" if fit.solution.residual is not None else "W^{-1}" if fit.design.has_weights else "I"
        return rf"y = X\beta{zb}{offset} + \varepsilon{law},\quad \varepsilon \sim N(0, \sigma^2 {inner})"
    law = r",\quad b \sim N(0, \Lambda\Lambda')" if zb else ""
    link = Latex().name(fit.solution.link.name)
    if fit.solution.family.has_categories:
        return rf"g(P(y \le k)) = \theta_k - (X\beta{zb}{offset}){law},\quad g = {link}"
    return rf"g(\mu) = X\beta{zb}{offset}{law},\quad g = {link}"
