"""Multiple imputation: fits of one model to several imputed data sets put together by Rubin's rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx._arguments import checked_alpha
from mixedfx._display import Block
from mixedfx._suggestions import hinting_methods
from mixedfx._typing import Array
from mixedfx.exceptions import ConvergenceWarning, DataError, SpecificationError, warn
from mixedfx.fitting.reported import IDENTITY, Reported
from mixedfx.formula import display
from mixedfx.inference.ddf import denominator_of
from mixedfx.inference.denominator import Denominator
from mixedfx.inference.distributions import quantile, two_sided
from mixedfx.inference.rubin import Combined, Rubin, combined
from mixedfx.matrices.encoder import Encoder, unlike_contrasts, unlike_levels, unlike_numbers
from mixedfx.results.adapted import AdaptedFit, Predictor
from mixedfx.results.adapters import mixed_fit
from mixedfx.results.base import MixedResults, checked_fit, results_of_ours
from mixedfx.results.robust import Robust
from mixedfx.results.settings import settings_of
from mixedfx.results.tested import Calibrated, TestedCoefficients
from mixedfx.results.varcorr import VarCorr

if TYPE_CHECKING:
    from mixedfx.inference.ddf import DdfName

__all__ = ["Pooled", "pool"]

FURTHER = frozenset({"structure", "family"})  # components whose numbers are no coefficients
KNOWN = frozenset({"conditional", "covariance", "residual"})  # components that have tables of their own
LISTED = 8  # levels that an error names
SAME = 1e-6  # a difference of estimates in standard errors that two searches of one optimum may have
RULES = "{} imputations, put together by Rubin's rules; degrees of freedom by Barnard and Rubin (1999)."
OWN = "has its own"
MISSING = "fmi: fraction of the information that is missing."
VARIANCES = "Variances and covariances of the random effects are means over the imputations, without a test."
EQUAL = (
    "All fits have the same estimates: the data sets do not differ in what the model uses. Were the imputed values "
    "given to it?"
)


@hinting_methods
@dataclass(frozen=True, eq=False, repr=False)
class Pooled(TestedCoefficients):
    """Fits to imputed data sets put together by Rubin's rules; made by :func:`pool`.

    Attributes
    ----------
    fits : tuple of results
        One for each imputed data set.
    denominator : Rubin
        The covariance of the fixed effects by Rubin's rules, and the degrees of freedom of its tests.
    errors : str
        Whose standard errors the fits have, in words, if not their own.
    """

    fits: tuple[MixedResults, ...]
    denominator: Rubin
    errors: str = ""

    # ---------------------------------------------------------------- fixed effects
    @cached_property
    def _of_coefficients(self) -> Combined:
        return self.denominator.combined(np.eye(len(self.params)))

    @property
    def n_imputations(self) -> int:
        """Number of fits."""
        return len(self.fits)

    @property
    def params(self) -> pd.Series[float]:
        """Fixed effects (p,): means over the fits."""
        return pd.Series(self.denominator.estimates.mean(axis=0), index=self.fits[0].params.index, name="params")

    @property
    def cov_within(self) -> pd.DataFrame:
        """Mean covariance (p, p) of the fixed effects within the imputations, W."""
        return self._matrix(self.denominator.within)

    @property
    def cov_between(self) -> pd.DataFrame:
        """Covariance (p, p) of the estimates between the imputations, B."""
        return self._matrix(self.denominator.between)

    @property
    def fmi(self) -> pd.Series[float]:
        """Fraction of missing information (p,) about every fixed effect."""
        return self._series(self._of_coefficients.missing, "fmi")

    @property
    def riv(self) -> pd.Series[float]:
        """Relative increase in variance (p,) of every fixed effect because of what is missing."""
        return self._series(self._of_coefficients.increase, "riv")

    @property
    def _is_idle(self) -> bool:
        """Whether the fits are all the same."""
        errors = np.sqrt(self._of_coefficients.within)
        return bool(errors.size and (np.ptp(self.denominator.estimates, axis=0) <= SAME * errors).all())

    # ---------------------------------------------------------------- tests
    @cached_property
    def _calibrated(self) -> Calibrated:
        first = self.fits[0]
        canonical = None
        if self.denominator.depends_on_rows:
            root = _mean_root([fit._canonical_rows.root for fit in self.fits])
            canonical = replace(first._canonical_rows, root=root)
        return Calibrated(
            first,
            self.denominator,
            partial(_cross_product_root, self.fits),
            "pooled",
            "each fit, pooled.fits[0]",
            " here, and give it to mfx.pool(fits, ddf=…)",
            canonical,
            (f"{self.n_imputations} imputations, put together by Rubin's rules.", *self._doubts),
            of_all=not self.errors,
        )

    @property
    def _doubts(self) -> list[str]:
        """Notes on what the pooled numbers are worth."""
        unsure = _unconverged(self.fits)
        said = [self.errors and f"{self.errors}.", unsure and f"{unsure}.", EQUAL if self._is_idle else ""]
        said += dict.fromkeys(note for fit in self.fits for note in fit.separation_notes)
        return [words for words in said if words]

    def _analyses(self, *, random: bool, further: bool) -> tuple[AdaptedFit, ...]:
        """Each fit, with the predictors of all imputed data sets: means are those at one grid."""
        each = [
            mixed_fit(fit, denominator, random=random, further=further)
            for fit, denominator in zip(self.fits, self.denominator.each, strict=True)
        ]
        counts = [one.counts for one in each if one.counts is not None]
        common: dict[str, Any] = {
            "predictors": {name: _merged([one.predictors[name] for one in each]) for name in each[0].predictors},
            "observed": pd.concat([one.observed for one in each], ignore_index=True),
            "counts": np.concatenate(counts) if counts else None,
        }
        return tuple(replace(one, **common, spread=None, need_rows=_refuse_rows) for one in each)

    # ---------------------------------------------------------------- what else is estimated
    @cached_property
    def varcorr(self) -> VarCorr:
        """Variances and covariances of the random effects, and of the residual: means over the fits."""
        each = [fit.varcorr for fit in self.fits]
        terms = tuple(
            replace(same[0], matrix=np.mean([term.matrix for term in same], axis=0))
            for same in zip(*(one.terms for one in each), strict=True)
        )
        residuals = [one.residual for one in each if one.residual is not None]
        return VarCorr(terms, float(np.mean(residuals)) if residuals else None)

    @cached_property
    def _further(self) -> tuple[tuple[Reported, ...], Combined]:
        """What is estimated beside fixed effects and random effects, on the scales of their intervals."""
        entries = () if self.errors else self.fits[0].solution.reported  # whose errors are not robust
        places = [k for k, one in enumerate(entries) if one.component not in KNOWN]
        found = np.zeros((self.n_imputations, len(places), 2))
        for row, fit in zip(found, self.fits, strict=True):
            entries = fit.solution.reported
            for cell, k in zip(row, places, strict=True):
                cell[:] = entries[k].on_scale(fit.solution.likelihood.phi, fit.solution.phi_covariance)
        whole = combined(found[:, :, 0], found[:, :, 1] ** 2, np.full(found.shape[:2], np.inf))
        return tuple(self.fits[0].solution.reported[k] for k in places), whole

    def _further_frame(self, alpha: float) -> pd.DataFrame:
        entries, found = self._further
        at, error = found.estimate, np.sqrt(found.variance)
        half = quantile(1.0 - 0.5 * alpha, found.df) * error
        natural = [
            [one.scale.natural(v) for one, v in zip(entries, x, strict=True)] for x in (at, at - half, at + half)
        ]
        slopes = np.array([abs(one.scale.slope(value)) for one, value in zip(entries, at, strict=True)])
        tested = [one.scale is IDENTITY and one.component not in FURTHER for one in entries]
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(tested, at / error, np.nan)
        return pd.DataFrame(
            {
                "estimate": natural[0],
                "se": slopes * error,
                "df": found.df,
                "t": t,
                "pvalue": two_sided(t, found.df),
                "lower": np.minimum(natural[1], natural[2]),
                "upper": np.maximum(natural[1], natural[2]),
                "fmi": found.missing,
                "riv": found.increase,
            },
            index=[one.name for one in entries],
        )

    # ---------------------------------------------------------------- tables
    def to_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return the pooled numbers, a coefficient a row.

        Parameters
        ----------
        alpha : float
            One minus the level of the limits.

        Returns
        -------
        DataFrame
            ``estimate, se, df, t, pvalue, lower, upper, fmi, riv``: the fixed effects; then coefficients of further
            linear predictors (``zero_inflation: x``), family-wide parameters and thresholds (``family: df``), and
            parameters of a residual structure, by the names of :meth:`MixedResults.conf_int`. What is no coefficient is
            pooled on the scale of its Wald interval, and has no test.
        """
        frame = self._coefficients.to_frame(checked_alpha(alpha)).rename(columns={"z": "t"})
        frame = frame.assign(fmi=self.fmi, riv=self.riv)
        further = self._further_frame(alpha)
        return pd.concat([frame, further]) if len(further) else frame

    def _layout(self) -> tuple[str, str, Sequence[Block], Sequence[str]]:
        varcorr, written = self.varcorr, self.fits[0].design.written
        random = (varcorr.table(),) if varcorr.terms or varcorr.residual is not None else ()
        notes = [written, RULES.format(self.n_imputations), MISSING, *([VARIANCES] if random else []), *self._doubts]
        return "Pooled estimates", "Estimates" if self._further[0] else "Fixed effects", random, notes


def _cross_product_root(fits: Sequence[MixedResults]) -> Array:
    return _mean_root([fit.solution.cross_product_root for fit in fits])


def _mean_root(roots: Sequence[Array]) -> Array:
    """The triangular ``R`` with ``R'R`` the mean of the cross-products ``R_i'R_i``."""
    return np.asarray(np.linalg.qr(np.vstack(roots), mode="r") / np.sqrt(len(roots)))


def _merged(each: Sequence[Predictor]) -> Predictor:
    """A predictor in all imputed data sets; a number that was filled in has more values in all than in one."""
    first = each[0]
    levels = tuple(dict.fromkeys(level for one in each for level in one.levels))
    return replace(
        first,
        levels=levels if first.is_factor else tuple(sorted(levels)),  # type: ignore[type-var]
        mean=float(np.mean([one.mean for one in each])),
        lower=min(one.lower for one in each),
        upper=max(one.upper for one in each),
    )


def _refuse_rows(asker: str) -> None:
    raise SpecificationError(
        f"a pooled fit has no {asker}, as imputed data sets differ in their rows: compare means by pooled.emmeans(…), "
        "or put the estimates of mfx.marginal_effects(fit) of every fit together by Rubin's rules"
    )


def pool(fits: Iterable[Any], *, ddf: DdfName | None = None) -> Pooled:
    """Put fits of one model to several imputed data sets together by Rubin's rules.

    Parameters
    ----------
    fits : iterable of results, or dict of them
        Fits of :func:`mixedfx.lmer` or :func:`mixedfx.glmer` by the same call, one for each of at least two data sets
        in which the missing values were filled in (by any program of multiple imputation); or ``fit.robust()`` of
        each. A generator will do.
    ddf : str, optional
        Whose standard errors and degrees of freedom the fits are taken with: their own, as in ``fit.summary()``, by
        default; ``"kenward-roger"``, … as for ``fit.t_test``.

    Returns
    -------
    Pooled
        ``params, bse, df, tvalues, pvalues, fmi, riv``, ``conf_int()``, ``t_test("a = b")``,
        ``wald_test("a = b = 0")``, ``anova()``, ``emmeans("f")``, ``varcorr``, ``to_frame()``, ``summary()``.

    Raises
    ------
    SpecificationError
        If there are fewer than two fits, or they are of different models.
    DataError
        If they have different numbers of rows, or a level of a factor is missing in some of them.
    TypeError
        If something is not a fitted mixed model.

    Warns
    -----
    ConvergenceWarning
        If some fits did not converge: they count all the same.

    Notes
    -----
    With estimates ``b_i``, squared standard errors ``U_i`` and m fits: the estimate is the mean, its variance
    ``W + (1 + 1/m) B``, W the mean of ``U_i`` and B the variance of ``b_i`` (Rubin 1987). The degrees of freedom of
    Barnard and Rubin (1999) never exceed those of complete data; these are the harmonic mean of the fits' own
    (Satterthwaite's in linear mixed models, infinite in generalised ones). A test of several coefficients is ``D1`` of
    Li, Raghunathan and Rubin (1991) with Reiter's (2007) degrees of freedom. Covariances of random effects are pooled
    as they are, entry by entry: a mean of covariance matrices is one. Correlations, standard deviations follow.

    Twenty imputations are seldom too few; the imputation model must know the groups (a multilevel imputation), and
    have in it all that the fitted model has.

    References
    ----------
    Rubin (1987), Multiple Imputation for Nonresponse in Surveys. Li, Raghunathan & Rubin (1991), J. Am. Stat. Assoc.
    86, 1065-1073. Barnard & Rubin (1999), Biometrika 86, 948-955. Reiter (2007), Biometrika 94, 502-508.

    Examples
    --------
    >>> import mixedfx as mfx
    >>> data = mfx.load_dataset("sleepstudy")
    >>> gone = data.index % 7 == 0  # as if a seventh of the responses were missing
    >>> known = mfx.lmer("Reaction ~ Days + (Days | Subject)", data[~gone])
    >>> drawn = known.simulate(5, seed=1, data=data[gone], random="fitted")  # real imputations draw the parameters too
    >>> fits = [known.update(data=data.assign(Reaction=data["Reaction"].mask(gone, drawn[i]))) for i in range(5)]
    >>> pooled = mfx.pool(fits)
    >>> pooled.to_frame()[["estimate", "se", "df", "fmi"]].round(2)
               estimate    se     df   fmi
    Intercept    250.57  6.89  14.31  0.16
    Days          10.39  1.78  14.74  0.14
    >>> pooled.anova().to_frame().round(2)
           df  den_df      F  PR(>F)
    Days  1.0   14.74  34.13     0.0
    """
    given = _fits_of(fits)
    models = tuple(one.fit if isinstance(one, Robust) else one for one in given)
    _check_alike(models)
    each = tuple(_denominator(one, ddf) for one in given)
    first, *others = (one.errors if isinstance(one, Robust) else "" for one in given)
    for i, errors in enumerate(others, 2):
        if errors != first:
            raise SpecificationError(
                f"the fits have different standard errors: fit 1 {first or OWN}; fit {i} {errors or OWN}. Take "
                "fit.robust(…) of all of them with the same arguments, or of none"
            )
    unsure = _unconverged(models)
    if unsure:
        warn(f"{unsure}: the pooled numbers rest on them all the same; look at fit.certificate", ConvergenceWarning)
    return Pooled(models, Rubin(np.array([np.asarray(fit.params, dtype=float) for fit in models]), each), first)


def _denominator(one: Any, ddf: DdfName | None) -> Denominator:
    if not isinstance(one, Robust):
        return denominator_of(one.solution, ddf)
    one._calibrated.check_ddf(ddf)
    return one.denominator


def _fits_of(fits: Any) -> tuple[Any, ...]:
    if results_of_ours(fits) is not None:
        raise SpecificationError(
            "pool takes a list of fits, one for each imputed data set; found one fit, whose own summary has its tests"
        )
    if isinstance(fits, str | pd.DataFrame):
        raise SpecificationError(
            f"pool takes a list of fits, one for each imputed data set; found {type(fits).__name__}: write "
            "mfx.pool([mfx.lmer(formula, one) for one in imputed])"
        )
    try:
        given = list(fits.values() if isinstance(fits, Mapping) else fits)
    except TypeError:
        raise SpecificationError(f"fits is a list of fitted mixed models, found {type(fits).__name__}") from None
    for one in given:
        if not isinstance(one, Robust):
            checked_fit(one, "pool", "takes a list of fitted mixed models, mfx.pool([mfx.lmer(…), mfx.lmer(…)])")
    if len(given) < 2:
        raise SpecificationError(
            f"pool needs the fits of at least two imputed data sets, found {len(given)}: the variance between the "
            "imputations says how much is unknown because values are missing"
        )
    return tuple(given)


def _check_alike(models: Sequence[MixedResults]) -> None:
    """Refuse fits that are not of one model, and of rows that cannot be the same."""
    first, *others = (_description(fit) for fit in models)
    for i, other in enumerate(others, 2):
        for heading in first | other:
            one, two = (found.get(heading, "none") for found in (first, other))
            if one != two:
                raise SpecificationError(
                    f"the fits are of different models: {heading} of fit 1 is {one!r}, of fit {i} {two!r}. Fit the "
                    "same call to every imputed data set; mfx.compare sets different models side by side"
                )
    counts = [fit.nobs for fit in models]
    if len(set(counts)) > 1:
        raise DataError(
            f"the fits were made from {', '.join(map(str, dict.fromkeys(counts)))} rows: pool is for fits of the same "
            "rows, in all of which every missing value was filled in"
        )
    for i, fit in enumerate(models[1:], 2):
        _check_rows(models[0], fit, i)
        _check_columns(models[0], fit, i)
    names = [[entry.name for entry in fit.solution.reported] for fit in models]
    for i, own in enumerate(names[1:], 2):
        if own != names[0]:
            unlike = [name for name in dict.fromkeys([*names[0], *own]) if (name in names[0]) != (name in own)] or own
            raise DataError(
                f"fit 1 and fit {i} have different parameters ({', '.join(map(repr, unlike))}): is a column "
                "in one of the data sets a combination of others (leave it out of the formula), or has a factor other "
                "levels there?"
            )


def _check_rows(first: MixedResults, fit: MixedResults, i: int) -> None:
    """Refuse a fit that left out other rows because of missing values."""
    keeps = [np.ones(one.nobs, dtype=bool) if one.design.keep is None else one.design.keep for one in (first, fit)]
    if len(keeps[0]) != len(keeps[1]) or (keeps[0] != keeps[1]).any():
        raise DataError(
            f"fit 1 and fit {i} left out different rows with missing values ({int((~keeps[0]).sum())} and "
            f"{int((~keeps[1]).sum())} rows): fill in every missing value, or drop the same rows from every data set"
        )


def _check_columns(first: MixedResults, fit: MixedResults, i: int) -> None:
    """Refuse a fit whose coefficients are those of other columns, by levels or by what was learnt from its data."""
    for one, other in zip(_encoders(first), _encoders(fit), strict=False):
        for name, (own, found) in unlike_levels(one, other).items():
            whole = [*own, *(level for level in found if level not in own)]
            raise DataError(
                f"the levels of {name} are {_listed(own)} in fit 1 and {_listed(found)} in fit {i}, so that their "
                f"coefficients are not the same: make it a category with the same levels in every imputed data set, "
                f"data[{name!r}] = pd.Categorical(data[{name!r}], {_listed(whole)}), and leave out or merge a level "
                "that some data sets do not have"
            )
        contrasts = unlike_contrasts(one, other)
        if contrasts:
            raise SpecificationError(
                f"the contrasts of {contrasts[0]} are not the same in fit 1 and fit {i}: give the same contrasts= to "
                "every fit"
            )
        unlike = unlike_numbers(one, other)
        if unlike:
            raise SpecificationError(
                f"{display(unlike[0])} is made with numbers that are learnt from the data, and fit 1 and fit {i} "
                "learnt different ones, so that their coefficients are not the same. Write numbers that hold for all "
                "imputed data sets: (x - 50) / 10 in the place of scale(x), x + I(x^2) in that of poly(x, 2), "
                "ns(x, knots=[40, 60], lower_bound=20, upper_bound=80), cut(x, [0, 50, 100])"
            )


def _encoders(fit: MixedResults) -> list[Encoder]:
    """How the columns of every part of a model are made."""
    further = [fixed.encoder for fixed in fit.solution.components.values()]
    return [fit.design.fixed.encoder, *(term.left_encoder for term in fit.design.random), *further]


def _listed(levels: Sequence[Any]) -> str:
    return str(levels if len(levels) <= LISTED else [*levels[:LISTED], "…"])


def _description(fit: MixedResults) -> dict[str, str]:
    """What two fits of one model have in common, by heading."""
    known = {"the formula": fit.design.written, "the kind": fit.solution.title, "the method": fit.solution.method}
    return known | {f"the {heading.lower()}": text for heading, text in settings_of(fit).items()}


def _unconverged(models: Sequence[MixedResults]) -> str:
    places = [str(i) for i, fit in enumerate(models, 1) if not fit.converged]
    return f"{len(places)} of {len(models)} fits did not converge (number {', '.join(places)})" if places else ""
