"""Which cases can run now, and what came out of one."""

import os
from dataclasses import dataclass

import mixedfx as mfx
from tests.reliability import cases
from tests.reliability.adapter import run
from tests.reliability.meta import META

HEAVY = {f"NIST-LMM-SmLs0{index}" for index in (3, 6, 9)} | {f"NIST-SmLs0{index}" for index in (3, 6, 9)}
GENERALISED = {"DEG-05"}


@dataclass(frozen=True)
class Verdict:
    case: str
    category: str
    passed: bool
    why: str


def needs(case: str) -> tuple[str, ...]:
    """Public names without which the case makes no sense."""
    category = cases.CASES[case][0]
    if case in META:
        return ("lmer", *META[case][0])
    if category == "glmm" or case in GENERALISED:
        return ("glmer",)
    return ("aov",) if category == "NIST anova" else ("lmer",)


def missing(case: str) -> list[str]:
    return [name for name in needs(case) if not hasattr(mfx, name)]


def heavy(case: str) -> bool:
    return cases.CASES[case][0] == "big" or case in HEAVY


def judge(case: str) -> Verdict:
    """Run a case and check it with the catalogue's own checker."""
    category = cases.CASES[case][0]
    if case in META:
        return _judge_in_words(case, category)
    spec = cases.build(case)
    sentinel = spec.get("sentinel")
    if sentinel and os.path.exists(sentinel):
        os.remove(sentinel)
    passed, why = cases.check(run(spec), spec, run)
    return Verdict(case, category, passed is True, why)


def _judge_in_words(case: str, category: str) -> Verdict:
    try:
        META[case][1]()
    except Exception as error:
        return Verdict(case, category, False, f"{type(error).__name__}: {error}")
    return Verdict(case, category, True, "ok")
