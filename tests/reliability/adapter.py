"""Run a case of the catalogue with mixedfx and describe what happened in the catalogue's words."""

import re
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from typing import Any

import mixedfx as mfx

SECONDS = 120  # a hang is a failure


class Hang(Exception):
    """The case took longer than ``SECONDS``."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`Hang` in the main thread when the time is over."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: Any) -> None:
        raise Hang(f"more than {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def fit(spec: dict[str, Any]) -> Any:
    """``lmer`` for Gaussian models, ``glmer`` for the rest."""
    arguments = {"weights": spec["weights"], "offset": spec["offset"]}
    if spec["kwargs"]:
        arguments["control"] = mfx.Control(**spec["kwargs"])
    if spec["family"] == "gaussian":
        return mfx.lmer(spec["formula"], spec["data"], reml=spec["reml"], **arguments)
    generalised = {"family": spec["family"], "link": spec["link"], "nagq": spec["nagq"]}
    return mfx.glmer(spec["formula"], spec["data"], **generalised, **arguments)


def run(spec: dict[str, Any]) -> dict[str, Any]:
    """The outcome: an error or numbers, and every warning."""
    outcome: dict[str, Any] = {"error": None}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with time_limit(SECONDS):
                outcome |= _numbers(spec)
        except Exception as error:
            outcome["error"] = error
    outcome["warnings"] = [str(message.message) for message in caught]
    return outcome


def _numbers(spec: dict[str, Any]) -> dict[str, Any]:
    if spec["op"] == "anova":
        return _one_way(spec)
    result = fit(spec)
    outcome = describe(result)
    return outcome | _predictions(result, spec) if spec["op"] == "predict" else outcome


def describe(result: Any) -> dict[str, Any]:
    """Estimates by name; correlations that the model fixes at zero are there as zeros."""
    table = result.varcorr.to_frame().to_dict("records")
    rows = [row for row in table if row["group"] != "Residual"]
    single = [row for row in rows if _empty(row["term2"])]
    sd = {(row["group"], row["term1"]): float(row["sd"]) for row in single}
    corr = {(g, plain(a), plain(b)): 0.0 for (g, a), (h, b) in combinations(sd, 2) if g == h}
    for row in rows:
        if not _empty(row["term2"]):
            corr |= dict.fromkeys(_both_ways(row), float(row["corr"]))
    return {
        "fixef": {name: float(value) for name, value in result.params.items()},
        "se": {name: float(value) for name, value in result.bse.items()},
        "df": {name: float(value) for name, value in result.df.items()},
        "sd": sd,
        "corr": corr,
        "sigma": float(result.sigma),
        "loglik": float(result.llf),
        "nobs": int(result.nobs),
        "ngroups": {name: int(count) for name, count in dict(result.n_groups).items()},
        "converged": bool(result.converged),
        "singular": bool(result.is_singular),
    }


def _empty(value: Any) -> bool:
    return value is None or value != value or value == ""


def _both_ways(row: dict[str, Any]) -> list[tuple[str, str, str]]:
    first, second = plain(row["term1"]), plain(row["term2"])
    return [(row["group"], first, second), (row["group"], second, first)]


def plain(name: str) -> str:
    """``f[T.b]`` as R writes it, ``fb``."""
    return re.sub(r"\[(?:T\.)?(.*?)\]", r"\1", name)


def _predictions(result: Any, spec: dict[str, Any]) -> dict[str, Any]:
    wanted, data = spec["predict_kw"], spec["newdata"]
    arguments: dict[str, Any] = {}
    if wanted.get("allow_new_levels"):
        arguments["new_levels"] = "population"
    if wanted.get("re_form") == "none":
        arguments["random"] = False
    predicted = result.predict(data, **arguments)
    return {
        "pred": predicted.to_numpy(),
        "pred_index": list(predicted.index),
        "fitted": result.fittedvalues.to_numpy(),
        "population": result.predict(data, random=False).to_numpy(),
    }


def _one_way(spec: dict[str, Any]) -> dict[str, Any]:
    frame = mfx.aov(spec["formula"], spec["data"]).to_frame()
    between, within = frame.iloc[0], frame.iloc[-1]
    return {"F": float(between["F"]), "MSB": float(between["mean_sq"]), "MSW": float(within["mean_sq"])}
