"""Hierarchical generalised linear models: build and fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from mixedfx._arguments import checked_choice
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import AnyArray
from mixedfx.criterion.corrections import CLOSED_FORMS
from mixedfx.criterion.generalized_problem import Component
from mixedfx.criterion.hierarchical import HierarchicalProblem, hierarchical_problem
from mixedfx.criterion.problem import REMAINDERS
from mixedfx.exceptions import MixedfxWarning, SpecificationError, warn
from mixedfx.families import FamilyName, LinkName
from mixedfx.families.random_laws import LAWS, Law, LawName
from mixedfx.fitting import Control
from mixedfx.fitting.hierarchical import (
    CRITERIA,
    EQL,
    LAPLACE,
    STRATEGIES,
    CriterionName,
    HierarchicalFit,
    Strategy,
    StrategyName,
    exact,
)
from mixedfx.fitting.hierarchical_search import fit_hierarchical, refit_hierarchical, restored_fit
from mixedfx.formula import Formula
from mixedfx.matrices import RandomEffects
from mixedfx.matrices.rows import MissingName
from mixedfx.models.base import checked_control
from mixedfx.models.generalized import GeneralizedLinearMixedModel
from mixedfx.models.storage import register
from mixedfx.models.verdicts import warn_of
from mixedfx.results.hierarchical import HierarchicalGeneralizedLinearResults

__all__ = ["HierarchicalGeneralizedLinearModel", "hglm"]

BINARY = (
    'method="eql" is badly biased for binary responses: variances and coefficients come out far too small; write '
    'method="laplace" or "laplace2"'
)
NAMED = {"poisson": "Poisson", "gamma": "gamma", "inverse_gamma": "inverse gamma"}


@hinting_methods
class HierarchicalGeneralizedLinearModel(GeneralizedLinearMixedModel):
    """A hierarchical generalised linear model: ``g(E y) = X beta + Z v``, the effects ``u(v)`` normal or not.

    Parameters
    ----------
    formula, data, family, link, weights, offset, dispersion, contrasts, missing, functions
        As for :func:`mixedfx.hglm`.
    random : dict of str to str, optional
        Grouping factor to law.

    Raises
    ------
    SpecificationError, DataError
    """

    def __init__(
        self,
        formula: str | Formula,
        data: Any,
        *,
        family: FamilyName | Any,
        random: Mapping[str, LawName] | None = None,
        link: LinkName | Any = None,
        weights: Any = None,
        offset: Any = None,
        dispersion: str | None = None,
        contrasts: Mapping[str, Any] | None = None,
        missing: MissingName = "drop",
        functions: Mapping[str, Any] | None = None,
    ) -> None:
        written = "log" if link is None and family == "gamma" else link
        super().__init__(
            formula,
            data,
            family=family,
            link=written,
            weights=weights,
            offset=offset,
            dispersion=dispersion,
            contrasts=contrasts,
            missing=missing,
            functions=functions,
        )
        self.laws = _laws(random, self.design.random)
        own = ("zero_inflation", "information", "penalty")
        assert self.inputs is not None
        options = {name: value for name, value in self.inputs.options.items() if name not in own}
        chosen = None if random is None else dict(random)
        self.inputs = replace(self.inputs, options=options | {"link": link, "random": chosen})

    def _prepared(self, reml: bool, most_exact: float = REMAINDERS["auto"]) -> HierarchicalProblem:
        response = self.design.response
        observed = self.family.observe(
            response.values, trials=response.trials, weights=self.design.weights, rows=self.design.index
        )
        components = [Component(name, fixed) for name, fixed in self.components.items()]
        return hierarchical_problem(self.design, self.family, observed, self.laws, components)

    def fit(  # type: ignore[override]
        self,
        method: StrategyName | None = None,
        criterion: CriterionName | None = None,
        *,
        control: Control | None = None,
    ) -> HierarchicalGeneralizedLinearResults:
        """Fit the model.

        Parameters
        ----------
        method, criterion, control
            As for :func:`mixedfx.hglm`.

        Returns
        -------
        HierarchicalGeneralizedLinearResults

        Warns
        -----
        SingularFitWarning
            If a variance is estimated as zero.
        ConvergenceWarning
            If the optimum was not found.
        MixedfxWarning
            If ``method="eql"`` is asked for binary responses.
        """
        strategy = self.strategy(method)
        adjusted = checked_choice("criterion", _usual(criterion, strategy), CRITERIA)
        if strategy is EQL and self._is_binary():
            warn(BINARY, MixedfxWarning)
        problem = cast(HierarchicalProblem, self.problem)
        fit = fit_hierarchical(problem, checked_control(control), strategy, adjusted=adjusted)
        warn_of(fit)
        return self._results(fit, {"method": method, "criterion": criterion, "control": control})

    def strategy(self, method: str | None) -> Strategy:
        """Return how the random effects are integrated out, by the word of the user; the usual way for None.

        Raises
        ------
        SpecificationError
            If ``"exact"`` is asked for and the integral is not known.
        """
        known = self._closed_form()
        if method is None:
            return LAPLACE if known is None else known
        strategy = checked_choice("method", method, STRATEGIES) or known
        if strategy is None:
            raise SpecificationError(self._no_closed_form())
        return strategy

    def _closed_form(self) -> Strategy | None:
        family, laws = self.family, [law for law in self.laws if law is not None]
        if not self.design.random:
            return exact("no random effects")
        if not laws and (family.name, family.mean_link.name) == ("gaussian", "identity"):
            return exact("normal-normal")
        if len(self.laws) == 1 and laws:
            key = (family.name, family.mean_link.name, laws[0].name)
            if key in CLOSED_FORMS:
                return exact(f"{NAMED[key[0]]}-{NAMED[key[2]]}", CLOSED_FORMS[key])
        return None

    def _no_closed_form(self) -> str:
        laws = ", ".join("normal" if law is None else law.name.replace("_", " ") for law in self.laws)
        beta = self.family.name == "binomial" and laws == "beta"
        hint = (
            'the beta-binomial model, whose integral is known, is another one: mfx.glmer(…, family="beta_binomial")'
            if beta
            else "known integrals are those of Poisson counts with gamma effects and of gamma responses with inverse "
            "gamma effects (log link, one grouping factor), and of normal responses with normal effects"
        )
        return (
            f"the integral over the effects is not known for the family {self.family.name!r} with link "
            f'{self.family.mean_link.name!r} and effects that are {laws}; write method="laplace" or "laplace2". '
            f"{hint[0].upper()}{hint[1:]}"
        )

    def _is_binary(self) -> bool:
        trials = self.design.response.trials
        return self.family.name == "binomial" and (trials is None or bool(np.all(trials == 1)))

    def _again(self, earlier: HierarchicalFit, problem: HierarchicalProblem) -> HierarchicalFit:  # type: ignore[override]
        return refit_hierarchical(earlier, problem)

    def _results(  # type: ignore[override]
        self, fit: HierarchicalFit, asked: Mapping[str, Any] | None = None
    ) -> HierarchicalGeneralizedLinearResults:
        criterion = "reml" if fit.restricted else "ml"
        usual = {"method": fit.strategy.name, "criterion": criterion, "control": None}
        return HierarchicalGeneralizedLinearResults(self, fit, asked or usual)

    def _stored_fit(self, state: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> HierarchicalFit:
        problem = cast(HierarchicalProblem, self.problem)
        return restored_fit(problem, self.strategy(str(state["method"])), state, arrays)


def hglm(
    formula: str | Formula,
    data: Any,
    *,
    family: FamilyName | Any,
    random: Mapping[str, LawName] | None = None,
    link: LinkName | Any = None,
    dispersion: str | None = None,
    method: StrategyName | None = None,
    criterion: CriterionName | None = None,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    missing: MissingName = "drop",
    functions: Mapping[str, Any] | None = None,
    control: Control | None = None,
) -> HierarchicalGeneralizedLinearResults:
    """Fit a hierarchical generalised linear model: random effects that may be gamma, inverse gamma or beta.

    ``g(E y | u) = X beta + Z v``, where the effect u of a level enters as ``v(u)``: itself if normal, its logarithm if
    gamma or inverse gamma (then u has mean 1), its logit if beta (then u has mean 1/2).

    Parameters
    ----------
    formula : str
        As in lme4. Terms whose effects are not normal are intercepts, ``(1 | g)``; others may have slopes.
    data : data frame or dict of arrays
        As for :func:`glmer`.
    family : str, Family or statsmodels family
        As for :func:`glmer`.
    random : dict of str to {"normal", "gamma", "inverse_gamma", "beta"}, optional
        Grouping factor to the law of its effects; normal where nothing is said.
    link : str, optional
        Instead of the family's default, which here is ``"log"`` for ``"gamma"``.
    dispersion : str, optional
        Formula of the logarithm of the dispersion, ``"~ z"``.
    method : {"exact", "laplace", "laplace2", "eql"}, optional
        How the effects are integrated out. ``"exact"`` by a closed form: Poisson counts with gamma effects, gamma
        responses with inverse gamma effects (log link, one grouping factor), normal responses with normal effects.
        ``"laplace"`` and ``"laplace2"`` by the first and second order of an expansion around the mode of v. ``"eql"``
        does not integrate: it solves Lee and Nelder's interconnected models, for comparison with the literature, and
        is far off for binary responses. By default exact where that can be, else Laplace.
    criterion : {"ml", "reml"}, optional
        Maximise the likelihood, ``p_v(h)``, or the likelihood adjusted for the fixed effects, ``p_bv(h)``: less half
        the log-determinant of their information. By default ``"ml"``; ``"reml"`` with ``method="eql"``, as Lee and
        Nelder have it (``"ml"`` then takes the leverages of the random effects alone).
    weights, offset, contrasts, missing, functions
        As for :func:`glmer`.
    control : Control, optional
        Starting values of the normal terms' ``theta``, tolerance, iteration limit.

    Returns
    -------
    HierarchicalGeneralizedLinearResults

    Raises
    ------
    SpecificationError
        If the formula or an argument makes no sense, or a closed form is asked for that there is not.
    DataError
        If the data cannot serve the formula or the family.

    References
    ----------
    Lee & Nelder (1996), JRSS B 58, 619; Lee & Nelder (2001), Biometrika 88, 987; Noh & Lee (2007), J. Multivariate
    Anal. 98, 896; Lee, Nelder & Pawitan (2017), Generalized Linear Models with Random Effects, 2nd ed.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> data = mfx.load_dataset("epil2")
    >>> fit = mfx.hglm("y ~ trt + (1 | subject)", data, family="poisson", random={"subject": "gamma"})
    >>> fit.params.round(3).to_dict()
    {'Intercept': 2.149, 'trt[T.progabide]': -0.075}
    """
    model = HierarchicalGeneralizedLinearModel(
        formula,
        data,
        family=family,
        random=random,
        link=link,
        weights=weights,
        offset=offset,
        dispersion=dispersion,
        contrasts=contrasts,
        missing=missing,
        functions=functions,
    )
    return model.fit(method, criterion, control=control)


register(HierarchicalFit.kind, HierarchicalGeneralizedLinearModel)


def _usual(criterion: str | None, strategy: Strategy) -> str:
    if criterion is not None:
        return criterion
    return "reml" if strategy is EQL else "ml"


def _laws(random: Any, terms: tuple[RandomEffects, ...]) -> tuple[Law | None, ...]:
    """Return the law of every term; None for a normal one.

    Raises
    ------
    SpecificationError
        If a group is not in the formula, a law is unknown, or a term that is no intercept is to have one.
    """
    if random is None:
        return (None,) * len(terms)
    if not isinstance(random, Mapping):
        raise TypeError(f"random is a dict of grouping factor to law, found {type(random).__name__}")
    groups = list(dict.fromkeys(term.group for term in terms))
    for group, law in random.items():
        if group not in groups:
            known = ", ".join(map(repr, groups)) or "none"
            raise SpecificationError(f"random: there is no grouping factor {group!r} in the formula; it has {known}")
        checked_choice(f"random[{group!r}]", law, LAWS)
    chosen = tuple(LAWS[random.get(term.group, "normal")] for term in terms)
    for term, law in zip(terms, chosen, strict=True):
        if law is None:
            continue
        words = law.name.replace("_", " ")
        alone = sum(other.group == term.group for other in terms) == 1
        if tuple(term.names) != ("Intercept",) or not alone:
            others = [str(other.term) for other in terms if other.group == term.group and other is not term]
            if term.members is not None:
                why = f"the labels of {term.group} share their rows"
            else:
                why = f"{term.group!r} has " + " and ".join(f"{one}" for one in (term.term, *others))
            raise SpecificationError(
                f"effects with the law {words!r} are the only ones of their group, and intercepts; {why}: write "
                f"random={{{term.group!r}: 'normal'}}, or (1 | group) alone, with independent levels"
            )
        if term.loading is not None:
            raise SpecificationError(
                f"the levels of {term.group!r} are correlated a priori, which only normal effects can be: write "
                f"random={{{term.group!r}: 'normal'}}"
            )
    return chosen
