"""A study that is planned: design, true parameters, and what is tested."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._arguments import checked_mapping, checked_names
from mixedfx._typing import Array
from mixedfx.exceptions import MixedfxWarning, SpecificationError
from mixedfx.matrices import Predictors, build_predictors
from mixedfx.matrices.frame import plain_frame
from mixedfx.models import glmer, lmer
from mixedfx.results.base import MixedResults, results_of_ours
from mixedfx.results.many import ManyFits
from mixedfx.results.simulation import simulate, stated

__all__ = ["Effect", "Study", "Tested", "study_of"]

DRAWN = "drawn"  # name of the simulated response, longer where the data have it
TRIALS = "trials"  # column of the numbers of trials of a response that was cbind(…)


@dataclass(frozen=True)
class Effect:
    """What is tested: a coefficient, or all coefficients of a term."""

    label: str
    names: tuple[str, ...]

    def rows(self, fit: MixedResults) -> Array:
        """Return the contrasts (r, p) of a fit's coefficients."""
        names = list(fit.params.index)
        return np.asarray(np.eye(len(names))[[names.index(name) for name in self.names]])

    def value(self, params: Mapping[str, Any]) -> Array:
        """Return the true values (r,)."""
        return np.array([float(params[name]) for name in self.names])


@dataclass(frozen=True)
class Tested:
    """p values by effect (n_sim,), how many fits failed and why, and the share at a boundary."""

    pvalues: dict[str, Array]
    failed: int
    reason: str
    singular: float


@dataclass(frozen=True)
class Study:
    """Design and parameters.

    Attributes
    ----------
    formula : str
        The right side, with ``~``.
    data : DataFrame
    params : dict
        As :func:`mixedfx.simulate` takes them.
    effects : tuple of Effect
    options : dict
        Arguments that simulation and fit share: ``family, link, weights, offset, contrasts``.
    fitting : dict
        Arguments of the fit alone.
    """

    formula: str
    data: pd.DataFrame
    params: dict[str, Any]
    effects: tuple[Effect, ...]
    options: dict[str, Any]
    fitting: dict[str, Any]

    @property
    def is_generalized(self) -> bool:
        """Whether there is a family."""
        return self.options.get("family") is not None

    @property
    def family_name(self) -> str:
        """The family in words; empty for a linear model."""
        family = self.options.get("family")
        return "" if family is None else f"{getattr(family, 'name', family)} family"

    @property
    def sigma(self) -> float:
        """The residual standard deviation."""
        return float(self.params["sigma"])

    def on(self, data: pd.DataFrame) -> Study:
        """Return the study with another design."""
        return replace(self, data=data)

    def with_effects(self, factor: float) -> Study:
        """Return the study with effects that are multiplied."""
        names = {name for effect in self.effects for name in effect.names}
        return replace(self, params={k: factor * v if k in names else v for k, v in self.params.items()})

    def labels_beside(self, along: str) -> list[str]:
        """Return the columns whose numbers are labels of groups."""
        groups = {name for term in self._predictors.random for name in term.factors}
        return [name for name in self.data.columns if name in groups and name != along]

    @cached_property
    def response(self) -> str:
        """The name of the simulated response."""
        name = DRAWN
        while name in self.data.columns:
            name += "_"
        return name

    def draws(self, count: int, seed: Any) -> pd.DataFrame:
        """Return responses (n, count)."""
        return simulate(
            f"{self.response} {self.formula}", self.data, params=self.params, n=count, seed=seed, **self.options
        )

    @cached_property
    def _predictors(self) -> Predictors:
        """The right side of the formula in the rows of the design."""
        own = {name: value for name, value in self.options.items() if name not in ("family", "link")}
        return build_predictors(f"{self.response} {self.formula}", self.data, **own)

    def template(self, seed: Any) -> MixedResults:
        """Return the fit of one simulated study; its model is that of all."""
        return self._fitted(self.draws(1, seed).iloc[:, 0])

    def _fitted(self, y: pd.Series[Any], **changes: Any) -> MixedResults:
        data = self.data.assign(**{self.response: y})
        written = f"{self.response} {self.formula}"
        options = {**self.options, **self.fitting, **changes}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)
            if self.is_generalized:
                return glmer(written, data, **options)
            options.pop("family", None), options.pop("link", None)
            return lmer(written, data, **options)

    def share_at_boundary(self, count: int, few: int, seed: Any) -> float:
        """Return the share of simulated studies with a variance at zero, of fewer where they are fitted one by one."""
        Y = self.draws(count, seed)
        template = self._fitted(Y.iloc[:, 0])
        return float(self._many(template, Y if template.refits_grouped else Y.iloc[:, :few]).singular.mean())

    def _refits(self, Y: pd.DataFrame, **changes: Any) -> tuple[MixedResults, ManyFits]:
        template = self._fitted(Y.iloc[:, 0], **changes)
        return template, self._many(template, Y)

    def _many(self, template: MixedResults, Y: pd.DataFrame) -> ManyFits:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)
            return template.refit_many(Y.loc[template.design.index])

    @property
    def theta(self) -> Array:
        """The covariance parameters relative to sigma, on the user's scale, in the order of ``fit.theta``."""
        design = self._predictors
        roots = stated(self.params, design, None).roots
        found = [term.covariance.parameters(root / self.sigma) for term, root in zip(design.random, roots, strict=True)]
        return np.concatenate(found) if found else np.zeros(0)

    def pvalues(self, count: int, seed: Any, test: str) -> Tested:
        """Return p values of the effects in simulated studies."""
        Y = self.draws(count, seed)
        if test == "lrt":
            return self._by_likelihood(Y)
        template, many = self._refits(Y)
        single = all(len(effect.names) == 1 for effect in self.effects)
        if single and test in ("satterthwaite", "z"):
            tested: Any = (
                many.pvalues
                if test == "satterthwaite"
                else many.tvalues.abs().apply(lambda column: column.map(_two_sided))
            )
            found = {effect.label: tested[effect.names[0]].to_numpy() for effect in self.effects}
        else:
            found = self._one_by_one(template, Y, test)
        return self._tested(found, many)

    def _one_by_one(self, template: MixedResults, Y: pd.DataFrame, test: str) -> dict[str, Array]:
        ddf = "z" if self.is_generalized else test
        found: dict[str, list[float]] = {effect.label: [] for effect in self.effects}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)
            for name in Y:
                fit = template.refit(Y[name])
                for effect in self.effects:
                    rows = effect.rows(fit)
                    found[effect.label].append(float(fit.f_test(rows, ddf=ddf).pvalue))
        return {label: np.array(values) for label, values in found.items()}

    def _by_likelihood(self, Y: pd.DataFrame) -> Tested:
        changes: dict[str, Any] = {} if self.is_generalized else {"reml": False}
        full, many = self._refits(Y, **changes)
        found = {}
        for effect in self.effects:
            if effect.label not in full.design.fixed.terms:
                known = ", ".join(map(repr, full.design.fixed.terms))
                raise SpecificationError(
                    f"test='lrt' leaves out a term of the formula: {effect.label!r} is none; they are {known}"
                )
            less = self._many(full.update(f". ~ . - {effect.label}"), Y)
            ratio = 2.0 * (many.llf.to_numpy() - less.llf.to_numpy())
            found[effect.label] = np.asarray(special.chdtrc(len(effect.names), np.maximum(ratio, 0.0)))
        return self._tested(found, many)

    def _tested(self, found: dict[str, Array], many: ManyFits) -> Tested:
        failed = ~many.converged.to_numpy()
        reasons = many.verdict[failed]
        reason = str(reasons.mode().iloc[0]) if len(reasons) else ""
        values = {label: np.where(failed, np.nan, p) for label, p in found.items()}
        return Tested(values, int(failed.sum()), reason, float(many.singular.mean()))


def _two_sided(z: float) -> float:
    return float(2.0 * special.ndtr(-z))


def study_of(
    formula_or_fit: Any,
    data: Any,
    params: Any,
    effect: Any,
    *,
    family: Any = None,
    link: Any = None,
    weights: str | None = None,
) -> Study:
    """Return the study that the arguments of :func:`mixedfx.power` describe."""
    fit = results_of_ours(formula_or_fit)
    changes = {} if params is None else checked_mapping("params", params, "{'Days': 10, 'sd_Intercept|Subject': 25}")
    if fit is None:
        if not isinstance(formula_or_fit, str):
            raise TypeError(f"power takes a formula or a fitted mixed model, found {type(formula_or_fit).__name__}")
        if data is None:
            raise SpecificationError("a formula needs data=, the design: mfx.design makes one")
        if params is None:
            raise SpecificationError("a formula needs params=, the true parameters, as for mfx.simulate")
        right = "~" + formula_or_fit.partition("~")[2] if "~" in formula_or_fit else formula_or_fit
        options = {"family": family, "link": link, "weights": weights}
        study = Study(right, plain_frame(data), dict(changes), (), options, {})
    else:
        if any(given is not None for given in (family, link, weights)):
            raise SpecificationError("family=, link= and weights= belong to a formula: a fit has its own")
        study = _of_fit(fit, data, changes)
    wanted = dict(checked_mapping("effect", effect, "{'Days': 5.0}")) if isinstance(effect, Mapping) else None
    names = tuple(wanted) if wanted is not None else checked_names("effect", effect)
    if wanted is not None:
        _check_known(wanted)
        study = replace(study, params={**study.params, **{name: float(value) for name, value in wanted.items()}})
    if not names:
        raise SpecificationError("effect= names nothing: give a coefficient, a term, or several")
    template = study.template(0)
    return replace(study, effects=tuple(_effect(template, name) for name in names))


def _check_known(wanted: Mapping[str, Any]) -> None:
    for name, value in wanted.items():
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
            raise SpecificationError(f"effect: the value of {name!r} is a number, found {value!r}")


def _effect(template: MixedResults, name: str) -> Effect:
    terms, names = template.design.fixed.terms, list(template.params.index)
    if name in names:
        return Effect(name, (name,))
    if terms.get(name):
        return Effect(name, tuple(names[j] for j in terms[name]))
    known = ", ".join(map(repr, dict.fromkeys([*names, *terms])))
    raise SpecificationError(f"effect {name!r} is neither a coefficient nor a term; there are {known}")


def _of_fit(fit: MixedResults, data: Any, changes: Mapping[str, Any]) -> Study:
    """The study whose truth is what a fit estimated."""
    model: Any = fit.model
    if model.inputs is None:
        raise SpecificationError("the fit has no data of its own: give a formula, data= and params=")
    given = dict(model.inputs.stated)
    beyond = [name for name in ("residual", "dispersion") if given.get(name) is not None]
    beyond += ["zero_inflation"] if str(given.get("zero_inflation") or "~1").replace(" ", "") not in ("~1", "1") else []
    beyond += [
        name for name in ("weights", "offset") if given.get(name) is not None and not isinstance(given[name], str)
    ]
    if beyond:
        raise SpecificationError(
            f"studies of a model with {', '.join(f'{name}=' for name in beyond)} are not simulated from parameters "
            "here: draw responses by fit.simulate(n) and fit them by fit.refit_many"
        )
    frame, trials = plain_frame(model.inputs.source if data is None else data), given.get("weights")
    if fit.design.response.trials is not None and trials is None:
        trials = TRIALS
        if data is None:
            frame = frame.loc[fit.design.index].assign(**{TRIALS: fit.design.response.trials})
        elif TRIALS not in frame:
            raise SpecificationError(f"the response has trials: give the design a column {TRIALS!r} with their numbers")
    options = {"weights": trials, "offset": given.get("offset"), "contrasts": given.get("contrasts")}
    fitting = {name: value for name, value in fit.asked.items() if name in ("reml", "nagq")}
    if fit.solution.integration:
        options["family"] = model.family
        fitting["zero_inflation"] = given.get("zero_inflation")
    elif given.get("sigma") is not None:
        fitting["sigma"] = given["sigma"]
    truth = _truth(fit)
    if any(str(name).startswith(("sd_", "cor_")) for name in changes):
        truth = {k: v for k, v in truth.items() if k != "theta"} | _deviations(fit)
    return Study("~" + str(model.formula).partition("~")[2], frame, {**truth, **changes}, (), options, fitting)


def _truth(fit: MixedResults) -> dict[str, Any]:
    """The estimates as :func:`mixedfx.simulate` takes parameters."""
    family, own = fit.solution.family, fit.solution.family.name
    truth: dict[str, Any] = {str(name): float(value) for name, value in fit.params.items()}
    truth["theta"] = fit.theta.to_numpy()
    if not fit.solution.integration or own == "gaussian":
        return {**truth, "sigma": float(fit.sigma)}
    further = fit.family_params  # type: ignore[attr-defined]
    if family.has_categories:
        return {**truth, "thresholds": further.to_list()}
    truth |= {str(name): float(value) for name, value in further.items()}
    if fit.solution.components:
        truth |= {name: float(fit.predict(which=name).iloc[0]) for name in fit.solution.components}  # type: ignore[arg-type]
    return truth


def _deviations(fit: MixedResults) -> dict[str, float]:
    """The standard deviations and correlations of the random effects by name."""
    limits = fit.conf_int(which="random").index
    found: dict[str, float] = {}
    for term in fit.varcorr.terms:
        for i, name in enumerate(term.names):
            found[f"sd_{name}|{term.group}"] = float(term.sd[i])
            for j in range(i):
                found[f"cor_{name}.{term.names[j]}|{term.group}"] = float(np.nan_to_num(term.correlation[i, j]))
    return {name: value for name, value in found.items() if name in limits}
