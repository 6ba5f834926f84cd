"""A fit that was never fitted: what a summary needs of one, with the published numbers of sleepstudy."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mixedfx.results.varcorr import VarCorr

SLEEP = VarCorr.from_terms(
    [("Subject", ("Intercept", "Days"), np.array([[612.1002, 9.6044], [9.6044, 35.0717]]))], 654.9400
)


@dataclass(frozen=True)
class FakeModel:
    written: str = "Reaction ~ Days + (Days | Subject)"


def series(names, values):
    return pd.Series(values, index=list(names), dtype=float)


@dataclass(frozen=True, eq=False)
class FakeFit:
    names: tuple = ("Intercept", "Days")
    coef: tuple = (251.405105, 10.467286)
    se: tuple = (6.824597, 1.545790)
    df_values: tuple = (17.0, 17.0)
    t: tuple = (36.838, 6.771)
    p: tuple = (1.17e-17, 3.264e-06)
    model: FakeModel = FakeModel()
    varcorr: VarCorr = SLEEP
    use_t: bool = True
    reml: bool = True
    nobs: int = 180
    n_groups: dict = field(default_factory=lambda: {"Subject": 18})
    df_resid: float = 174
    llf: float = -871.8141
    aic: float = 1755.6283
    bic: float = 1774.7860
    converged: bool = True
    is_singular: bool = False
    certificate: object = "The criterion could fall by at most 3e-13."
    notes: tuple = ()
    smooths: pd.DataFrame = field(default_factory=pd.DataFrame)
    fitted_smooths: tuple = ()

    @property
    def params(self):
        return series(self.names, self.coef)

    @property
    def bse(self):
        return series(self.names, self.se)

    @property
    def df(self):
        return series(self.names, self.df_values)

    @property
    def tvalues(self):
        return series(self.names, self.t)

    @property
    def pvalues(self):
        return series(self.names, self.p)

    def conf_int(self, alpha=0.05):
        reach = {0.05: 2.109816, 0.1: 1.739607}[alpha] * self.bse
        return pd.DataFrame({"lower": self.params - reach, "upper": self.params + reach})
