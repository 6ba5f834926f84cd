"""Starting values that are none."""

import pytest

import mixedfx as mfx


@pytest.mark.parametrize("start", ["a", ["a"], [[1.0], [2.0, 3.0]], [float("nan")], 3.0, [1.0, 2.0]])
@pytest.mark.parametrize("fitted", [mfx.lmer, lambda *given, **options: mfx.glmer(*given, family="gamma", **options)])
def test_odd_starts_end_in_our_errors(fitted, start):
    with pytest.raises((mfx.SpecificationError, mfx.DataError), match="start"):
        fitted("Yield ~ 1 + (1 | Batch)", mfx.load_dataset("dyestuff"), control=mfx.Control(start=start))
