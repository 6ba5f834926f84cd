"""Generalised models built straight from arrays, each with its dense twin: no formula, no inner scale."""

from dataclasses import dataclass

import numpy as np

from mixedfx.covariance import UnstructuredCovariance, covariance_for
from mixedfx.criterion.assembly import TermRows, assemble
from mixedfx.criterion.marginal import OBSERVED, Auxiliary, FamilyLikelihood, MarginalModel, RidgePenalty
from mixedfx.families import Ordinal, family_for
from mixedfx.linalg.rowwise import RowMap
from tests import dense
from tests.dense_glmm import DenseGLMM, density

TRIALS = 5.0


def unstructured_theta(q, rng):
    T = np.tril(rng.normal(size=(q, q)) * 0.3)
    T[np.diag_indices(q)] = rng.uniform(0.3, 0.9, q)
    columns, rows = np.triu_indices(q)
    return T[rows, columns]


def family_of(name, link, extra=()):
    family = family_for(name, link)
    return Ordinal(link, 4) if isinstance(family, Ordinal) else family.with_predictors(*family.predictors[1:], *extra)


@dataclass(frozen=True)
class Case:
    """A marginal model and parameters at which its likelihood is an ordinary number."""

    model: MarginalModel
    x: np.ndarray
    family: object
    observed: object
    design: object

    def twin(self, name, link, dispersion=1.0):
        """The dense definition, and its arguments at ``x``."""
        model, parts = self.design.dense(), self.model.parts(self.x)
        trials = self.observed.trials
        log_density = density(name, link, trials=trials, dispersion=dispersion)
        glmm = DenseGLMM(self.observed.y, model.X, model.terms, log_density, self.model.offset)
        return glmm, parts.beta, dense.unstructured(model, parts.theta)


def structured_theta(covariance, rng):
    """Parameters of any structure: moderate variances, small correlations."""
    if isinstance(covariance, UnstructuredCovariance):
        return unstructured_theta(covariance.size, rng)
    sds = covariance.rescale(covariance.start(), np.full(covariance.size, rng.uniform(0.3, 0.9)))
    free = ~np.isclose(covariance.lower(), 0.0)  # a correlation
    return np.where(free, rng.uniform(-0.25, 0.25, sds.size), sds)


def build(design, name, link, seed=0, information=OBSERVED, extra=(), offset=0.0, covariance="us"):
    """A response drawn from the family on a random design, with parameters near those it was drawn at."""
    rng = np.random.default_rng(seed)
    family = family_of(name, link, extra)
    model = design.dense()
    terms = [
        TermRows(s.group, t.codes, t.n_levels, np.ascontiguousarray(t.matrix.T), covariance_for(covariance, t.q))
        for s, t in zip(design.terms, model.terms, strict=True)
    ]
    n = len(model.y)
    assembly = assemble(terms, np.zeros((n, 0)))
    X = model.X if family.has_intercept else model.X[:, 1:]
    trials = np.full(n, TRIALS) if family.proportions else None
    theta = np.concatenate([structured_theta(term.covariance, rng) for term in terms])
    beta = rng.normal(size=X.shape[1]) * 0.2
    z = np.column_stack([np.ones(n), rng.normal(size=n)])
    further = [Auxiliary(z) for _ in family.predictors[1:]]
    coefficients = np.concatenate([[0.2, 0.1] for _ in family.predictors[1:]] or [np.zeros(0)])
    eta = X @ beta + 0.4 * rng.normal(size=n)
    centre = _centre(family)
    if centre is not None:
        beta, eta = _about(*centre, beta, X)
        theta = np.concatenate(list(_shrunk(terms, theta, centre[1])))
    phi = _phi(family)
    predictors = [eta, *(z @ coefficients[2 * k : 2 * k + 2] for k in range(len(further)))]
    y = family.simulate(
        rng, np.stack(predictors, -1) if further else eta, phi, trials=1.0 if trials is None else trials
    )
    observed = family.observe(_inside(name, y), trials=trials)
    marginal = MarginalModel(
        RowMap(assembly.rows),
        assembly.covariance,
        X,
        np.full(n, offset),
        FamilyLikelihood(family, observed, information),
        (*further, *(Auxiliary(np.ones((1, 1))) for _ in phi)),
        RidgePenalty(np.zeros((X.shape[1], X.shape[1]))),
    )
    return Case(marginal, np.concatenate([beta, theta, coefficients, phi]), family, observed, design)


def _centre(family):
    """A linear predictor well inside the domain of a link with an edge, and how far to go from it; else None."""
    lower, upper = family.mean_link.domain(family.mean_range)
    if np.isfinite(lower) and np.isfinite(upper):
        return 0.5 * (lower + upper), 0.02
    if np.isfinite(upper):
        return upper - 2.0, 0.1
    with_a_pole = family.mean_link.name in ("sqrt", "inverse", "inverse_squared")
    return (4.0, 0.1) if np.isfinite(lower) or with_a_pole else None


def _about(centre, width, beta, X):
    beta = np.concatenate([[centre], 0.5 * width * beta[1:]])[: X.shape[1]]
    return beta, X @ beta


def _shrunk(terms, theta, width):
    """Standard deviations times ``width``, correlations as they are."""
    ends = np.cumsum([term.covariance.n_theta for term in terms])[:-1]
    for term, own in zip(terms, np.split(theta, ends), strict=True):
        yield term.covariance.rescale(own, np.full(term.covariance.size, width))


def _phi(family):
    values = {"df": np.log(5.0), "power": 0.2, "threshold_1": -1.0}
    return np.array([values.get(name, 0.3) for name in family.phi_names])


def _inside(name, y):
    if name == "beta":
        return np.clip(y, 1e-3, 1 - 1e-3)
    return np.maximum(y, 1e-3) if name in ("gamma", "inverse_gaussian", "lognormal") else y
