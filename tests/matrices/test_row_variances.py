"""Variances that the random effects give to rows: sums of squares, whatever cancels."""

import numpy as np

import mixedfx as mfx


def test_variances_that_cancel_are_not_negative():
    fit = mfx.lmer("Reaction ~ Days + (Days | Subject)", mfx.load_dataset("sleepstudy"))
    (term,) = fit.model.design.random
    rng = np.random.default_rng(0)
    x = rng.uniform(-1e6, 1e6, 2000)
    root = np.array([3.6e7, -36.4])  # the effects of a level are perfectly correlated …
    columns = np.column_stack([np.ones(x.size), x])
    columns[::2, 1] = -root[0] / root[1]  # … and cancel in some rows
    found, exact = term.row_variances(columns, np.outer(root, root)), np.square(columns @ root)
    assert (found >= 0).all()
    np.testing.assert_allclose(found, exact, atol=1e-13 * float((root[0] * 4) ** 2), rtol=1e-9)
    crossing = np.column_stack([np.ones(x.size), -root[0] / root[1] * (1 + 1e-9 * rng.standard_normal(x.size))])
    assert (term.row_variances(crossing, np.outer(root, root)) >= 0).all()
