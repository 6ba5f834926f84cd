"""A fit as the beginning of a Bayesian analysis elsewhere: programs in five languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from mixedfx._lazy import higher
from mixedfx._suggestions import hinting_methods
from mixedfx.results.estimates import Estimates

if TYPE_CHECKING:
    from mixedfx.programs.program import Program

__all__ = ["HandedOver"]


@hinting_methods
class HandedOver(Estimates):
    """A fit that writes itself as a program of a probabilistic programming language."""

    def to_pymc(self, priors: Mapping[str, str] | None = None, *, centered: bool = True) -> Program:
        """Return the model as a PyMC program.

        Parameters
        ----------
        priors : dict, optional
            Priors in place of the usual ones, by the names of ``.priors`` of the result: ``{"Days": "normal(0, 20)"}``.
            Coefficients, standard deviations (``sd_Days|Subject``), correlations of a term (``cor|Subject``),
            ``sigma``, other numbers of the family (``family: df``). Distributions: ``normal(mean, sd)``,
            ``student_t(df, centre, scale)``, ``cauchy(centre, scale)``, ``half_normal(scale)``,
            ``half_student_t(df, scale)``, ``half_cauchy(scale)``, ``exponential(rate)``, ``gamma(shape, rate)``,
            ``inverse_gamma(shape, scale)``, ``lognormal(mean, sd)``, ``beta(a, b)``, ``uniform(lower, upper)``,
            ``flat``; ``lkj(eta)`` for correlations.
        centered : bool
            Whether the random effects are parameters as they are. With ``False`` they are standard normal ones times
            their standard deviations, which samplers like better where groups have few rows.

        Returns
        -------
        Program
            ``print`` shows the text; ``.code, .data, .start, .priors, .coords``; ``.log_density(values)``.

        Raises
        ------
        SpecificationError
            If the program cannot say what the model has (a residual structure other than ``KnownVariance``, a
            covariance other than ``us``, ``diag``, ``homdiag`` and ``known``, a family that it lacks), or a prior is
            wrong.

        Notes
        -----
        The text makes ``model``; it needs ``data``, which is :attr:`.data <Program.data>`. Nothing is sampled here, and
        PyMC need not be installed. Columns, contrasts, offset, trials and weights are those of the fit. The usual
        priors are wide, in units of the response and of the columns, and stand in the text. Correlated effects have
        an LKJ prior.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (1 | Subject)", mfx.load_dataset("sleepstudy"))
        >>> program = fit.to_pymc(priors={"Days": "normal(0, 20)"}, centered=False)
        >>> print("\\n".join(program.code.splitlines()[15:19]))
        with pm.Model(coords=coords) as model:
            # priors
            b_Intercept = pm.Normal("b_Intercept", mu=299.0, sigma=262.0)  # Intercept
            b_Days = pm.Normal("b_Days", mu=0.0, sigma=20.0)  # Days
        """
        return cast("Program", higher("to_pymc")(self, priors, centered))

    def to_numpyro(self, priors: Mapping[str, str] | None = None, *, centered: bool = True) -> Program:
        """Return the model as a NumPyro program.

        Parameters
        ----------
        priors, centered
            As in :meth:`to_pymc`.

        Returns
        -------
        Program
            Its text defines ``model(data)``, and ``coords`` and ``dims`` for ArviZ.

        Raises
        ------
        SpecificationError
            As in :meth:`to_pymc`.

        Notes
        -----
        The text switches on JAX's double precision: single precision is not enough for a likelihood of many rows.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (1 | Subject)", mfx.load_dataset("sleepstudy"))
        >>> print("\\n".join(fit.to_numpyro().code.splitlines()[-3:]))
            mu = eta
            with numpyro.plate("row", 180):
                numpyro.sample("y", dist.Normal(mu, sigma), obs=data["y"])
        """
        return cast("Program", higher("to_numpyro")(self, priors, centered))

    def to_stan(self, priors: Mapping[str, str] | None = None, *, centered: bool = True) -> Program:
        """Return the model as a Stan program.

        Parameters
        ----------
        priors, centered
            As in :meth:`to_pymc`.

        Returns
        -------
        Program
            Its ``data`` are numbers and arrays as Stan reads them, levels numbered from 1.

        Raises
        ------
        SpecificationError
            As in :meth:`to_pymc`.

        Notes
        -----
        The arrays are declared as in Stan 2.26 and later. All constants are in ``target``.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (1 | Subject)", mfx.load_dataset("sleepstudy"))
        >>> print("\\n".join(fit.to_stan().code.splitlines()[8:14]))
        parameters {
            real b_Intercept;  // Intercept
            real b_Days;  // Days
            real<lower=0> sd_Subject_Intercept;  // sd_Intercept|Subject
            real<lower=0> sigma;  // sigma
            vector[18] u_Subject;  // (1 | Subject)
        """
        return cast("Program", higher("to_stan")(self, priors, centered))

    def to_bambi(self, priors: Mapping[str, str] | None = None, *, centered: bool = True) -> Program:
        """Return the model as a Bambi program.

        Parameters
        ----------
        priors, centered
            As in :meth:`to_pymc`; there are no correlations.

        Returns
        -------
        Program
            Its ``data`` are the columns of a data frame: those of the fit, so that no coding of factors can differ.

        Raises
        ------
        SpecificationError
            As in :meth:`to_pymc`; also for precision weights, formulas of the dispersion or of zero inflation,
            ``homdiag`` and ``known``.

        Warns
        -----
        MixedfxWarning
            If effects of a group are correlated: Bambi makes them independent, which is another model.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (1 | Subject)", mfx.load_dataset("sleepstudy"))
        >>> fit.to_bambi().variables
        {'Intercept': 'Intercept', 'Days': 'Days', 'sd_Intercept|Subject': '1|Subject_sigma', 'sigma': 'sigma'}
        """
        return cast("Program", higher("to_bambi")(self, priors, centered))

    def to_brms(self, priors: Mapping[str, str] | None = None) -> Program:
        """Return the model as a brms program, in R.

        Parameters
        ----------
        priors
            As in :meth:`to_pymc`. brms samples standardised effects; there is no choice.

        Returns
        -------
        Program
            Its ``data`` are the columns of a data frame: those of the fit, so that no coding of factors can differ.

        Raises
        ------
        SpecificationError
            As in :meth:`to_bambi`.

        Examples
        --------
        >>> import mixedfx as mfx
        >>> fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
        >>> print("\\n".join(fit.to_brms().code.splitlines()[6:8]))
        formula <- bf(Reaction ~ 0 + Intercept + Days + (1 + Days | Subject))
        family <- brmsfamily("gaussian", link = "identity")
        """
        return cast("Program", higher("to_brms")(self, priors))
