"""What the fit works with: matrices of the model, the likelihood and the way of the optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy import special

from mixedfx._arguments import checked_choice, checked_positions
from mixedfx._typing import Array
from mixedfx.diagnostics.checks import independent_results, mixed_results
from mixedfx.exceptions import DataError, SpecificationError
from mixedfx.fitting.linear_search import fit_linear
from mixedfx.optimize import minimize
from mixedfx.plots.look import BLUE, GREY, ORANGE, ink, one_panel
from mixedfx.plots.names import label_axes, legend_beside
from mixedfx.results.base import MixedResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["likelihood_surface", "likelihood_surface_frame", "matrix_frame", "matrix_image", "optimizer_path"]

MatrixName: TypeAlias = Literal["Z", "Lambda", "ZtZ", "L", "V"]

# ------------------------------------------------------------------ matrices
MOST_DENSE = 2000  # columns of a Cholesky factor, rows of V
MOST_CELLS = 20_000_000  # of a picture of a matrix
RE, ROW = "random effect", "row"


@dataclass(frozen=True)
class Matrix:
    """A matrix of the model: its entries at a fit, and what a picture of it says.

    Attributes
    ----------
    of : callable
        From the fit to the matrix.
    title : str
    x, y : str
        What columns and rows are.
    size : tuple of float
        Of the picture, in inches.
    """

    of: Callable[[Any], Any]
    title: str
    x: str = RE
    y: str = RE
    size: tuple[float, float] = (4.2, 3.8)


def _lambda(fit: Any) -> Any:
    return fit.model.Lambda(fit.theta.to_numpy())


def _cholesky(fit: Any) -> Any:
    _check_size("L", fit.model.exog_re.shape[1])
    return fit.L


def _response_covariance(fit: Any) -> Any:
    Z = fit.model.exog_re
    _check_size("V", Z.shape[0])
    scaled = Z @ _lambda(fit)
    return (scaled @ scaled.T).toarray() + np.eye(Z.shape[0])


def _check_size(which: str, columns: int) -> None:
    if columns > MOST_DENSE:
        raise SpecificationError(f"{which} has {columns} columns: more than {MOST_DENSE} cannot be seen")


MATRICES: dict[str, Matrix] = {
    "Z": Matrix(lambda fit: fit.model.exog_re, "Z: rows by random effects", y=ROW, size=(3.6, 4.2)),
    "Lambda": Matrix(_lambda, "Λ: factor of the covariance"),
    "ZtZ": Matrix(lambda fit: fit.model.exog_re.T @ fit.model.exog_re, "Z′Z"),
    "L": Matrix(_cholesky, "L: Cholesky factor of Λ′Z′WZΛ + I"),
    "V": Matrix(_response_covariance, "V = ZΛΛ′Z′ + I", x=ROW, y=ROW),
}


def matrix_frame(fit: Any, which: MatrixName = "Z") -> pd.DataFrame:
    """Return the non-zero entries behind :func:`matrix_image`: ``row, column, value``.

    Parameters
    ----------
    fit : MixedResults
    which : {"Z", "Lambda", "ZtZ", "L", "V"}
        ``"Z"``, ``"Lambda"``, ``"ZtZ"``, ``"L"`` (the Cholesky factor of the penalised equations, random effects in the
        order of the formula) or ``"V"`` (the covariance of the response relative to sigma squared).

    Returns
    -------
    DataFrame
        One row a non-zero entry: ``row, column`` (positions from 0) and ``value``.
    """
    results = mixed_results(fit, "matrix_frame")
    matrix = sp.coo_array(checked_choice("which", which, MATRICES).of(results))
    row, column = matrix.coords
    return pd.DataFrame({"row": row, "column": column, "value": matrix.data})


def matrix_image(fit: Any, which: MatrixName = "Z", *, ax: Axes | None = None) -> Axes:
    """Draw a matrix of the model: zeros pale, positive numbers blue, negative ones red.

    Parameters
    ----------
    fit, which
        As for :func:`matrix_frame`.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    results, matrix = mixed_results(fit, "matrix_image"), checked_choice("which", which, MATRICES)
    entries = sp.coo_array(matrix.of(results))
    if entries.shape[0] * entries.shape[1] > MOST_CELLS:
        raise SpecificationError(
            f"{which} has {entries.shape[0]:,} rows and {entries.shape[1]:,} columns, more than can be seen: "
            "plots.matrix_frame has its entries that are not zero"
        )
    dense = entries.toarray()
    panel = one_panel(ax, matrix.size)
    largest = float(np.abs(dense).max(initial=0.0)) or 1.0
    shown = np.sign(dense) * np.sqrt(np.abs(dense) / largest)  # roots, so that small entries are seen
    tall = dense.shape[0] > 2 * dense.shape[1]
    panel.imshow(shown, cmap="RdBu", vmin=-1.0, vmax=1.0, interpolation="nearest", aspect="auto" if tall else "equal")
    panel.locator_params(integer=True)
    label_axes(panel, x=matrix.x, y=matrix.y, title=matrix.title)
    panel.spines[["top", "right"]].set_visible(True)
    return panel


# ------------------------------------------------------------------ likelihood
POINTS = 41
FEWEST_POINTS, MOST_SOLVED = 15, 5e7  # a coarser grid of fits with very many random effects, that many in all
FINE = 201
PROFILED_POINTS, PROFILED_FINE = 21, 61  # of generalised models, whose fixed effects are searched for at each point
SMOOTH = 1e-6  # by how much minus twice a log-likelihood may miss its minimum, in a picture
SMOOTH_MODE = 1e-9  # and of the conditional mode, the Newton decrement before the last step
LEVELS = (0.5, 0.8, 0.95, 0.99, 0.999)
MOST_EVALUATED = 2e7  # evaluations times rows, where a fit is by iteration
REACH = 3.5  # standard errors to each side


@dataclass(frozen=True)
class _Surface:
    fit: MixedResults
    chosen: tuple[int, ...]
    path: Array
    axes: tuple[Array, ...]

    @property
    def is_linear(self) -> bool:
        """Whether fixed effects and sigma have their best values in closed form."""
        return self.fit.solution.response.has_normal_residuals

    def values(self) -> Array:
        """Minus twice the log-likelihood above its minimum, over the axes."""
        theta = self.fit.theta.to_numpy()
        solution = self.fit.solution
        objective = self._linear if self.is_linear else _Profiled(solution)
        out = np.empty(tuple(axis.size for axis in self.axes))
        for place in _in_turns(out.shape):
            trial = theta.copy()
            trial[list(self.chosen)] = [axis[i] for axis, i in zip(self.axes, place, strict=True)]
            try:
                out[place] = objective(np.asarray(trial, dtype=np.float64))
            except (FloatingPointError, SpecificationError, DataError):  # neither floating point nor structure has one
                out[place] = np.nan
        return out - (self.fit.deviance if self.is_linear else solution.likelihood.value)

    def _linear(self, theta: Array) -> float:
        value: float = self.fit.model.objective(theta, reml=self.fit.reml)[0]
        return value


def _in_turns(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Walk through a grid so that every place is beside the one before: every other row is walked backwards."""
    for first in range(shape[0]):
        rest = list(np.ndindex(shape[1:]))
        yield from ((first, *place) for place in (rest[::-1] if first % 2 else rest))


class _Profiled:
    """Minus twice the log-likelihood of a generalised model at covariance parameters, least over all others."""

    def __init__(self, solution: Any) -> None:
        self._solution, self._likelihood = solution, solution.likelihood
        self._nearest, self._near = self._likelihood.phi, solution.at.state

    def __call__(self, theta: Array) -> float:
        around, place = self._likelihood, self._likelihood.theta
        solution, problem = self._solution, self._solution.problem
        asked = problem.to_user(around.phi)
        asked[place] = theta
        start, lower, upper = self._nearest.copy(), around.lower.copy(), around.upper.copy()
        lower[around.ended] = upper[around.ended] = around.phi[around.ended]
        for values in (start, lower, upper):
            values[place] = problem.to_inner(asked)[place]
        with np.errstate(all="ignore"):  # what cannot be computed is not finite, and not accepted
            found = minimize(
                lambda x: problem.evaluate(x, solution.integrate, self._near, SMOOTH_MODE),
                start,
                lower,
                upper,
                tol=SMOOTH,
            )
        if np.isfinite(found.point.value):
            self._nearest, self._near = found.x, found.point.state
        return float(found.point.value)


def optimizer_path(fit: Any, start: Any = None) -> pd.DataFrame:
    """Return the covariance parameters at every step of the optimiser, on the user's scale.

    Parameters
    ----------
    fit : LinearMixedResults
    start : array-like, optional
        Where to start, as ``Control(start=…)`` takes it; by default the path of the fit itself, whose start is so near
        that there may be little to see.

    Returns
    -------
    DataFrame
        One row a step, the last one the estimate; columns are the entries of ``fit.theta``, relative to sigma.
    """
    return _path(independent_results(fit, "optimizer_path"), start)


def _path(fit: MixedResults, start: Any) -> pd.DataFrame:
    solution: Any = fit.solution
    if solution.response.has_normal_residuals:
        if start is not None:
            solution = fit_linear(solution.problem, replace(solution.same_way, start=start))
        path = solution.problem.to_user(np.array([*solution.optimum.path, solution.inner_theta]))
    elif start is None:
        path = fit.theta.to_numpy()[None]
    else:
        raise SpecificationError("start is for linear mixed models (lmer), whose path the picture shows: leave it out")
    return pd.DataFrame(path, columns=fit.theta.index).rename_axis("step")


def _surface_results(fit: Any) -> MixedResults:
    """Return ``fit`` if its likelihood can be drawn over covariance parameters alone."""
    results, name = mixed_results(fit, "likelihood_surface"), "likelihood_surface"
    solution = results.solution
    if solution.response.has_normal_residuals:
        return independent_results(results, name)
    if solution.not_linear:
        raise SpecificationError(f"{name} {solution.not_linear}")
    if solution.unprofilable:
        raise SpecificationError(f"{name}: {solution.unprofilable}")
    return results


def _surface(fit: MixedResults, parameters: tuple[int, ...] | None, start: Any) -> _Surface:
    k = len(fit.theta)
    if k == 0:
        raise SpecificationError("the model has no covariance parameters to draw")
    chosen = tuple(range(min(k, 2))) if parameters is None else checked_positions("parameters", parameters)
    if not 1 <= len(chosen) <= 2 or any(not 0 <= i < k for i in chosen):
        raise SpecificationError(f"parameters are one or two positions in theta, 0 to {k - 1}; found {chosen}")
    theta, path = fit.theta.to_numpy(), _path(fit, start).to_numpy()
    se = np.sqrt(np.maximum(np.diag(fit.cov_varpar("theta").to_numpy())[:k], 0.0))
    se = np.where(np.isfinite(se) & (se > 0), se, 0.25 * np.maximum(np.abs(theta), 1.0))
    low = np.minimum(theta - REACH * se, path.min(axis=0) - 0.3 * se)
    high = np.maximum(theta + REACH * se, path.max(axis=0) + 0.3 * se)
    model = fit.solution.problem.covariance
    low = np.where(model.lower == 0, np.maximum(low, 0.0), np.maximum(low, model.lower))
    high = np.minimum(high, model.upper)
    effects = sum(term.n_columns * term.n_levels for term in fit.design.random)
    points, fine = (POINTS, FINE) if fit.solution.response.has_normal_residuals else (PROFILED_POINTS, PROFILED_FINE)
    count = int(np.clip(np.sqrt(MOST_SOLVED / effects), FEWEST_POINTS, points)) if len(chosen) == 2 else fine
    if fit.solution.problem.is_iterative and count ** len(chosen) * fit.nobs > MOST_EVALUATED:
        raise SpecificationError(
            f"the surface takes {count ** len(chosen):,} evaluations of a likelihood of {fit.nobs:,} rows, each solved "
            "by iteration: draw it of a fit to a sample of the levels; fit.conf_int(which='random') has intervals"
        )
    return _Surface(fit, chosen, path[:, list(chosen)], tuple(np.linspace(low[i], high[i], count) for i in chosen))


def likelihood_surface_frame(fit: Any, parameters: tuple[int, ...] | None = None, *, start: Any = None) -> pd.DataFrame:
    """Return the numbers behind :func:`likelihood_surface`.

    Parameters
    ----------
    fit : MixedResults
        Of :func:`lmer` without a residual structure, or of :func:`glmer` by Laplace approximation or quadrature.
    parameters : one or two positions in ``fit.theta``, optional
        The first two if omitted; the others stay at their estimates.
    start : array-like, optional
        Where the optimiser starts, as for :func:`optimizer_path`; for linear models.

    Returns
    -------
    DataFrame
        The values of the parameters and ``deviance``: minus twice the (restricted) log-likelihood above its minimum,
        fixed effects, sigma and all that is no covariance parameter profiled out.
    """
    grid = _surface(_surface_results(fit), parameters, start)
    names = _names(grid)
    mesh = np.meshgrid(*grid.axes, indexing="ij")
    frame = pd.DataFrame({name: part.ravel() for name, part in zip(names, mesh, strict=True)})
    frame["deviance"] = grid.values().ravel()
    return frame


def _names(grid: _Surface) -> list[str]:
    return [": ".join(map(str, grid.fit.theta.index[i])) for i in grid.chosen]


def likelihood_surface(
    fit: Any, parameters: tuple[int, ...] | None = None, *, start: Any = None, ax: Axes | None = None
) -> Axes:
    """Draw the likelihood over two covariance parameters (of linear models with the optimiser's path), or over one.

    Parameters
    ----------
    fit, parameters, start
        As for :func:`likelihood_surface_frame`.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Notes
    -----
    Contours enclose the regions of 50, 80, 95, 99 and 99.9 % by the chi-squared distribution.
    """
    results = _surface_results(fit)
    grid = _surface(results, parameters, start)
    panel = one_panel(ax, (5.2, 4.2))
    path = grid.path
    names, values = _names(grid), grid.values()
    if len(names) == 1:
        return _curve(panel, grid, values, path, names[0])
    cuts = special.chdtri(2, 1.0 - np.array(LEVELS))
    x, y = grid.axes
    panel.contourf(x, y, values.T, levels=[-1e-6, *cuts], cmap="Blues_r", alpha=0.6)
    lines = panel.contour(x, y, values.T, levels=cuts, colors=ink(), linewidths=0.6)
    panel.clabel(lines, fmt={cut: f"{100 * level:g} %" for cut, level in zip(cuts, LEVELS)}, fontsize="x-small")
    if grid.is_linear:
        panel.plot(path[:, 0], path[:, 1], "o-", color=ORANGE, markersize=4, linewidth=1.2, label="optimiser")
    panel.plot(*results.theta.to_numpy()[list(grid.chosen)], "*", color=ink(), markersize=11, label="estimate")
    legend_beside(panel)
    title = "Likelihood regions and the optimiser's path (θ: relative to σ)" if grid.is_linear else "Likelihood regions"
    return label_axes(panel, x=f"θ of {names[0]}", y=f"θ of {names[1]}", title=title)


def _curve(panel: Axes, grid: _Surface, values: Array, path: Array, name: str) -> Axes:
    panel.plot(grid.axes[0], values, color=BLUE, linewidth=1.8)
    heights = np.interp(path[:, 0], grid.axes[0], values)
    label = "optimiser" if grid.is_linear else "estimate"
    panel.plot(path[:, 0], heights, "o-", color=ORANGE, markersize=4, linewidth=1.0, label=label)
    panel.axhline(float(special.chdtri(1, 0.05)), color=GREY, linestyle="--", linewidth=0.8, label="95 % cut")
    legend_beside(panel)
    return label_axes(panel, x=name, y="deviance above its minimum")
