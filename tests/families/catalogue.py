"""Every family with each of its links, and random parameters for it."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from mixedfx.families import FAMILIES, Family, Observed, Ordinal, family_for

N = 5


@dataclass(frozen=True)
class Case:
    """A family by name, its link, and components that get linear predictors beside those that it always has."""

    name: str
    link: str
    extra: tuple[str, ...] = ()

    @property
    def family(self) -> Family:
        if self.name == "ordinal":
            return Ordinal(self.link, 4)
        family = family_for(self.name, self.link)
        return family.with_predictors(*family.predictors[1:], *self.extra)

    def __str__(self) -> str:
        return "-".join((self.name, self.link, *self.extra))


def _links(name: str) -> tuple[str, ...]:
    return family_for(name).links


CASES = tuple(Case(name, link) for name in FAMILIES if name != "negative_binomial" for link in _links(name))
DISPERSED = tuple(
    Case(name, family_for(name).default_link, ("dispersion",))
    for name in FAMILIES
    if any(parameter.name == "dispersion" for parameter in family_for(name).parameters)
)


def eta_range(family: Family) -> tuple[float, float]:
    """Linear predictors of ordinary means."""
    if family.mean_range == "unit":
        return {"log": (-3.0, -0.25), "identity": (0.2, 0.8)}.get(family.link.name, (-2.5, 2.0))
    if family.link.name in ("identity", "sqrt", "inverse", "inverse_squared") and family.mean_range == "positive":
        return 0.3, 2.5
    if family.link.name in ("inverse", "inverse_squared", "sqrt"):
        return 0.3, 2.5
    return -2.0, 2.0


@dataclass(frozen=True)
class Sample:
    """A family with rows drawn from it, and the parameters of these rows."""

    family: Family
    observed: Observed
    eta: np.ndarray
    phi: np.ndarray


@st.composite
def samples(draw, case: Case) -> Sample:
    """Parameters, and a response drawn at them."""
    family = case.family
    low, high = eta_range(family)
    numbers = st.floats(-1.5, 1.5)
    columns = [draw(st.lists(st.floats(low, high), min_size=N, max_size=N))]
    columns += [draw(st.lists(numbers, min_size=N, max_size=N)) for _ in family.predictors[1:]]
    eta = np.array(columns[0]) if len(columns) == 1 else np.column_stack(columns)
    phi = np.array([draw(numbers) for _ in family.phi_names])
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    trials = rng.integers(1, 12, N).astype(float) if family.proportions else np.ones(N)
    y = family.simulate(rng, eta, phi, trials=trials)
    weights = rng.uniform(0.5, 2.0, N) if draw(st.booleans()) else None
    return Sample(family, family.observe(y, trials=trials, weights=weights), eta, phi)
