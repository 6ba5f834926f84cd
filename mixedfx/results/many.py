"""One model fitted to many responses: tables with a row for each."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._suggestions import hinting_methods
from mixedfx._typing import AnyArray, Array
from mixedfx.exceptions import ConvergenceWarning, DataError, MixedfxWarning, SpecificationError, warn
from mixedfx.fitting import Refits
from mixedfx.inference.distributions import f_tail, two_sided
from mixedfx.inference.satterthwaite import many_denominators, many_joint_denominators
from mixedfx.results.base import MixedResults
from mixedfx.results.many_responses import Responses
from mixedfx.results.quantities import WhichName, estimates, quantities, refitted_estimates
from mixedfx.results.responses import missing_values

__all__ = [
    "TESTS",
    "VERDICTS",
    "Failures",
    "FittedResponses",
    "ManyFits",
    "estimate_names",
    "fitted_responses",
    "joined",
    "joint_pvalues",
]

SHOWN = 10  # rows of the text
NAMED = 5  # responses without an optimum that a warning names
TESTS = ("params", "bse", "df", "tvalues", "pvalues")
VERDICTS = ("llf", "converged", "singular", "verdict")
OPTIMUM, BOUNDARY = "the optimum", "the optimum, on the boundary"


@hinting_methods
class ManyFits(ABC):
    """Fits of one model to many responses; each table has a row for every response.

    What :meth:`~mixedfx.results.base.MixedResults.refit_many` returns. ``many["gene7"]`` is the row of one response,
    ``many.columns`` are the columns of :meth:`to_frame`. After ``out=`` the tables are read from the file when they are
    asked for.

    Attributes
    ----------
    fit : LinearMixedResults or GeneralizedLinearMixedResults
        The fit whose model was fitted again.
    """

    fit: MixedResults

    # ---------------------------------------------------------------- where the tables are
    @property
    @abstractmethod
    def index(self) -> pd.Index[Any]:
        """Names of the responses."""

    @abstractmethod
    def _test(self, kind: str) -> pd.DataFrame:
        """One of the tables of :data:`TESTS`, a column a coefficient."""

    @abstractmethod
    def _estimates(self, which: WhichName) -> pd.DataFrame:
        """The estimates of the random part, or the family's own."""

    @abstractmethod
    def _verdict(self, name: str) -> pd.Series[Any]:
        """One of ``llf, converged, singular, verdict``."""

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """Return everything in one table, one row a response.

        The columns are ``params.x``, ``bse.x``, ``df.x``, ``tvalues.x`` and ``pvalues.x`` of every coefficient, those
        of :attr:`varcorr` and :attr:`further`, ``llf``, ``converged``, ``singular`` and ``verdict``.
        """

    @abstractmethod
    def __getitem__(self, name: Any) -> pd.Series[Any]:
        """The row of :meth:`to_frame` of one response."""

    # ---------------------------------------------------------------- tables
    @property
    def params(self) -> pd.DataFrame:
        """Fixed effects (R, p)."""
        return self._test("params")

    @property
    def bse(self) -> pd.DataFrame:
        """Standard errors (R, p) of the fixed effects."""
        return self._test("bse")

    @property
    def df(self) -> pd.DataFrame:
        """Denominator degrees of freedom (R, p): Satterthwaite's; infinite in generalised models (z tests)."""
        return self._test("df")

    @property
    def tvalues(self) -> pd.DataFrame:
        """Estimates in units of their standard errors (R, p); nan where those are zero."""
        return self._test("tvalues")

    @property
    def pvalues(self) -> pd.DataFrame:
        """Two-sided p values (R, p) of t tests with :attr:`df`, of z tests where that is infinite."""
        return self._test("pvalues")

    @property
    def varcorr(self) -> pd.DataFrame:
        """Standard deviations, correlations (``sd_x|g``, ``cor_x.y|g``), a structure's parameters, ``sigma`` (R, r)."""
        return self._estimates("random")

    @property
    def further(self) -> pd.DataFrame:
        """What a generalised model estimates beside these (R, f): ``zero_inflation: x``, ``family: df``, thresholds."""
        return self._estimates("family")

    @property
    def llf(self) -> pd.Series[float]:
        """Log-likelihoods (R,), restricted under REML."""
        return self._verdict("llf")

    @property
    def converged(self) -> pd.Series[bool]:
        """Whether the optimum was found (R,)."""
        return self._verdict("converged")

    @property
    def singular(self) -> pd.Series[bool]:
        """Whether a variance is zero or a correlation -1 or 1 (R,)."""
        return self._verdict("singular")

    @property
    def verdict(self) -> pd.Series[str]:
        """What was found, in words (R,): the optimum, on the boundary or not; or why there is none, or no fit."""
        return self._verdict("verdict")

    @property
    def columns(self) -> pd.Index[str]:
        """Names of the columns of :meth:`to_frame`."""
        tests = [f"{kind}.{name}" for kind in TESTS for name in self.fit.design.fixed.names]
        others = [name for which in ("random", "family") for name in estimate_names(self.fit, which)]
        return pd.Index([*tests, *others, *VERDICTS])

    # ---------------------------------------------------------------- arrays
    @property
    def beta(self) -> Array:
        """:attr:`params` as an array (R, p)."""
        return self.params.to_numpy()

    @property
    def values(self) -> Array:
        """Minus twice the log-likelihoods (R,)."""
        return np.asarray(-2.0 * self.llf.to_numpy(dtype=float))

    def __len__(self) -> int:
        return len(self.index)

    def __contains__(self, name: Any) -> bool:
        return name in self.index

    def __iter__(self) -> Iterator[Any]:
        return iter(self.index)

    def _missing(self, name: Any) -> SpecificationError:
        """The error for a response that is not there."""
        some = ", ".join(map(repr, self.index[:3]))
        if isinstance(name, str) and name in self.columns:
            return SpecificationError(f"many[…] is the row of a response: the column {name!r} is to_frame()[{name!r}]")
        return SpecificationError(f"there is no response {name!r}; the first of the {len(self)} are {some}")

    def _shown(self) -> pd.DataFrame:
        return pd.concat([self.params, self.varcorr], axis=1).head(SHOWN)

    def __repr__(self) -> str:
        shown = self._shown().to_string(float_format=lambda x: f"{x:.4g}")
        rest = f"\n… and {len(self) - SHOWN} more" if len(self) > SHOWN else ""
        return f"{self.fit.model.formula}\n{self._heading()}\n{shown}{rest}"

    def _heading(self) -> str:
        failed, singular = int((~self.converged).sum()), int((self.singular & self.converged).sum())
        parts = [f"Fits to {len(self)} responses"]
        parts += [f"{singular} on the boundary (a variance of zero, a correlation of -1 or 1)"] if singular else []
        parts += [f"{failed} without an optimum (see verdict)"] if failed else []
        return ", ".join(parts)

    def _repr_html_(self) -> str:
        table: str = self._shown().to_html(float_format=lambda x: f"{x:.4g}")
        return f"<p>{self._heading()}</p>{table}"


@dataclass(frozen=True, eq=False, repr=False)
class FittedResponses(ManyFits):
    """Fits to many responses in memory.

    Attributes
    ----------
    fit : results
    responses : tuple of (n, r)
        The responses, chunk by chunk.
    refits : tuple of Refits
        What the searches found, chunk by chunk.
    names : pandas.Index
        Of the responses.
    """

    fit: MixedResults
    responses: tuple[Array, ...]
    parts: tuple[Refits, ...]
    names: pd.Index[Any]

    @property
    def index(self) -> pd.Index[Any]:
        """Names of the responses."""
        return self.names

    @cached_property
    def refits(self) -> Refits:
        """What the searches found, as arrays."""
        return Refits.concatenated(self.parts) if len(self.parts) > 1 else self.parts[0]

    @cached_property
    def _denominators(self) -> tuple[Array, Array]:
        """Standard errors and degrees of freedom (R, p)."""
        pairs = zip(self.responses, self.parts, strict=True)
        errors, df = zip(*(_tests(self.fit, Y, refits) for Y, refits in pairs), strict=True)
        return np.concatenate(errors), np.concatenate(df)

    @cached_property
    def _tables(self) -> dict[str, pd.DataFrame]:
        return {}

    def _test(self, kind: str) -> pd.DataFrame:
        if kind not in self._tables:
            names = list(self.fit.design.fixed.names)
            self._tables[kind] = pd.DataFrame(self._values(kind), index=self.names, columns=names)
        return self._tables[kind]

    def _values(self, kind: str) -> Array:
        beta = self.refits.beta
        if kind == "params":
            return beta
        errors, df = self._denominators
        if kind in ("bse", "df"):
            return errors if kind == "bse" else df
        ratio = np.divide(beta, errors, out=np.full(beta.shape, np.nan), where=errors > 0)
        return ratio if kind == "tvalues" else two_sided(ratio, df)

    @cached_property
    def _reported(self) -> Array:
        return refitted_estimates(self.fit, self.refits)

    def _estimates(self, which: WhichName) -> pd.DataFrame:
        chosen = self._reported[:, quantities(self.fit).chosen(which)]
        return pd.DataFrame(chosen, index=self.names, columns=estimate_names(self.fit, which))

    def _verdict(self, name: str) -> pd.Series[Any]:
        values = {"llf": self._llf, "converged": self._converged, "singular": self._singular, "verdict": self._said}
        return pd.Series(values[name](), index=self.names, name=name)

    def _llf(self) -> AnyArray:
        return np.asarray(-0.5 * self.refits.values)

    def _converged(self) -> AnyArray:
        return self.refits.converged

    def _singular(self) -> AnyArray:
        return self.refits.singular

    def _said(self) -> AnyArray:
        found = self.refits
        return np.where(found.converged, np.where(found.singular, BOUNDARY, OPTIMUM).astype(object), found.words)

    @property
    def theta(self) -> Array:
        """Covariance parameters (R, k), relative to sigma in a linear model; then those of a residual structure."""
        return self.refits.theta

    @property
    def sigma(self) -> Array:
        """Residual standard deviations (R,)."""
        return self.refits.sigma

    def to_frame(self) -> pd.DataFrame:
        """Return everything in one table, one row a response."""
        parts = [self._test(kind).add_prefix(f"{kind}.") for kind in TESTS]
        verdicts = pd.DataFrame({name: self._verdict(name) for name in VERDICTS})
        return pd.concat([*parts, self.varcorr, self.further, verdicts], axis=1)

    @cached_property
    def _frame(self) -> pd.DataFrame:
        return self.to_frame()

    def __getitem__(self, name: Any) -> pd.Series[Any]:
        """The row of :meth:`to_frame` of one response."""
        if name not in self.names:
            raise self._missing(name)
        row: pd.Series[Any] = self._frame.loc[name]
        return row


def estimate_names(fit: MixedResults, which: WhichName) -> list[str]:
    """Return the names of the random part or of the family's own numbers; one that comes again has a number."""
    known = quantities(fit)
    names = [known.names[k] for k in known.chosen(which)]
    again = [names[:k].count(name) for k, name in enumerate(names)]
    return [f"{name} ({count + 1})" if count else name for name, count in zip(names, again, strict=True)]


# ---------------------------------------------------------------- the fits
def fitted_responses(fit: MixedResults, chunk: Responses) -> FittedResponses:
    """Fit the responses of a chunk."""
    return FittedResponses(fit, (chunk.values,), (_fitted(fit, chunk.values),), chunk.names)


def joined(found: Sequence[FittedResponses]) -> FittedResponses:
    """Return the fits of all chunks as one."""
    first, *others = found
    responses = tuple(Y for one in found for Y in one.responses)
    names = first.names.append([one.names for one in others]) if others else first.names
    return FittedResponses(first.fit, responses, tuple(part for one in found for part in one.parts), names)


def _fitted(fit: MixedResults, Y: Array) -> Refits:
    """Fit every column of ``Y`` (n, r); one with missing values has no estimates."""
    words = missing_values(Y, fit.design.index)
    which = np.flatnonzero(words == "")
    if which.size == 0:
        return _nothing(fit, words)
    whole = which.size == words.size
    complete = Y if whole else Y[:, which]
    found = fit._refits(complete)
    found = _one_by_one(fit, complete) if found is None else found
    return found if whole else found.among(which, words)


def _one_by_one(fit: MixedResults, Y: Array) -> Refits:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)  # the verdicts say it
        return Refits.concatenated([_one(fit, y) for y in Y.T])


def _one(fit: MixedResults, y: Array) -> Refits:
    """The fit to one response; where it cannot be made, why: that must not cost the others."""
    try:
        again = fit.refit(y)
        certificate, own = again.certificate, again.solution
        words = "" if certificate.converged else certificate.verdict
        found = (np.concatenate([own.theta, own.rho]), own.beta, again.sigma, -2.0 * again.llf)
        further = estimates(again)[quantities(fit).chosen("family")]
        tests = (again.solution.beta_covariance, np.asarray(again.df, dtype=float))
        return Refits.of(*found, certificate.converged, certificate.is_singular, words, further, *tests)
    except (DataError, ArithmeticError, np.linalg.LinAlgError) as error:
        return _nothing(fit, np.array([str(error)], dtype=object))


def _nothing(fit: MixedResults, words: AnyArray) -> Refits:
    own, n_fixed = fit.solution, len(fit.design.fixed.names)
    n_further = len(quantities(fit).chosen("family"))
    n_tests = 0 if fit.refits_together else n_fixed
    return Refits.failed(
        len(words), own.theta.size + own.rho.size, n_fixed, words, n_further=n_further, n_tests=n_tests
    )


def _tests(fit: MixedResults, Y: Array, refits: Refits) -> tuple[Array, Array]:
    """Standard errors and degrees of freedom (R, p), computed now if they did not come with the fits."""
    if not fit.refits_together:
        return refits.errors, refits.df
    return many_denominators(fit.solution.problem, Y, refits)


def joint_pvalues(many: FittedResponses, L: Array, rhs: Array, *, is_z: bool) -> Array:
    """Return the p values (R,) of the joint test of ``L @ beta = rhs`` in every fit, as of ``fit.f_test``.

    Parameters
    ----------
    many : FittedResponses
        Of a generalised model, or of a linear one whose fits are made together.
    L : (r, p)
        Independent rows.
    rhs : (r,)
    is_z : bool
        Whether the degrees of freedom are infinite, as in generalised models, or Satterthwaite's.
    """
    rows = L if is_z or len(L) == 1 else many.fit._canonical_rows.usual(L)
    pairs = zip(many.responses, many.parts, strict=True)
    covariance, df = map(np.concatenate, zip(*(_joint(many.fit, Y, part, rows) for Y, part in pairs), strict=True))
    turn = np.linalg.lstsq(L.T, rows.T, rcond=None)[0].T
    difference = (many.beta @ L.T - rhs) @ turn.T
    found = np.full(len(many), np.nan)
    fitted = np.isfinite(covariance).all(axis=(1, 2)) & np.isfinite(difference).all(axis=1)
    solved = np.linalg.solve(covariance[fitted], difference[fitted][:, :, None])[:, :, 0]
    wald = np.einsum("ri,ri->r", difference[fitted], solved)
    found[fitted] = f_tail(wald / len(L), len(L), np.inf if is_z else df[fitted])
    return found


def _joint(fit: MixedResults, Y: Array, refits: Refits, rows: Array) -> tuple[Array, Array]:
    """Covariances (R, r, r) of contrasts and the degrees of freedom (R,) of their joint tests."""
    if fit.refits_together:
        return many_joint_denominators(fit.solution.problem, Y, refits, rows)
    return rows @ refits.covariance @ rows.T, np.full(len(refits.beta), np.inf)


@dataclass(frozen=True)
class Failures:
    """The responses without an optimum: how many of how many, and what is said of the first."""

    count: int = 0
    of: int = 0
    first: tuple[str, ...] = ()

    def seen(self, found: FittedResponses) -> Failures:
        """Add those of a chunk."""
        which = np.flatnonzero(~found.refits.converged)
        words = [f"{found.names[k]!r}: {found.refits.words[k]}" for k in which[: NAMED - len(self.first)]]
        return Failures(self.count + which.size, self.of + len(found), (*self.first, *words))

    def warn(self) -> None:
        """Warn of them, once for all."""
        if self.count:
            more = f"; and {self.count - len(self.first)} more" if self.count > len(self.first) else ""
            verb = "has" if self.count == 1 else "have"
            listed = "; ".join(self.first)
            warn(
                f"{self.count} of {self.of} responses {verb} no optimum, and verdict says why: {listed}{more}",
                ConvergenceWarning,
            )
