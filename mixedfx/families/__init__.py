"""Response distributions and links.

``family_for(family, link)`` turns what a user wrote into a :class:`Family`. What an estimation engine does with it::

    family = family_for("nbinom2")                       # or .with_predictors("dispersion"), with_zero_inflation(...)
    family = family.adapted(y)                           # an ordinal family counts its categories
    observed = family.observe(y, trials=None, weights=None)      # DataError if a value is impossible
    eta, phi = family.start_eta(observed), family.start_phi(observed)
    value, slope, curvature = family.mean_derivatives(observed, eta, phi)   # inner loop: in the mean's eta only
    l, l1, l2, l3 = family.derivatives(observed, eta, phi)                  # all constants; in all K predictors
    d, d1, d2 = family.phi_derivatives(observed, eta, phi)                  # of l, l', l'' in phi

**Linear predictors.** ``family.predictors`` names them: ``("mean",)`` mostly, then ``eta`` has the shape (n,) and all
results too. With K > 1 of them (``("mean", "dispersion", "zero_inflation")``, always in this order) ``eta`` is (n, K),
the gradient (n, K), the Hessian (n, K, K) and the third derivatives (n, K, K, K). Leading axes of ``eta``, such as the
nodes of a quadrature, are broadcast: (nodes, n) or (nodes, n, K).

**Family-wide parameters.** ``phi`` is a vector of what is one number for all rows, named by ``family.phi_names`` and
always on an unbounded scale: log dispersion, log degrees of freedom, ``logit(p - 1)`` of a Tweedie power, the first
threshold and the logarithms of the gaps between thresholds. ``family.natural(phi)`` gives the natural values and the
Jacobian. A component is in ``phi``, in ``predictors`` or in ``fixed``, never in two of them.

============================== ================================== ==============================================
family                         variance of the response           dispersion (its log in ``phi``)
============================== ================================== ==============================================
gaussian                       phi                                variance
student_t                      phi nu/(nu - 2)                    squared scale; ``df`` nu
gamma                          phi mu²                            1/shape (glmmTMB's sigma squared)
inverse_gaussian               phi mu³                            1/lambda
lognormal                      mu² (exp(phi) - 1)                 variance of log y; mu is the mean of y
tweedie                        phi mu^p                           ``power`` p between 1 and 2
poisson, binomial              mu, mu (1 - mu)/n                  none
nbinom2 (negative_binomial)    mu (1 + mu/phi)                    size
nbinom1                        mu (1 + phi)                       variance over mean, less one
beta                           mu (1 - mu)/(1 + phi)              precision
beta_binomial                  mu (1 - mu)/n (phi + n)/(phi + 1)  precision
ordinal                        -                                  none; thresholds
============================== ================================== ==============================================

**Weights** divide the dispersion in the exponential dispersion models, Student's t and the lognormal family
(``precision_weights``) and multiply the log-likelihood elsewhere; those of a binomial proportion are its ``trials``.

**Concavity.** ``-l''`` can be negative (Student t, cauchit, inverse links, zero inflation). ``expected_weights`` is
always positive and serves for safe steps and for ``information="expected"``.

**Extremes.** Where a link leaves the range of the mean, or a number cannot be represented, the log-likelihood is
``-inf``, the derivatives are zero, and nothing warns.

A user's own family is a subclass of :class:`Family` with three methods; see its example.
"""

from __future__ import annotations

from mixedfx.calculus.jets import Jet
from mixedfx.families.base import Family
from mixedfx.families.continuous import Gamma, Gaussian, InverseGaussian, LogNormal, StudentT
from mixedfx.families.counts import CountFamily, NegativeBinomial1, NegativeBinomial2, Poisson
from mixedfx.families.links import LINKS, Link, LinkName, Mean, link_for
from mixedfx.families.observed import (
    COUNTS,
    NON_NEGATIVE,
    OPEN_UNIT,
    POSITIVE,
    POSITIVE_COUNTS,
    PROPORTIONS,
    REAL,
    Observed,
    Support,
)
from mixedfx.families.ordinal import Ordinal
from mixedfx.families.parameters import (
    DEGREES_OF_FREEDOM,
    DISPERSION,
    POWER,
    ZERO_INFLATION,
    Parameter,
    positive_parameter,
    real_parameter,
)
from mixedfx.families.proportions import Beta, BetaBinomial, Binomial
from mixedfx.families.resolve import FAMILIES, FamilyName, family_for
from mixedfx.families.tweedie import Tweedie
from mixedfx.families.zeros import Hurdle, Truncated, ZeroInflated, parameters_at_limit, with_zero_inflation

__all__ = [
    "COUNTS",
    "DEGREES_OF_FREEDOM",
    "DISPERSION",
    "FAMILIES",
    "LINKS",
    "NON_NEGATIVE",
    "OPEN_UNIT",
    "POSITIVE",
    "POSITIVE_COUNTS",
    "POWER",
    "PROPORTIONS",
    "REAL",
    "ZERO_INFLATION",
    "Beta",
    "BetaBinomial",
    "Binomial",
    "CountFamily",
    "Family",
    "FamilyName",
    "Gamma",
    "Gaussian",
    "Hurdle",
    "InverseGaussian",
    "Jet",
    "Link",
    "LinkName",
    "LogNormal",
    "Mean",
    "NegativeBinomial1",
    "NegativeBinomial2",
    "Observed",
    "Ordinal",
    "Parameter",
    "Poisson",
    "StudentT",
    "Support",
    "Truncated",
    "Tweedie",
    "ZeroInflated",
    "family_for",
    "link_for",
    "parameters_at_limit",
    "positive_parameter",
    "real_parameter",
    "with_zero_inflation",
]
