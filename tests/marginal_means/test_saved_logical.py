"""A logical predictor is one after saving, too."""

import numpy as np

import mixedfx as mfx


def test_comparisons_of_a_logical_predictor_name_the_same_values_from_a_file(tmp_path):
    data = mfx.load_dataset("sleepstudy")
    data["late"] = np.asarray(data["Days"]) > 4
    fit = mfx.lmer("Reaction ~ late + (1 | Subject)", data)
    fit.save(tmp_path / "fit.mfx")
    again = mfx.load(tmp_path / "fit.mfx")
    for new in (None, data):
        first, second = (str(mfx.comparisons(one, data=new)) for one in (fit, again))
        assert "True - False" in first
        assert first == second
