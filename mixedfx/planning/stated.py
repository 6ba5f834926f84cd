"""A study that is planned: design, true parameters, and what is tested."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy import special

from mixedfx._arguments import checked_mapping, checked_names
from mixedfx._typing import Array
from mixedfx.exceptions import DataError, MixedfxWarning, SpecificationError
from mixedfx.inference.distributions import two_sided
from mixedfx.inference.hypothesis import hypothesis_from
from mixedfx.matrices import Predictors, RandomEffects, build_predictors
from mixedfx.matrices.frame import plain_frame
from mixedfx.models import glmer, lmer
from mixedfx.results.base import MixedResults, results_of_ours
from mixedfx.results.many import FittedResponses, joint_pvalues
from mixedfx.results.resampling import blocks_for
from mixedfx.results.simulation import simulate, stated

__all__ = ["Effect", "Study", "Tested", "study_of"]

DRAWN = "drawn"  # name of the simulated response, longer where the data have it
MOST_TRIED = 50  # simulated studies in search of one that has a fit
MOST_LOOKED_AT = 500  # … of one that has all categories
MOST_DRAWN = 4_000_000  # simulated numbers that are worked on at a time
THETA = "theta"  # name of the covariance parameters among the stated ones
ROUNDING = 1e-8  # of a covariance, relative to its variances
TRIALS = "trials"  # column of the numbers of trials of a response that was cbind(…)


def quietly() -> warnings.catch_warnings[None]:
    """Keep back what single studies are warned of: the table says how many there are."""
    return warnings.catch_warnings(action="ignore", category=MixedfxWarning)


@dataclass(frozen=True)
class Effect:
    """What is tested: ``matrix @ beta = rhs`` of a coefficient, of all coefficients of a term, or of contrasts.

    Attributes
    ----------
    label : str
    names : tuple of str
        The coefficients (k) that are involved.
    matrix : (r, k) array
    rhs : (r,) array
    """

    label: str
    names: tuple[str, ...]
    matrix: Array
    rhs: Array

    @classmethod
    def of_names(cls, label: str, names: tuple[str, ...]) -> Effect:
        """Return the hypothesis that some coefficients are zero."""
        return cls(label, names, np.eye(len(names)), np.zeros(len(names)))

    @property
    def is_coefficient(self) -> bool:
        """Whether it is that a coefficient is zero."""
        return self.names == (self.label,)

    def rows(self, fit: MixedResults) -> Array:
        """Return the contrasts (r, p) of a fit's coefficients."""
        known = list(fit.params.index)
        lost = [name for name in self.names if name not in known]
        if lost:
            raise SpecificationError(f"the design has no coefficient {', '.join(map(repr, lost))}")
        rows = np.zeros((len(self.matrix), len(known)))
        rows[:, [known.index(name) for name in self.names]] = self.matrix
        return rows

    def value(self, params: Mapping[str, Any]) -> Array:
        """Return how far the truth is from the hypothesis (r,)."""
        return np.asarray(self.matrix @ [float(params[name]) for name in self.names] - self.rhs)


@dataclass(frozen=True)
class Tested:
    """What was found in simulated studies.

    Attributes
    ----------
    pvalues : dict
        By effect (n_sim,); nan where there is no optimum.
    failed : int
        How many have none.
    reasons : tuple of str
        Why.
    singular : int
        How many have a variance at zero.
    """

    pvalues: dict[str, Array]
    failed: int
    reasons: tuple[str, ...]
    singular: int

    @classmethod
    def joined(cls, parts: Sequence[Tested]) -> Tested:
        """Return what was found in several parts."""
        values = {label: np.concatenate([part.pvalues[label] for part in parts]) for label in parts[0].pvalues}
        reasons = tuple(reason for part in parts for reason in part.reasons)
        return cls(values, sum(part.failed for part in parts), reasons, sum(part.singular for part in parts))

    @property
    def reason(self) -> str:
        """The reason that comes most often."""
        return Counter(self.reasons).most_common(1)[0][0] if self.reasons else ""


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
    def n_dropped(self) -> int:
        """How many rows of the design have missing values."""
        return len(self.data) - len(self._predictors.index)

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

    def blocks(self, count: int, seed: Any) -> Iterator[pd.DataFrame]:
        """Yield responses, so many at a time that they take little memory: the same ones for the same seed."""
        size = max(1, MOST_DRAWN // max(len(self.data), 1))
        if count <= size:
            yield self.draws(count, seed)
            return
        for block in blocks_for(count, size, seed):
            yield self.draws(block.count, block.seed)

    @cached_property
    def _predictors(self) -> Predictors:
        """The right side of the formula in the rows of the design."""
        own = {name: value for name, value in self.options.items() if name not in ("family", "link")}
        return build_predictors(f"{self.response} {self.formula}", self.data, **own)

    def template(self, Y: pd.DataFrame, **changes: Any) -> MixedResults:
        """Return the fit of one of some simulated studies (n, R), whose model is that of all: the first that has a fit.

        Of ordered categories a study that has them all.

        Raises
        ------
        DataError
            If none of them has a fit, as where events are so rare that no study sees one.
        """
        Y = self._with_all_categories(Y) if "thresholds" in self.params else Y
        columns = Y.columns[: MOST_TRIED if self.is_generalized else 1]
        for name in columns[:-1]:
            with suppress(DataError):
                return self._fitted(Y[name], **changes)
        try:
            return self._fitted(Y[columns[-1]], **changes)
        except DataError as error:
            if len(columns) == 1:
                raise
            raise DataError(
                f"none of {len(columns)} simulated studies of {len(self.data)} rows can be fitted ({error}): plan more "
                "rows, or other parameters"
            ) from error

    def _with_all_categories(self, Y: pd.DataFrame) -> pd.DataFrame:
        """Those of some studies that have all categories; of others where none has."""
        wanted = np.size(self.params["thresholds"]) + 1
        for some in (Y, *self.blocks(MOST_LOOKED_AT, 0)):
            whole = some.loc[:, some.nunique() == wanted]
            if whole.shape[1]:
                return whole
        raise DataError(
            f"none of {MOST_LOOKED_AT} simulated studies of {len(self.data)} rows has all {wanted} categories: plan "
            "more rows, or leave out thresholds between rare ones"
        )

    def _fitted(self, y: pd.Series[Any], **changes: Any) -> MixedResults:
        data = self.data.assign(**{self.response: y})
        written = f"{self.response} {self.formula}"
        options = {**self.options, **self.fitting, **changes}
        with quietly():
            if self.is_generalized:
                return glmer(written, data, **options)
            options.pop("family", None), options.pop("link", None)
            return lmer(written, data, **options)

    def look(self, count: int, few: int, seed: Any) -> tuple[MixedResults, float]:
        """Return the fit of one simulated study, and the share of all of them with a variance at zero.

        Of ``count`` studies, or of ``few`` where they are fitted one by one.
        """
        blocks = self.blocks(count, seed)
        first = next(blocks)
        template = self.template(first)
        left, found = count if template.refits_grouped else few, []
        for Y in chain([first], blocks):
            found.append(self._many(template, Y.iloc[:, :left]).singular)
            left -= len(found[-1])
            if left <= 0:
                break
        return template, float(pd.concat(found).mean())

    def _many(self, template: MixedResults, Y: pd.DataFrame) -> FittedResponses:
        with quietly():
            return cast("FittedResponses", template.refit_many(Y.loc[template.design.index]))

    @property
    def theta(self) -> Array:
        """The covariance parameters relative to sigma, on the user's scale, in the order of ``fit.theta``."""
        if THETA in self.params:
            return np.asarray(self.params[THETA], dtype=float)
        design = self._predictors
        roots = stated(self.params, design, None).roots
        found = [_parameters(term, root / self.sigma) for term, root in zip(design.random, roots, strict=True)]
        return np.concatenate(found) if found else np.zeros(0)

    def pvalues(self, count: int, seed: Any, test: str) -> Tested:
        """Return p values of the effects in simulated studies."""
        return Tested.joined([self._of_block(Y, test) for Y in self.blocks(count, seed)])

    def _of_block(self, Y: pd.DataFrame, test: str) -> Tested:
        if test == "lrt":
            return self._by_likelihood(Y)
        template, ddf = self.template(Y), "z" if self.is_generalized else test
        if ddf not in ("satterthwaite", "z") or not (ddf == "z" or template.refits_together):
            hypotheses = {effect.label: (effect.rows(template), effect.rhs) for effect in self.effects}
            return _one_by_one(template, Y, hypotheses, ddf)
        many = self._many(template, Y)
        return _tested({effect.label: self._test(many, effect, ddf) for effect in self.effects}, [many])

    def _test(self, many: FittedResponses, effect: Effect, ddf: str) -> Array:
        """p values (n_sim,) of an effect in many fits."""
        rows = effect.rows(many.fit)
        if not effect.is_coefficient:
            return joint_pvalues(many, rows, effect.rhs, is_z=ddf == "z")
        column = int(rows[0].argmax())
        t, df = many.tvalues.iloc[:, column].to_numpy(), many.df.iloc[:, column].to_numpy()
        return two_sided(t, np.full(df.shape, np.inf) if ddf == "z" else df)

    def _by_likelihood(self, Y: pd.DataFrame) -> Tested:
        full = self.template(Y, **({} if self.is_generalized else {"reml": False}))
        fits = [self._many(full, Y)]
        found = {}
        for effect in self.effects:
            if effect.label not in full.design.fixed.terms:
                known = ", ".join(map(repr, full.design.fixed.terms))
                raise SpecificationError(
                    f"test='lrt' leaves out a term of the formula: {effect.label!r} is none; they are {known}"
                )
            with quietly():
                less = full.update(f". ~ . - {'1' if effect.label == 'Intercept' else effect.label}")
            if len(less.params) != len(full.params) - len(effect.names):
                raise SpecificationError(
                    f"test='lrt': without {effect.label!r} the model is the same, as other terms take its place; "
                    "take test='satterthwaite', or code the factors so that the columns can be left out"
                )
            fits.append(self._many(less, Y))
            ratio = 2.0 * (fits[0].llf.to_numpy() - fits[-1].llf.to_numpy())
            found[effect.label] = np.asarray(special.chdtrc(len(effect.names), np.maximum(ratio, 0.0)))
        return _tested(found, fits)


def _parameters(term: RandomEffects, root: Array) -> Array:
    """Return the parameters of a term that has the covariance ``root @ root.T``."""
    structure, wanted = term.covariance, root @ root.T
    found = structure.parameters(root) if structure.closed_under_affine() else structure.near(wanted)
    T = structure.factor(found)
    if not np.allclose(T @ T.T, wanted, rtol=ROUNDING, atol=ROUNDING * float(np.trace(wanted))):
        raise SpecificationError(
            f"params: the formula of the power needs {THETA!r} for {term.term}, whose structure has parameters of its "
            "own; or take method='simulate'"
        )
    return found


def _one_by_one(
    template: MixedResults, Y: pd.DataFrame, hypotheses: Mapping[str, tuple[Array, Array]], ddf: str
) -> Tested:
    """Fit study by study: degrees of freedom of Kenward and Roger, and designs that are too large for a batch."""
    found = {label: np.full(Y.shape[1], np.nan) for label in hypotheses}
    reasons: list[str] = []
    singular = 0
    with quietly():
        for k, name in enumerate(Y):
            try:
                fit = template.refit(Y[name])
                singular += fit.is_singular
                if not fit.converged:
                    reasons.append(fit.certificate.verdict)
                    continue
                for label, hypothesis in hypotheses.items():
                    found[label][k] = fit.f_test(hypothesis, ddf=ddf).pvalue
            except (DataError, ArithmeticError, np.linalg.LinAlgError) as error:
                reasons.append(str(error))
    return Tested(found, len(reasons), tuple(reasons), singular)


def _tested(found: dict[str, Array], fits: Sequence[FittedResponses]) -> Tested:
    """What was found where all fits have an optimum."""
    failed = np.any([~many.converged.to_numpy(dtype=bool) for many in fits], axis=0)
    reasons = [str(word) for many in fits for word in many.verdict[~many.converged.to_numpy(dtype=bool)]]
    values = {label: np.where(failed, np.nan, p) for label, p in found.items()}
    return Tested(values, int(failed.sum()), tuple(reasons), int(fits[0].singular.sum()))


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
    given = params.to_dict() if isinstance(params, pd.Series) else params
    changes = {} if given is None else checked_mapping("params", given, "{'Days': 10, 'sd_Intercept|Subject': 25}")
    if fit is None:
        if not isinstance(formula_or_fit, str):
            raise TypeError(f"power takes a formula or a fitted mixed model, found {type(formula_or_fit).__name__}")
        if data is None:
            raise SpecificationError("a formula needs data=, the design: mfx.design makes one")
        if params is None:
            raise SpecificationError("a formula needs params=, the true parameters, as for mfx.simulate")
        right = "~" + formula_or_fit.partition("~")[2] if "~" in formula_or_fit else formula_or_fit
        options = {"family": family, "link": link, "weights": weights}
        study = Study(right, plain_frame(data).reset_index(drop=True), dict(changes), (), options, {})
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
    if not study.is_generalized and study.params.get("sigma") == 0:
        raise SpecificationError("params: without a residual (sigma = 0) there is no test; give 'sigma' above 0")
    template = study.template(next(study.blocks(MOST_TRIED if study.is_generalized else 1, 0)))
    return replace(study, effects=tuple(_effect(template, name) for name in names))


def _check_known(wanted: Mapping[str, Any]) -> None:
    for name, value in wanted.items():
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
            raise SpecificationError(f"effect: the value of {name!r} is a number, found {value!r}")


def _effect(template: MixedResults, name: str) -> Effect:
    terms, names = template.design.fixed.terms, list(template.params.index)
    if name in names:
        return Effect.of_names(name, (name,))
    if terms.get(name):
        return Effect.of_names(name, tuple(names[j] for j in terms[name]))
    if name in terms:
        raise SpecificationError(f"effect {name!r} has no coefficient: in this design other terms explain all of it")
    try:
        hypothesis = hypothesis_from(name, names).independent()
    except SpecificationError as error:
        known = ", ".join(map(repr, dict.fromkeys([*names, *terms])))
        raise SpecificationError(
            f"effect {name!r} is neither a coefficient, nor a term, nor a contrast such as 'a - b'; there are {known} "
            f"({error})"
        ) from error
    used = np.flatnonzero(hypothesis.L.any(axis=0))
    return Effect(name, tuple(names[j] for j in used), hypothesis.L[:, used], hypothesis.rhs)


def _of_fit(fit: MixedResults, data: Any, changes: Mapping[str, Any]) -> Study:
    """The study whose truth is what a fit estimated."""
    model: Any = fit.model
    if model.inputs is None:
        raise SpecificationError("the fit has no data of its own: give a formula, data= and params=")
    given = dict(model.inputs.stated)
    if given.get("random") is not None or given.get("measured") is not None:
        what = "hglm" if given.get("measured") is None else "predictors with error"
        raise SpecificationError(
            f"power plans models of lmer and glmer; studies of {what} are drawn by fit.simulate(n) and fitted one by "
            "one, by fit.refit"
        )
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
            keep = slice(None) if fit.design.keep is None else fit.design.keep
            frame = frame.iloc[np.arange(len(frame))[keep]].assign(**{TRIALS: fit.design.response.trials})
        elif TRIALS not in frame:
            raise SpecificationError(f"the response has trials: give the design a column {TRIALS!r} with their numbers")
    frame = frame.reset_index(drop=True)  # labels of rows may occur twice
    options = {"weights": trials, **{name: given.get(name) for name in ("offset", "contrasts", "functions")}}
    fitting = dict(fit.asked) | {name: given[name] for name in ("information", "penalty") if name in given}
    if "family" in given:
        options["family"] = model.family
        fitting["zero_inflation"] = given.get("zero_inflation")
    elif given.get("sigma") is not None:
        fitting["sigma"] = given["sigma"]
    truth = _truth(fit)
    if any(str(name).startswith(("sd_", "cor_")) for name in changes):
        truth = {k: v for k, v in truth.items() if k != THETA} | _deviations(fit)
    return Study("~" + str(model.formula).partition("~")[2], frame, {**truth, **changes}, (), options, fitting)


def _truth(fit: MixedResults) -> dict[str, Any]:
    """The estimates as :func:`mixedfx.simulate` takes parameters."""
    family, own = fit.solution.family, fit.solution.family.name
    truth: dict[str, Any] = {str(name): float(value) for name, value in fit.params.items()}
    truth[THETA] = fit.theta.to_numpy()
    if own == "gaussian":
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
