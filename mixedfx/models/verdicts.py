"""What a new fit warns of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mixedfx.criterion.boundary import VarianceVerdict
from mixedfx.exceptions import ConvergenceWarning, SeparationWarning, SingularFitWarning, warn
from mixedfx.families.links import EVERYWHERE, LINKS
from mixedfx.fitting import Fit
from mixedfx.matrices.new_rows import fitted_predictor
from mixedfx.matrices.pooled import smooth_encoder

__all__ = ["warn_of"]

AT_EDGE = 1e-2  # distance of a linear predictor from the edge of its link, relative to their mean size, that is none


def warn_of(fit: Fit) -> None:
    """Warn of a separation, of a search that found no optimum, of variances at zero or that nothing determines."""
    if fit.is_plain:
        return
    certificate = fit.certificate
    if certificate.separated:
        names, verb = certificate.culprits, "tells" if len(certificate.separated) == 1 else "tell"
        message = (
            f"separation: {names} {verb} the outcomes apart perfectly, so the estimates run off to infinity; a weak "
            "penalty (penalty=0.1) keeps them finite"
        )
        warn(message, SeparationWarning)
    elif certificate.divided:
        names = " or ".join(certificate.divided)
        message = (
            f"separation: no level of {names} has more than one outcome, so its variance has no finite estimate; "
            "more rows a level are needed, or fewer random effects"
        )
        warn(message, SeparationWarning)
    elif not certificate.converged:
        text = _edge_message(fit) or str(certificate).splitlines()[0]
        warn(text, ConvergenceWarning)
    for component, columns in fit.separated_components.items():
        message = (
            f"separation in the {component.replace('_', ' ')}: no finite estimate of {', '.join(columns)}, because in "
            "some rows it is as small or as large as can be; the likelihood and the other estimates are at their limit"
        )
        warn(message, SeparationWarning)
    if certificate.is_singular or not certificate.is_identified:
        sentence = str(certificate).splitlines()[1]
        lines = {term.term: smooth_encoder(term).straight for term in fit.design.random if term.is_smooth}
        singular = [verdict for verdict in certificate.variances if verdict.rank < verdict.size]
        simpler = "; ".join(filter(None, (_simpler(verdict, lines) for verdict in singular)))
        compare = f"; to compare it with a simpler model: {simpler}" if simpler else ""
        advice = f" This is an estimate, not a failure{compare}."
        warn(f"singular fit. {sentence}{advice}" if certificate.is_identified else sentence, SingularFitWarning)


def _simpler(verdict: VarianceVerdict, lines: Mapping[str, str]) -> str:
    """What to write in the place of a term that has directions without variance; ``lines`` are those of smooths."""
    if verdict.term in lines:
        return "" if verdict.rank else f"write {lines[verdict.term]} for {verdict.term}"
    if verdict.rank == 0:
        return f"leave out {verdict.term}"
    if verdict.term.startswith("(") and " | " in verdict.term:
        return f"write {verdict.term.replace(' | ', ' || ')}"
    return f"take an effect out of {verdict.term}"


def _edge_message(fit: Fit) -> str | None:
    """The warning if the search stopped where the link allows no larger or no smaller linear predictors."""
    family = fit.family
    edges = [edge for edge in family.mean_link.domain(family.mean_range) if np.isfinite(edge)]
    if not edges:
        return None
    eta = fitted_predictor(fit.design, fit.beta, fit.modes)
    size = max(float(np.abs(eta).mean()), np.finfo(float).tiny)
    near = sum(int(np.sum(np.abs(eta - edge) < AT_EDGE * size)) for edge in edges)
    if not near:
        return None
    links = [LINKS[name] for name in family.links if name in LINKS]
    others = ", ".join(repr(link.name) for link in links if link.domain(family.mean_range) == EVERYWHERE)
    return (
        f"the search ran into the edge of what the link {family.mean_link.name!r} allows: the mean of {near} rows "
        f"lies at the limit of the family {family.name!r}, so this is not the optimum; use a link without "
        f"an edge: {others}"
    )
