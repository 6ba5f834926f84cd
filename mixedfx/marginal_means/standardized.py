"""Effect sizes: contrasts of means in units of a standard deviation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mixedfx.exceptions import SpecificationError
from mixedfx.marginal_means.denominators import WithSpread
from mixedfx.marginal_means.functions import Functions
from mixedfx.marginal_means.means import MarginalMeans
from mixedfx.marginal_means.model import Spread
from mixedfx.marginal_means.scales import IDENTITY

__all__ = ["eff_size"]


def eff_size(means: MarginalMeans, sigma: float | None = None, df: float | None = None) -> MarginalMeans:
    """Return Cohen's d of contrasts: differences over the standard deviation of an observation, with intervals.

    Parameters
    ----------
    means : MarginalMeans
        Contrasts; of means all pairwise differences are taken.
    sigma : float, optional
        The standard deviation. By default that of an observation around its mean: of a linear model the residual's, of
        a linear mixed model that of random effects and residual together, averaged over the rows (Westfall, Judd and
        Kenny 2014). ``sigma=fit.sigma`` measures in units of the residual alone.
    df : float, optional
        Degrees of freedom with which ``sigma`` is known; infinite (a fixed number) if ``sigma`` is given without them.

    Returns
    -------
    MarginalMeans
        Estimates ``d`` with standard errors ``sqrt(se^2 / sigma^2 + d^2 / (2 df))``, as R's ``eff_size``; intervals and
        tests have the degrees of freedom of each contrast (R's: the fewest of the means).

    Raises
    ------
    SpecificationError
        If ``sigma`` or ``df`` is not positive, or the model has no such standard deviation and none is given.

    References
    ----------
    Cohen (1988), Statistical Power Analysis; Westfall, Judd & Kenny (2014), J. Exp. Psychol. Gen. 143, 2020.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("effort ~ Type + (1 | Subject)", mfx.load_dataset("ergostool"))
    >>> sizes = mfx.eff_size(mfx.emmeans(fit, "Type"), sigma=fit.sigma, df=24)
    >>> sizes.to_frame()[["contrast", "effect_size", "se"]].round(3).head(2)
      contrast  effect_size     se
    0  T1 - T2       -3.534  0.695
    1  T1 - T3       -2.020  0.554
    """
    if not isinstance(means, MarginalMeans):
        raise TypeError(f"means are those of emmeans(fit, …), or contrasts of them; found {type(means).__name__}")
    contrasts = means if means.is_comparison else means.pairs(adjust="none")
    spread = _spread(means, sigma, df)
    own = contrasts.functions
    d = own.values / spread.sd
    whole = replace(
        own.model,
        beta=np.append(own.model.beta, np.log(spread.sd)),
        denominator=WithSpread(own.model.denominator, spread.df),
        kept=np.append(own.model.kept, own.rows.shape[1]).astype(np.intp),
        null=np.vstack([own.model.null, np.zeros((1, own.model.null.shape[1]))]),
        write=None,
    )
    known = "" if np.isinf(spread.df) else f", {spread.df:.4g} degrees of freedom"
    return contrasts.changed(
        functions=Functions(whole, d, np.column_stack([own.rows / spread.sd, -d])),
        estimate="effect_size",
        scale=IDENTITY,
        response=None,
        heading="Effect sizes",
        notes=(*_kept(contrasts), f"In units of {spread.sd:.4g} ({spread.words}{known})."),
    )


def _kept(contrasts: MarginalMeans) -> tuple[str, ...]:
    return tuple(note for note in contrasts.notes if "response scale" not in note)


def _spread(means: MarginalMeans, sigma: Any, df: Any) -> Spread:
    if sigma is not None:
        return Spread(_positive("sigma", sigma), np.inf if df is None else _positive("df", df), "sigma as given")
    if means.functions.model.spread is None:
        raise SpecificationError(
            "this model has no single standard deviation of an observation: say in which unit effects are measured, "
            "eff_size(…, sigma=…, df=…)"
        )
    found = means.functions.model.spread()
    return found if df is None else replace(found, df=_positive("df", df))


def _positive(name: str, value: Any) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        raise TypeError(f"{name} is a positive number; found {type(value).__name__}")
    if not value > 0 or (name == "sigma" and not np.isfinite(value)):
        raise SpecificationError(f"{name} is a positive number; found {value}")
    return float(value)
