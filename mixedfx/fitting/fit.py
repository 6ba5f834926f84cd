"""The face of every fitted model: what the floors above may ask, whatever was fitted and however.

A :class:`Fit` holds the problem that was solved and where its criterion is least. Results, tests, means, diagnostics
and pictures ask it here and never look which class it is: a new kind of model is a new subclass, and nothing above
this room changes. Everything is on the user's scale (the units of the data) unless *inner* is said; the inner scale is
that of the search, on which columns and responses are of size one.

``LinearFit`` and ``GeneralizedFit`` are the two kinds that the package has; ``tests/fitting/test_third_fit.py`` is a
third in a few lines.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mixedfx._typing import AnyArray, Array, BoolArray, IntArray
from mixedfx._workers import Workers
from mixedfx.covariance.residual.structure import BoundResidual
from mixedfx.exceptions import SpecificationError
from mixedfx.families.base import Family
from mixedfx.families.links import Link
from mixedfx.fitting.certificate import Certificate
from mixedfx.fitting.control import Control
from mixedfx.fitting.errors import PredictorErrors
from mixedfx.fitting.likelihood import Likelihood, NormalVariances
from mixedfx.fitting.reported import Reported
from mixedfx.fitting.response import ResponseModel
from mixedfx.matrices import Design, FixedEffects
from mixedfx.matrices.new_rows import PredictedRows, linear_predictor_variance

if TYPE_CHECKING:
    from mixedfx.fitting.without import Without

__all__ = ["SAMPLED_LIKELIHOOD", "Fit"]

SAMPLED_LIKELIHOOD = (
    "a profile compares likelihoods to digits that random probes do not give, and the crossed effects of this fit are "
    'solved by iteration: take method="wald" or a bootstrap, or fit with control=mfx.Control(remainder="exact")'
)


class Fit(ABC):
    """A fitted mixed model.

    Attributes
    ----------
    kind : str
        Name of the kind of fit in saved files.
    title : str
        Heading of its summary.
    default_ddf : str
        Method of the denominator degrees of freedom where the user names none.
    ddf_methods : tuple of str
        The methods that this kind of fit supports.
    is_relative : bool
        Whether :attr:`theta` is relative to sigma.
    has_draws : bool
        Whether there are draws given the data, which a check looks at.
    problem
        What was solved: design, criterion, and the maps between the inner and the user's scale.
    nodes : int or None
        Nodes in each dimension of the integral over the random effects: 1 is the Laplace approximation, 0 the one with
        profiled fixed effects; None where the integral is exact.
    """

    kind: ClassVar[str]
    title: ClassVar[str] = "Mixed model"
    default_ddf: ClassVar[str] = "z"
    ddf_methods: ClassVar[tuple[str, ...]] = ("z",)
    is_relative: ClassVar[bool] = False
    has_draws: ClassVar[bool] = True
    problem: Any
    nodes: int | None = None

    @property
    def robust_kinds(self) -> tuple[str, ...]:
        """The kinds of cluster-robust covariances that can be had, the usual one last."""
        return ()

    @property
    def measured_by(self) -> tuple[str, ...]:
        """What else than the response the likelihood is of: method, measurements and what these depend on."""
        return ()

    @property
    def not_linear(self) -> str:
        """Why a fit with normal residuals is none whose covariances alone are searched; empty where it is one."""
        return ""

    def _lacks(self, what: str) -> SpecificationError:
        """Return the error of a question that this kind of fit has no answer to."""
        return SpecificationError(f"this is out of reach: a fit by {self.heading.lower()} has no {what}")

    # ---------------------------------------------------------------- the model
    @property
    def design(self) -> Design:
        """The matrices that were fitted."""
        design: Design = self.problem.design
        return design

    @property
    @abstractmethod
    def family(self) -> Family:
        """Distribution of the response given the random effects; Gaussian with the identity link in a linear model."""

    @property
    def link(self) -> Link:
        """Link of the first linear predictor: of the mean, or of the cumulative probabilities of categories."""
        return self.family.link

    @property
    def reml(self) -> bool:
        """Whether the criterion is the restricted likelihood."""
        return False

    @property
    def residual(self) -> BoundResidual | None:
        """Structure of the residuals; None where they are independent with variances in proportion to 1 / weight."""
        return None

    @property
    def rho(self) -> Array:
        """Parameters (r,) of the residual structure on their unbounded scales."""
        return np.zeros(0)

    @property
    def integration(self) -> str:
        """How the random effects were integrated out, in words; empty where the likelihood is exact."""
        return ""

    @property
    def heading(self) -> str:
        """Heading of the summary: :attr:`title`, and of a model without random effects no *mixed* model."""
        return self.title if self.design.random else self.title.replace("mixed model", "model")

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What the summary says of the model beside formula and sizes: family, link, integration."""
        return ()

    @property
    def method(self) -> str:
        """How the parameters were estimated, in a word."""
        return "REML" if self.reml else "ML"

    @property
    def how(self) -> str:
        """How the model was fitted, in a sentence, where that is neither maximum nor restricted likelihood alone."""
        return ""

    @property
    def as_ml(self) -> dict[str, Any]:
        """Arguments of the model's ``fit`` by which it maximises the likelihood, whatever this fit did."""
        return {"reml": False}

    @property
    def incomparable(self) -> str:
        """Why the log-likelihood cannot be compared with that of another model; empty where it can."""
        return ""

    @property
    def laws(self) -> dict[str, str]:
        """The laws of the random effects that are not normal, by grouping factor."""
        return {}

    @property
    def unanswered(self) -> frozenset[str]:
        """The methods of results, of ``check`` and ``explain``, that have no answer for this fit."""
        is_checked = self.has_draws and self.design.represented is None
        return frozenset([*([] if is_checked else ["check"]), *(["explain"] if self.laws else [])])

    def check_normal(self, what: str) -> None:
        """Refuse what is for normal random effects only.

        Raises
        ------
        SpecificationError
            Naming the grouping factor and its law.
        """
        for group, law in self.laws.items():
            raise SpecificationError(f"{what} is for normal random effects; those of {group!r} have another law: {law}")

    # ---------------------------------------------------------------- estimates
    @property
    @abstractmethod
    def x(self) -> Array:
        """All parameters (k,) of the criterion on the inner scale."""

    @property
    @abstractmethod
    def beta(self) -> Array:
        """Fixed effects (p,) of the first linear predictor."""

    @property
    @abstractmethod
    def beta_covariance(self) -> Array:
        """Covariance (p, p) of :attr:`beta`."""

    @property
    @abstractmethod
    def theta(self) -> Array:
        """Covariance parameters (t,), in the order of the formula; relative to sigma in a linear model."""

    @property
    @abstractmethod
    def scale(self) -> float:
        """Residual variance, or the dispersion of the family; 1 where it has none."""

    @property
    @abstractmethod
    def has_sigma(self) -> bool:
        """Whether a residual variance is estimated, so that tables show a ``sigma``."""

    @property
    def further_names(self) -> tuple[str, ...]:
        """Names of the parameters beside fixed effects, covariances and sigma, as :meth:`without` has them."""
        return ()

    @property
    @abstractmethod
    def roots(self) -> tuple[Array, ...]:
        """A root (q, q) of the covariance of the random effects of each term."""

    @property
    def covariances(self) -> tuple[Array, ...]:
        """Covariance (q, q) of the random effects of each term."""
        return tuple(root @ root.T for root in self.roots)

    @property
    @abstractmethod
    def llf(self) -> float:
        """Log-likelihood (restricted under REML), all constants included."""

    @property
    def llfs(self) -> Array:
        """The log-likelihood by each random probe (K,); empty where it is exact."""
        return np.zeros(0)

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """Number of estimated parameters, fixed effects included."""

    @property
    @abstractmethod
    def certificate(self) -> Certificate:
        """How sure it is that the optimum was found."""

    @property
    def is_plain(self) -> bool:
        """Whether it is known, without the cost of the certificate, that there is nothing to warn of."""
        return False

    @property
    def separated_components(self) -> dict[str, tuple[str, ...]]:
        """Columns without a finite estimate, by further linear predictor.

        The rows tell such columns apart without error, as an indicator of rows without a single zero does in zero
        inflation. A predictor that has run off as a whole is not among them.
        """
        return {}

    @property
    def cross_product_root(self) -> Array:
        """``R`` (p, p) with ``R'R = X'WX``, W as in :meth:`weighted_rows`."""
        rows: Any = self.weighted_rows(sp.csr_array(self.design.fixed.matrix))
        dense: Array = rows.toarray() if sp.issparse(rows) else rows  # type: ignore[attr-defined]
        return np.asarray(np.linalg.qr(dense, mode="r"))

    # ---------------------------------------------------------------- intervals
    @property
    def reported(self) -> tuple[Reported, ...]:
        """The numbers that intervals are made for, on the user's scale: random part, fixed effects, the family's own.

        ``conf_int``, ``profile`` and ``bootstrap`` take names, bounds, scales and values from here: the fixed effects,
        unless a kind of fit has more.
        """
        return tuple(Reported(str(name), "fixed", "conditional", None) for name in self.design.fixed.names)

    @property
    def likelihood(self) -> Likelihood:
        """The likelihood around the estimate, in the inner parameters ``phi`` (k,) that it does not profile out."""
        raise self._lacks("likelihood around its estimate")

    @property
    def phi_covariance(self) -> Array:
        """Covariance (k, k) of ``likelihood.phi``; nan or zero for what is held at the end of its range."""
        raise self._lacks("covariance of the parameters of its likelihood")

    @property
    def normal_variances(self) -> NormalVariances | None:
        """The variances of a normal response as functions of ``likelihood.phi``; None where they are not known so."""
        return None

    @property
    def theta_jacobian(self) -> Array:
        """Derivatives (t, t) of :attr:`theta` in the inner covariance parameters; nan where there are none."""
        raise self._lacks("derivatives of its covariance parameters")

    @property
    def parameters(self) -> dict[tuple[str, str], float]:
        """All parameters by (component, name), on the scales on which they are linear or unbounded."""
        fixed, covariances = self._named_parameters
        return fixed | covariances

    @property
    def _named_parameters(self) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], float]]:
        """The fixed effects and the covariance parameters by (component, name)."""
        labels = [f"{t.group}: {label}" for t in self.design.random for label in t.theta_labels]
        fixed = {
            ("conditional", str(name)): float(v) for name, v in zip(self.design.fixed.names, self.beta, strict=True)
        }
        return fixed, {("covariance", name): float(v) for name, v in zip(labels, self.theta, strict=True)}

    @property
    def unprofilable(self) -> str:
        """Why the likelihood cannot be profiled; empty where it can."""
        return ""

    # ---------------------------------------------------------------- random effects
    @property
    @abstractmethod
    def modes(self) -> tuple[Array, ...]:
        """Conditional modes (q, m) of the random effects of each term."""

    @abstractmethod
    def factor_covariance(self, factor: int) -> Array:
        """Return the conditional covariances (Q, Q, m) of a factor's effects, in the basis of the inner scale."""

    @cached_property
    def mode_variances(self) -> tuple[Array, ...]:
        """Conditional variances (q, m) of the random effects of each term, the parameters held fixed."""
        problem = self.problem
        return tuple(
            np.einsum("ia,abm,ib->im", basis.matrix, self.factor_covariance(factor)[place, place], basis.matrix)
            for basis, (factor, place) in zip(problem.terms, problem.assembly.places, strict=True)
        )

    @abstractmethod
    def joint_covariance(self) -> Array:
        """Return the covariance (p + q, p + q) of the errors of fixed and random effects.

        Random effects by term of the formula, level within a term, coefficient within a level.
        """

    @abstractmethod
    def weighted_rows(self, matrix: Any) -> Any:
        """Return ``W**(1/2) M`` for the sparse rows ``M`` (n, q), W the inverse residual covariance or working weights.

        Relative to sigma squared in a linear model.
        """

    # ---------------------------------------------------------------- predictions
    @property
    @abstractmethod
    def response(self) -> ResponseModel:
        """The distribution of the response at the estimate: means, draws, residuals."""

    @property
    def components(self) -> Mapping[str, FixedEffects]:
        """Columns of the further linear predictors, by the parameter of the family that they model."""
        return {}

    @property
    @abstractmethod
    def error_root(self) -> Array:
        """A root (k, k) of the covariance of the parameters whose errors move linear predictors.

        The family-wide parameters are the last of them; nan where there is no information.
        """

    @property
    def error_covariance(self) -> Array:
        """Covariance (k, k) of the parameters of :attr:`error_root`; nan where there is no information."""
        return np.asarray(self.error_root @ self.error_root.T)

    @property
    def beta_slopes(self) -> Array:
        """Derivatives (p, k) of :attr:`beta` in these parameters; those that come first are beta unless said."""
        return np.eye(len(self.beta), len(self.error_root))

    @property
    def phi_slopes(self) -> Array:
        """Derivatives (m, k) of the family-wide parameters in these parameters; those that come last unless said."""
        k = len(self.error_root)
        return np.eye(k)[k - self.response.phi.size :]

    @abstractmethod
    def predictor_errors(self, rows: PredictedRows) -> PredictorErrors:
        """Return what makes the first linear predictor of each row uncertain."""

    def integrated_variance(self, integrated: Sequence[BoolArray], data: Any) -> Array:
        """Return the variance (n,) of the random effects that a mean is averaged over, on the linear predictor's scale.

        Parameters
        ----------
        integrated : sequence of (q,) bool
            Which columns of every term are integrated out.
        data : data frame or None
            New rows; the fitted ones if None.
        """
        return linear_predictor_variance(self.design, self.covariances, integrated, data)

    def drawn_effects(self, term: int, levels: int, draws: int, rng: np.random.Generator) -> Array:
        """Return new effects (q, levels, draws) of a term, before any covariance of its levels."""
        root = self.roots[term]
        return np.tensordot(root, rng.standard_normal((root.shape[1], levels, draws)), axes=1)

    def variance_slopes(self, integrated: Any, data: Any) -> Array:
        """Return the derivative (n, k) of the variance of the integrated random effects, in the parameters.

        Parameters
        ----------
        integrated : sequence of (q,) bool
            Which columns of every term are integrated out.
        data : data frame or None
            New rows; the fitted ones if None.
        """
        n = self.design.n_rows if data is None else len(data)
        return np.zeros((n, self.error_root.shape[0]))

    def component_slopes(self, matrices: Mapping[str, Array]) -> list[Array]:
        """Return the derivatives (n, k) of every further linear predictor in the parameters, for its columns."""
        return []

    @property
    def phi_bounds(self) -> tuple[Array, Array]:
        """Smallest and largest values (m,) of the family-wide parameters on their unbounded scales."""
        return np.zeros(0), np.zeros(0)

    def leverages(self) -> tuple[Array, Array]:
        """Return how much the response of every row pulls its own linear predictor: through fixed and random effects.

        In a generalised model that is the response of the working linear model at the estimate.
        """
        raise self._lacks("leverages")

    def drawn_predictor(self, effects: Array, rng: np.random.Generator) -> Array:
        """Return a draw of the first linear predictor (n,) from its distribution given the data, the variances known.

        Parameters
        ----------
        effects : (n,)
            ``Z b`` of random effects drawn afresh. The draw is the conditional mean plus the error of the fit to data
            with these effects, which has the same distribution (Papandreou & Yuille 2010).
        rng : Generator
        """
        raise self._lacks("draws given the data")

    # ---------------------------------------------------------------- the same model again
    @abstractmethod
    def with_response(self, y: Array) -> Any:
        """Return the problem with the response ``y`` (n,) in place of the fitted one.

        Raises
        ------
        DataError
            If the family cannot have such a response.
        """

    @abstractmethod
    def on_rows(self, design: Design, rows: AnyArray) -> Any:
        """Return the problem of the same model for ``design``: the fitted rows ``rows`` (n',), some repeated."""

    def without(self, sets: IntArray, columns: pd.DataFrame | None, workers: Workers) -> Without:
        """Return the estimates without the rows of each of R sets.

        Parameters
        ----------
        sets : (n,)
            Number of the set that every row belongs to.
        columns : DataFrame, optional
            What a residual structure reads, a row a row of the design.
        workers : Workers
            Who fits, where the sets are fitted one by one.
        """
        raise self._lacks("estimates without rows")

    @property
    def same_way(self) -> Control:
        """Settings by which another fit solves its equations as this one did: exactly, or with the same probes."""
        return Control()

    # ---------------------------------------------------------------- storage
    @abstractmethod
    def stored(self) -> tuple[dict[str, Any], dict[str, AnyArray]]:
        """Return the plain values and the arrays from which ``model.restored`` makes the fit again."""
