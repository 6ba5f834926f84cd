"""Variance inflation: what the correlation among predictors costs each of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable
from mixedfx._typing import Array
from mixedfx.diagnostics.checks import mixed_results
from mixedfx.exceptions import SpecificationError

__all__ = ["vif"]


def vif(fit: Any) -> StatsTable:
    """Return generalised variance-inflation factors, one for each term of the fixed effects.

    Parameters
    ----------
    fit : MixedResults

    Returns
    -------
    StatsTable
        ``df`` (columns of the term), ``gvif``, and ``scaled = gvif ** (1 / (2 df))``: by how much the standard errors
        of the term are larger than if it were uncorrelated with the other terms. Above 3 or so it hurts.

    References
    ----------
    Fox & Monette (1992), J. Am. Stat. Assoc. 87, 178.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> fit = mfx.lmer("distance ~ age * Sex + (1 | Subject)", mfx.load_dataset("orthodont"))
    >>> mfx.vif(fit).to_frame()["scaled"].round(2).to_dict()
    {'age': 1.3, 'Sex': 2.02, 'age:Sex': 2.18}
    """
    results = mixed_results(fit, "vif")
    names = list(results.params.index)
    keep = [i for i, name in enumerate(names) if name != "Intercept"]
    terms = {t: [i for i in columns if i in keep] for t, columns in results.design.fixed.terms.items()}
    terms = {t: columns for t, columns in terms.items() if columns}
    if len(terms) < 2:
        raise SpecificationError("variance inflation needs at least two terms of fixed effects beside the intercept")
    covariance = results.cov_params().to_numpy()
    sd = np.sqrt(covariance.diagonal())
    correlation = covariance / np.outer(sd, sd)
    whole = _logdet(correlation, keep)
    rows = {}
    for term, own in terms.items():
        others = [i for i in keep if i not in own]
        value = float(np.exp(_logdet(correlation, own) + _logdet(correlation, others) - whole))
        rows[term] = (len(own), value, value ** (0.5 / len(own)))
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["df", "gvif", "scaled"])
    return StatsTable.from_frame(
        frame.rename_axis("term"),
        heading="Variance inflation",
        notes=["scaled: the factor by which correlation with the other terms lengthens the standard errors."],
    )


def _logdet(matrix: Array, chosen: list[int]) -> float:
    return float(np.linalg.slogdet(matrix[np.ix_(chosen, chosen)])[1])
