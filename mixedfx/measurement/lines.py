"""Straight lines where x and y are both measured with error: Deming's and York's.

Every point stands for a true one on the line. Its distance from the line is measured by the errors of both coordinates:
with variances ``s_x^2``, ``s_y^2`` and correlation ``r`` of the errors, and a line of slope b,

    ``S = sum W (y - a - b x)^2``,   ``1 / W = s_y^2 + b^2 s_x^2 - 2 b r s_x s_y``.

References
----------
Deming, W. E. (1943). *Statistical Adjustment of Data*. Wiley.
Fuller, W. A. (1987). *Measurement Error Models*, section 1.3. Wiley.
York, D., Evensen, N. M., Lopez Martinez, M. and De Basabe Delgado, J. (2004). Unified equations for the slope,
intercept, and standard errors of the best straight line. *American Journal of Physics* 72, 367-375.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_flag, checked_positive
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array
from mixedfx.exceptions import DataError, SpecificationError

__all__ = ["Line", "deming", "york"]

FEWEST = 3  # points: with two the line passes through both, and there are no errors to see
ITERATIONS = 500
TOLERANCE = 1e-14  # relative change of the slope that ends the iteration


@hinting_methods
@dataclass(frozen=True)
class Line:
    """A straight line through points with errors in both coordinates.

    Attributes
    ----------
    intercept, slope : float
    se_intercept, se_slope : float
        Standard errors, of the kind that :attr:`convention` names.
    chi2 : float
        Weighted sum of squares ``S`` of the distances; for :func:`deming`, whose errors are known up to a factor, with
        the variance of the errors of x taken as 1.
    n : int
        Number of points.
    convention : str
        How the standard errors are computed, in words.
    covariance : float
        Covariance of intercept and slope, in the same convention.
    """

    intercept: float
    slope: float
    se_intercept: float
    se_slope: float
    chi2: float
    n: int
    convention: str
    covariance: float

    @property
    def df(self) -> int:
        """Degrees of freedom ``n - 2`` of :attr:`chi2`."""
        return self.n - 2

    def predict(self, x: Any) -> Array:
        """Return the line (n,) at *true* values of x."""
        return np.asarray(self.intercept + self.slope * np.asarray(x, dtype=float))

    def to_frame(self) -> pd.DataFrame:
        """Return estimates and standard errors, one row each for the intercept and the slope."""
        return pd.DataFrame(
            {"estimate": [self.intercept, self.slope], "std_error": [self.se_intercept, self.se_slope]},
            index=["intercept", "slope"],
        )

    def __repr__(self) -> str:
        text = self.to_frame().to_string(float_format=lambda value: f"{value:.6g}")
        return f"{text}\nS = {self.chi2:.6g} on {self.df} degrees of freedom; standard errors: {self.convention}"


def deming(x: Any, y: Any, ratio: float = 1.0) -> Line:
    """Fit a line by Deming's regression: errors in both coordinates, the ratio of their variances known.

    Parameters
    ----------
    x, y : array-like (n,)
        Measured coordinates; pairs with a missing value are refused.
    ratio : float
        Variance of the errors of y divided by that of the errors of x. 1 is orthogonal regression; towards infinity it
        is least squares of y on x.

    Returns
    -------
    Line
        Its standard errors are Fuller's (1987, theorem 1.3.1), with the error variance estimated from the points.

    Raises
    ------
    DataError
        If there are fewer than three points, they are not finite numbers, or no line is better than another.
    SpecificationError
        If the ratio is not a positive number.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> line = mfx.deming([0.1, 0.9, 2.2, 2.8, 4.1], [0.2, 2.1, 3.8, 6.1, 8.0])
    >>> round(line.slope, 4), round(line.intercept, 4)
    (1.982, 0.0363)
    """
    u, v = _points(x, y)
    delta = checked_positive("ratio", ratio)
    n, mean_x, mean_y = u.size, float(u.mean()), float(v.mean())
    dx, dy = u - mean_x, v - mean_y
    sxx, sxy, syy = (float(part) / (n - 1) for part in (dx @ dx, dx @ dy, dy @ dy))
    if sxy == 0.0:
        raise DataError(
            "x and y are uncorrelated: no slope is better than its negative, and Deming's line is undefined"
        )
    gap = syy - delta * sxx
    root = float(np.hypot(gap, 2.0 * np.sqrt(delta) * sxy))
    # the two forms are equal; each is free of cancellation on its side
    slope = (gap + root) / (2.0 * sxy) if gap > 0 else 2.0 * delta * sxy / (root - gap)
    intercept = mean_y - slope * mean_x
    true_xx = sxy / slope
    error_xx = max(sxx - true_xx, 0.0)
    residual = dy - slope * dx
    s_vv = float(residual @ residual) / (n - 2)
    error_uv = -slope * error_xx
    variance = max(sxx * s_vv - error_uv**2, 0.0) / ((n - 1) * true_xx**2)
    chi2 = float(residual @ residual) / (delta + slope**2)
    convention = "Fuller (1987, theorem 1.3.1), error variance estimated"
    of_intercept = float(np.sqrt(s_vv / n + mean_x**2 * variance))
    return Line(
        intercept, slope, of_intercept, float(np.sqrt(variance)), chi2, n, convention, float(-mean_x * variance)
    )


def york(x: Any, y: Any, sx: Any, sy: Any, r: Any = 0.0, *, scaled: bool = False) -> Line:
    """Fit a line by York's method: errors in both coordinates of every point, their standard deviations known.

    Parameters
    ----------
    x, y : array-like (n,)
        Measured coordinates.
    sx, sy : float or array-like (n,)
        Standard deviations of their errors. One of the two may be zero.
    r : float or array-like (n,)
        Correlation of the two errors of a point, between -1 and 1.
    scaled : bool
        Two conventions of the standard errors circulate. By default they are those of York et al. (2004): the errors
        are what ``sx`` and ``sy`` say. With ``True`` they are multiplied by ``sqrt(S / (n - 2))``, which takes ``sx``
        and ``sy`` as known up to a common factor only.

    Returns
    -------
    Line

    Raises
    ------
    DataError
        If there are fewer than three points, a number is not finite, an error is negative, or both are zero.
    SpecificationError
        If a correlation is not between -1 and 1.

    Examples
    --------
    Pearson's points with York's weights:

    >>> import mixedfx as mfx, numpy as np
    >>> x = [0.0, 0.9, 1.8, 2.6, 3.3, 4.4, 5.2, 6.1, 6.5, 7.4]
    >>> y = [5.9, 5.4, 4.4, 4.6, 3.5, 3.7, 2.8, 2.8, 2.4, 1.5]
    >>> wx = np.array([1000, 1000, 500, 800, 200, 80, 60, 20, 1.8, 1])
    >>> wy = np.array([1, 1.8, 4, 8, 20, 20, 70, 70, 100, 500])
    >>> line = mfx.york(x, y, wx**-0.5, wy**-0.5)
    >>> round(line.intercept, 6), round(line.slope, 6), round(line.chi2, 4)
    (5.47991, -0.480533, 11.8664)
    """
    u, v = _points(x, y)
    ex, ey, rho = (_along(name, value, u.size) for name, value in (("sx", sx), ("sy", sy), ("r", r)))
    scaled = checked_flag("scaled", scaled)
    for name, values in (("sx", ex), ("sy", ey)):
        if np.any(values < 0):
            raise DataError(f"{name} holds standard deviations, which are not negative; found {values.min():g}")
    if np.any(np.abs(rho) >= 1):
        raise SpecificationError(f"r is a correlation between -1 and 1; found {rho[np.abs(rho) >= 1][0]:g}")
    if np.any((ex == 0) & (ey == 0)):
        raise DataError("sx and sy are both zero in a point: the line would have to pass through it; give one of them")
    slope, adjusted, weight = _iterated(u, v, ex**2, ey**2, rho * ex * ey)
    mean_x, mean_y = (float(weight @ part / weight.sum()) for part in (u, v))
    intercept = mean_y - slope * mean_x
    chi2 = float(weight @ (v - intercept - slope * u) ** 2)
    centre = float(weight @ adjusted / weight.sum())
    variance = 1.0 / float(weight @ (adjusted - centre) ** 2)
    of_intercept = 1.0 / float(weight.sum()) + centre**2 * variance
    factor = chi2 / (u.size - 2) if scaled else 1.0
    convention = "York et al. (2004), errors as given"
    if scaled:
        convention = "York et al. (2004) times sqrt(S / (n - 2)), errors known up to a factor"
    errors = (float(np.sqrt(factor * of_intercept)), float(np.sqrt(factor * variance)))
    return Line(intercept, slope, *errors, chi2, u.size, convention, -factor * centre * variance)


def _iterated(x: Array, y: Array, xx: Array, yy: Array, xy: Array) -> tuple[float, Array, Array]:
    """Return the slope, the adjusted points (n,) on the line, and the weights (n,), by York's iteration."""
    dx, dy = x - x.mean(), y - y.mean()
    across = float(dx @ dy)
    # the reduced major axis is finite and of the right sign whichever coordinate has the errors
    slope = float(np.copysign(np.sqrt((dy @ dy) / (dx @ dx)), across)) if dx.any() else np.nan
    for _ in range(ITERATIONS):
        weight = 1.0 / (yy + slope**2 * xx - 2.0 * slope * xy)
        mean_x, mean_y = weight @ x / weight.sum(), weight @ y / weight.sum()
        u, v = x - mean_x, y - mean_y
        beta = weight * (u * yy + slope * v * xx - (slope * u + v) * xy)
        along = float((weight * beta) @ u)
        if not (np.isfinite(along) and along):
            break
        new = float((weight * beta) @ v) / along
        moved, slope = abs(new - slope), new
        if moved <= TOLERANCE * max(abs(slope), 1e-300):
            return slope, np.asarray(mean_x + beta), weight
    raise DataError("York's iteration finds no line: the points, beside their errors, do not show a slope")


def _points(x: Any, y: Any) -> tuple[Array, Array]:
    """Return the coordinates as two arrays (n,) of finite numbers."""
    u, v = _numbers("x", x), _numbers("y", y)
    if u.size != v.size:
        raise DataError(f"x has {u.size} values and y has {v.size}: a line needs pairs")
    if u.size < FEWEST:
        raise DataError(f"a line with errors in both coordinates needs at least {FEWEST} points; found {u.size}")
    if np.ptp(u) == 0 or np.ptp(v) == 0:
        constant = "x" if np.ptp(u) == 0 else "y"
        raise DataError(f"{constant} is the same in all points: they show no slope")
    return u, v


def _along(name: str, value: Any, n: int) -> Array:
    """Return one number a point (n,), of an array or of one number for all."""
    values = np.full(n, float(value)) if np.ndim(value) == 0 and _is_real(value) else _numbers(name, value)
    if values.size != n:
        raise DataError(f"{name} has {values.size} values for {n} points: give one number, or one a point")
    if not np.isfinite(values).all():
        raise DataError(f"{name} must be finite; found {value!r}")
    return values


def _is_real(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _numbers(name: str, values: Any) -> Array:
    """Return a column of finite numbers (n,)."""
    try:
        numbers = np.array(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} is a column of numbers; found {type(values).__name__}") from error
    if numbers.ndim != 1:
        raise DataError(f"{name} is a column of numbers; found an array of shape {numbers.shape}")
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        raise DataError(
            f"{name} must be finite: value {bad[0]} is {numbers[bad[0]]:g}; leave out the pairs with missing values"
        )
    return numbers
