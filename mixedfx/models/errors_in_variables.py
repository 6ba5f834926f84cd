"""Models whose predictors are measured with error: what ``lmer`` and ``glmer`` fit where a formula has ``me(…)``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np

from mixedfx._arguments import checked_choice, checked_flag
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import AnyArray, Array
from mixedfx.criterion.exposure import Exposure
from mixedfx.criterion.generalized_problem import generalized_problem
from mixedfx.criterion.linear_problem import linear_problem
from mixedfx.criterion.marginal import OBSERVED
from mixedfx.criterion.mismeasured import JointProblem
from mixedfx.exceptions import SpecificationError
from mixedfx.families import Family, family_for
from mixedfx.families.links import EVERYWHERE
from mixedfx.fitting import Control, Fit, fit_linear
from mixedfx.fitting.calibrated import check_reliable, fit_calibrated, fit_moments
from mixedfx.fitting.corrected import METHODS, CorrectedFit
from mixedfx.fitting.integrators import fit_nodes
from mixedfx.fitting.mismeasured import evaluated_joint, fit_joint, joint_problem
from mixedfx.formula import Formula, parse
from mixedfx.formula.measured import Measured, check_places, split_measured
from mixedfx.matrices import Design, as_frame, verdict_of
from mixedfx.matrices.frame import Frame
from mixedfx.matrices.measured import Measurements, measurements_of, with_means
from mixedfx.models.base import MixedModel, checked_control
from mixedfx.models.generalized import GeneralizedLinearMixedModel
from mixedfx.models.inputs import ModelInputs, StoredFrame
from mixedfx.models.linear import LinearMixedModel
from mixedfx.models.storage import register
from mixedfx.models.update import changed, with_note
from mixedfx.models.verdicts import warn_of
from mixedfx.results.errors_in_variables import ErrorsInVariablesResults

__all__ = ["ErrorsInVariablesModel", "ErrorsName", "mismeasured"]

ErrorsName: TypeAlias = Literal["ml", "rc", "moment"]
SMALLEST_SHARE = 0.05  # of the naive residual variance, of which the search begins at the least
FIRST_NODES, MOST_NODES, SETTLED = 5, 95, 1e-6  # of nagq="auto": doubled until the log-likelihood moves by less


def mismeasured(formula: str, data: Any, control: Control | None, refused: Mapping[str, Any], **options: Any) -> Any:
    """Fit a model whose formula has ``me(…)``; ``lmer`` and ``glmer`` call it.

    Parameters
    ----------
    formula : str
    data : data frame
    control : Control, optional
    refused : mapping
        Arguments that have no meaning beside ``me(…)``, by name; they are None where they were not given.
    **options
        Of :class:`ErrorsInVariablesModel`.
    """
    given = [name for name, value in refused.items() if value is not None]
    if given:
        raise SpecificationError(
            f"{given[0]}= is not fitted beside me(…): the errors of measurements are corrected for in models without it"
        )
    return ErrorsInVariablesModel(formula, data, **options).fit(control=control)


@hinting_methods
class ErrorsInVariablesModel(MixedModel[ErrorsInVariablesResults]):
    """A linear or generalised linear (mixed) model with predictors that are measured with error.

    Parameters
    ----------
    formula : str
        With ``me(w, sd=…)``, ``me(w, var=…)``, ``me(w, reliability=…)`` or ``me(w1, w2)``.
    data : data frame or dict of arrays
    errors_in_variables : {"ml", "rc", "moment"}
    family, link : optional
        Of a generalised model; a linear one has none.
    reml : bool
        Whether a calibrated linear model is fitted by REML.
    nagq : int or "auto"
        Nodes of the integral over the random effects of a generalised model.
    weights, offset, contrasts, missing, functions
        As for :func:`mixedfx.lmer`.
    measured : dict, optional
        Calls of ``me(…)`` by the name of their coefficient, for a formula from which they were taken before.

    Raises
    ------
    SpecificationError, DataError
    """

    def __init__(
        self,
        formula: str | Formula,
        data: Any,
        *,
        errors_in_variables: ErrorsName | None = None,
        family: Any = None,
        link: Any = None,
        reml: bool = True,
        nagq: int | Literal["auto"] = 1,
        weights: Any = None,
        offset: Any = None,
        contrasts: Mapping[str, Any] | None = None,
        missing: Any = "drop",
        functions: Mapping[str, Any] | None = None,
        measured: Mapping[str, str] | None = None,
    ) -> None:
        method = "ml" if errors_in_variables is None else errors_in_variables
        checked_choice("errors_in_variables", method, METHODS)
        self.method, self.reml, self.nagq = method, checked_flag("reml", reml), nagq
        text, self.measured = split_measured(str(formula), measured)
        raw = as_frame(data)
        frame = with_means(raw, self.measured, errors=True)
        shared = {"weights": weights, "offset": offset, "contrasts": contrasts, "missing": missing}
        shared |= {"functions": functions}
        # before the columns are made: a logarithm of true values is refused as such, whatever numbers it has
        check_places(parse(text, columns=frame.names, functions=functions or ()), self.measured)
        self.naive_model: Any = (
            LinearMixedModel(text, frame, **shared)
            if family is None
            else GeneralizedLinearMixedModel(text, frame, family=family, link=link, **shared)
        )
        own: Design = self.naive_model.design
        self.design = replace(own, measured=self.measured)
        self.is_linear = family is None
        self.family = None if self.is_linear else self.naive_model.family
        self.distribution: Family = family_for("gaussian") if self.family is None else self.family
        self._check()
        self.data: Measurements = measurements_of(frame, self.design, self.measured)
        options = {"errors_in_variables": method, "family": family, "link": link, "reml": reml, "nagq": nagq}
        options |= shared | {"measured": {one.name: one.source for one in self.measured}}
        self.inputs = _inputs(str(formula), raw, self.design.formula, self.measured, options)

    def _check(self) -> None:
        """Refuse what is not fitted beside errors of measurements."""
        family, design = self.distribution, self.design
        if design.undetermined:
            raise SpecificationError(f"{verdict_of(design.undetermined)} Beside me(…) leave out what it names")
        if not self.is_linear and self.naive_model.components:
            further = next(iter(self.naive_model.components))
            raise SpecificationError(
                f"family {family.name!r} has a linear predictor beside the mean, {further}: errors of measurements are "
                "corrected for in models without one"
            )
        if design.weights is not None and not family.precision_weights:
            raise SpecificationError(
                f"weights of the family {family.name!r} say how many equal rows a row stands for, and each of those "
                "has a true value of its own: give the rows themselves"
            )
        edge = family.mean_link.domain(family.mean_range) != EVERYWHERE
        if self.method == "ml" and edge and not self.is_linear:
            raise SpecificationError(
                f"the link {family.mean_link.name!r} of the family {family.name!r} has an edge, beyond which the "
                'normal error of a predictor reaches: take another link, or errors_in_variables="rc"'
            )
        if self.method != "moment" and not self.is_linear and not design.random and self.nagq != 1:
            raise SpecificationError("nagq is for random effects, and the formula has none: leave it out")

    # ---------------------------------------------------------------- fits
    @cached_property
    def naive(self) -> Any:
        """The fit to the mean measurements as if they had no error."""
        model = self.naive_model
        if self.is_linear:
            fit = fit_linear(model._problem(self.reml), Control())
            return model._results(fit, {"reml": self.reml, "control": None})
        nodes = 1 if self.nagq == "auto" else self.nagq
        return model._results(model._fit(nodes, Control()), {"nagq": nodes, "control": None})

    def fit(self, *, control: Control | None = None) -> ErrorsInVariablesResults:
        """Fit the model.

        Parameters
        ----------
        control : Control, optional

        Warns
        -----
        SingularFitWarning, ConvergenceWarning, SeparationWarning
        """
        fit = self._fit(checked_control(control))
        warn_of(fit)
        return self._results(fit, {"control": control})

    def _fit(self, control: Control) -> CorrectedFit:
        if self.method == "moment":
            return fit_moments(self.design, self.distribution, self.data, self._ordinary(control, reml=False))
        if self.method == "rc":
            return fit_calibrated(self.design, self.distribution, self.data, self._ordinary(control, reml=self.reml))
        check_reliable(Exposure(self.data))
        if self.nagq != "auto":
            joint = self._joint(_checked_nodes(self.nagq))
            return fit_joint(joint, self.design, self.distribution, self._start(joint), control, self.is_linear)
        nodes, found = FIRST_NODES, None
        while True:
            joint = self._joint(nodes)
            start = self._start(joint) if found is None else found.correction.parameters
            again = fit_joint(joint, self.design, self.distribution, start, control, self.is_linear)
            if found is not None and (abs(again.llf - found.llf) < SETTLED or nodes >= MOST_NODES):
                return again
            nodes, found = 2 * nodes + 1, again

    def _joint(self, nodes: int) -> JointProblem:
        return joint_problem(self.design, self.distribution, self.data, nodes)

    def _ordinary(self, control: Control, *, reml: bool) -> Any:
        """How a design with calibrated values is fitted."""

        def refit(design: Design) -> Fit:
            if self.is_linear:
                return fit_linear(linear_problem(design, reml=reml), control)
            response = design.response
            observed = self.distribution.observe(
                response.values, trials=response.trials, weights=design.weights, rows=design.index
            )
            problem = generalized_problem(design, self.distribution, observed, information=OBSERVED)
            return fit_nodes(problem, control, _checked_nodes(self.nagq))

        return refit

    def _start(self, joint: JointProblem) -> Array:
        """Parameters to begin with: those of the naive fit, the slopes corrected by moments."""
        psi = joint.exposure.moments()
        posterior = joint.exposure.posterior(psi)
        naive, places, p = self.naive.solution, self.data.places, self.design.fixed.matrix.shape[1]
        if self.is_linear:
            root = np.concatenate([self._absolute(naive), [np.log(naive.scale)]])
            user = np.concatenate([naive.beta, root])
        else:
            user = np.array(naive.estimate)
        own = psi[: joint.exposure.n_gamma]
        S, total = (m * np.outer(joint.exposure.scale, joint.exposure.scale) for m in _spreads(joint, psi))
        before = user[places].copy()
        user[places] = np.linalg.solve(S, total @ before)
        others = np.delete(np.arange(p), places)
        level = None if self.is_linear else naive.problem.level
        if own.size and (others.size or level is not None):
            shift = self.data.at_rows(posterior.mean) @ user[places] - self.data.at_rows(self.data.means) @ before
            columns = [self.design.fixed.matrix[:, others], np.ones((len(shift), int(level is not None)))]
            moved = np.linalg.lstsq(np.hstack(columns), shift, rcond=None)[0]
            user[others] -= moved[: others.size]
            if level is not None:
                user[level] += moved[-1]
        if self.distribution.precision_weights and self.is_linear and not joint.of_groups:
            left = float(np.mean(np.einsum("k,ikl,l->i", user[places], posterior.covariance, user[places])))
            user[-1] = np.log(max(np.exp(user[-1]) - left, SMALLEST_SHARE * np.exp(user[-1])))
        if joint.of_groups:
            at = joint.problem.theta_slice.stop - 1
            user = np.insert(user, at, abs(user[places[0]]))
        x = joint.problem.to_inner(user)[joint.own]
        return np.concatenate([np.clip(x, *(end[: joint.n_own] for end in joint.bounds)), psi])

    def _absolute(self, naive: Any) -> Array:
        """The covariance parameters of a linear fit, on the scale on which they are not relative to sigma."""
        sigma, start = float(np.sqrt(naive.scale)), 0
        parts = []
        for term in self.design.random:
            theta = naive.theta[start : start + term.covariance.n_theta]
            parts.append(term.covariance.rescale(theta, np.full(term.n_columns, sigma)))
            start += term.covariance.n_theta
        return np.concatenate([np.zeros(0), *parts])

    def updated(self, asked: Mapping[str, Any], formula: str | None, data: Any, changes: Mapping[str, Any]) -> Any:
        """Return the fit of this model with another formula, other data or other arguments.

        A formula that is left without ``me(…)`` is fitted as such.
        """
        kept: Any = self.inputs
        change: Any
        added: tuple[Measured, ...]
        change, added = split_measured(formula) if isinstance(formula, str) else (formula, ())
        known = (*self.measured, *(one for one in added if one.name not in {own.name for own in self.measured}))
        widened = replace(
            kept,
            frame=with_means(kept.frame, self.measured, errors=True),
            given=None if kept.given is None else with_means(kept.given, known, errors=True),
        )
        own_data = None if data is None else with_means(data, known, errors=True)
        new = changed(self.formula, widened, asked, change, own_data, changes)
        frame = getattr(new.frame, "frame", new.frame)
        names = set(new.formula.variables)
        measured = {one.name: one.source for one in (*self.measured, *added) if one.name in names}
        if not measured:
            options = {k: new.options[k] for k in ("weights", "offset", "contrasts", "missing", "functions")}
            if self.is_linear:
                return LinearMixedModel(new.formula, frame, **options).fit(new.options["reml"], **new.asked)
            options |= {k: new.options[k] for k in ("family", "link")}
            return GeneralizedLinearMixedModel(new.formula, frame, **options).fit(new.options["nagq"], **new.asked)
        model = type(self)(str(new.formula), frame, **(new.options | {"measured": measured}))
        if data is None:
            model.design = with_note(model.design, self.design)
        return model.fit(**new.asked)

    # ---------------------------------------------------------------- the likelihood, without fitting
    def objective(self, parameters: Any, *, nagq: int = 1) -> tuple[float, Array]:
        """Evaluate minus twice the joint log-likelihood of responses and measurements without fitting.

        Parameters
        ----------
        parameters : array-like (k,)
            On the user's scale: fixed effects; covariance parameters of the random effects (not relative to sigma);
            family-wide parameters on their unbounded scales (the logarithm of the residual variance); then what
            ``fit.measurement_model`` lists.
        nagq : int
            Nodes in each dimension of the random effects.

        Returns
        -------
        value : float
        gradient : (k,) array
        """
        joint = self._joint(_checked_nodes(nagq))

        def evaluate(user: Array) -> tuple[float, Array]:
            try:
                psi = joint.exposure.psi_of(user[joint.n_own :])
            except np.linalg.LinAlgError:
                raise SpecificationError("the covariance of the true values must be positive definite") from None
            whole = self._whole(joint, user)
            x = np.concatenate([joint.problem.to_inner(whole)[joint.own], psi])
            at = joint.evaluate(x)
            jacobian = joint.problem.jacobian_to_user(joint.whole(x))[np.ix_(joint.own, joint.own)]
            first = np.linalg.solve(jacobian.T, at.gradient[: joint.n_own])
            second = np.linalg.solve(joint.exposure.natural_slopes(psi).T, at.gradient[joint.n_own :])
            return at.value, np.concatenate([first, second])

        size = joint.n_own + joint.exposure.n_psi
        return self._objective_at("parameters", parameters, _Placed(joint, self.design), size, evaluate)

    def _whole(self, joint: JointProblem, user: Array) -> Array:
        """Parameters of the response on the user's scale, with the size of a group's remainder."""
        own = user[: joint.n_own]
        if not joint.of_groups:
            return own
        return np.insert(own, joint.problem.theta_slice.stop - 1, abs(own[self.data.places[0]]))

    # ---------------------------------------------------------------- from a fit to results
    def _prepared(self, reml: bool) -> JointProblem:
        return self._joint(1)

    def _again(self, earlier: Any, problem: Any) -> Fit:
        again: Fit = earlier.with_response(problem)  # which says why there is none
        return again

    def _results(self, fit: CorrectedFit, asked: Mapping[str, Any] | None = None) -> ErrorsInVariablesResults:
        return ErrorsInVariablesResults(self, fit, asked or {"control": None})

    def _stored_fit(self, state: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> CorrectedFit:
        if self.method != "ml":
            return self._fit(Control())
        joint = self._joint(int(state["nodes"]))
        return evaluated_joint(joint.evaluate(arrays["parameters"]), self.design, self.distribution, self.is_linear)


class _Placed:
    """Where covariance parameters stand among all: those of the terms that users see."""

    def __init__(self, joint: JointProblem, design: Design) -> None:
        start = joint.problem.theta_slice.start
        self.theta_slice = slice(start, start + sum(term.covariance.n_theta for term in design.random))


def _spreads(joint: JointProblem, psi: Array) -> tuple[Array, Array]:
    """Covariances (K, K) of the true values and of the mean measurements, standardised, given the other predictors."""
    _, S, errors = joint.exposure.parts(psi)
    return S, S + np.diag((errors / joint.exposure.data.counts).mean(axis=0))


def _checked_nodes(nagq: Any) -> int:
    if not isinstance(nagq, int | np.integer) or isinstance(nagq, bool):
        raise TypeError(f"nagq is a whole number of nodes or 'auto'; found {type(nagq).__name__}")
    if nagq < 1:
        raise SpecificationError(f"nagq beside me(…) is at least 1 (the Laplace approximation); found {nagq}")
    return int(nagq)


def _inputs(text: str, raw: Frame, formula: Formula, measured: Any, options: Mapping[str, Any]) -> ModelInputs:
    """Keep the columns that the model uses: the measurements, not their means."""
    named = [value for key in ("weights", "offset") if isinstance(value := options.get(key), str)]
    own = [*formula.variables, *(name for one in measured for name in one.variables), *named]
    used = dict.fromkeys([*own, *(options.get("contrasts") or ())])
    columns = {name: raw.column(name) for name in used if name in raw and name not in {one.name for one in measured}}
    given = None if isinstance(raw, StoredFrame) else raw
    return ModelInputs(text, StoredFrame(columns, raw.index), dict(options), given)


register(CorrectedFit.kind, ErrorsInVariablesModel)
