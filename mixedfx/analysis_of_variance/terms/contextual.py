"""Do the effects of ``wb(x, g)`` differ within and between groups: Mundlak's form of Hausman's test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfx._display import StatsTable
from mixedfx.exceptions import SpecificationError
from mixedfx.inference.ddf import DdfName
from mixedfx.matrices.transforms import BETWEEN, WITHIN
from mixedfx.results.base import checked_fit

__all__ = ["contextual_test"]

MEANING = (
    "contextual is between less within: what the mean of its group adds to a row of given value. Where it is zero, the "
    "predictor itself would do in place of wb(…)."
)


def contextual_test(fit: Any, *, ddf: DdfName | None = None) -> StatsTable:
    """Test whether predictors written as ``wb(x, g)`` have the same effect within groups and between them.

    Parameters
    ----------
    fit : LinearMixedResults or GeneralizedLinearMixedResults
    ddf : str, optional
        Denominator degrees of freedom, as for :meth:`t_test`.

    Returns
    -------
    StatsTable
        One row a pair of columns, interactions too: ``within, between``, their difference ``contextual``, its ``se``,
        ``df``, t (or z) and p. With several pairs a note has the joint test.

    Raises
    ------
    SpecificationError
        If the fixed effects have no ``wb(x, g)`` with both columns.

    Notes
    -----
    The Wald test of ``between = within``. A random intercept assumes that the groups' effects have nothing to do with
    the predictor; the group means free the model of it, and the effect within groups then is that of a model with an
    indicator for every group. A difference says that the plain predictor would mix two effects.

    References
    ----------
    Mundlak, Y. (1978). On the pooling of time series and cross section data. Econometrica 46, 69-85.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> radon = mfx.load_dataset("radon").rename(columns={"log.radon": "radon"})
    >>> fit = mfx.lmer("radon ~ wb(basement, county) + uranium + (1 | county)", radon)
    >>> mfx.contextual_test(fit).round(3).loc[:, ["within", "between", "contextual", "se"]].values.tolist()
    [[-0.721, -0.311, 0.41, 0.201]]
    """
    fit = checked_fit(fit, "contextual_test", "needs results of mixedfx")
    names = [str(name) for name in fit.params.index]
    pairs = _pairs(names)
    if not pairs:
        raise SpecificationError(
            "no fixed effect is split within and between groups: write wb(x, g) in the place of x, with g a factor in "
            "which x varies"
        )
    rows = np.zeros((len(pairs), len(names)))
    for row, (within, between) in zip(rows, pairs, strict=True):
        row[[names.index(between), names.index(within)]] = 1.0, -1.0
    tests = fit.t_test(rows, ddf=ddf)
    letter = "t" if tests.use_t else "z"
    frame = pd.DataFrame(
        {
            "within": [float(fit.params[within]) for within, _ in pairs],
            "between": [float(fit.params[between]) for _, between in pairs],
            "contextual": tests.effect,
            "se": tests.sd,
            "df": tests.df_denom,
            letter: tests.statistic,
            f"PR(>|{letter}|)": tests.pvalue,
        },
        index=[within.replace(f"[{WITHIN}]", "") for within, _ in pairs],
    )
    joint = [f"All together: {fit.f_test(rows, ddf=ddf)}"] if len(pairs) > 1 else []
    return StatsTable.from_frame(frame, heading="Within and between groups", notes=[MEANING, *joint])


def _pairs(names: list[str]) -> list[tuple[str, str]]:
    """Return the columns that are one but for *within* and *between*."""
    turned = {name: name.replace(f")[{WITHIN}]", f")[{BETWEEN}]") for name in names if f")[{WITHIN}]" in name}
    return [(within, between) for within, between in turned.items() if between in names]
