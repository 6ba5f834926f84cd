"""Saving without loss: data of every kind come back, the estimate is the same to the last bit, no code is stored."""

import contextlib
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from tests.fuzz import frame as frame_of_the_fuzzer


@pytest.fixture
def frame():
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(8), 6)
    data = pd.DataFrame(
        {
            "y": rng.normal(size=48) + rng.normal(size=8)[g],
            "x": pd.array(rng.normal(size=48), dtype="Float64"),
            "f": pd.Categorical(np.tile(["b", "a", "c"], 16), categories=["c", "b", "a"]),
            "site": np.array([f"s{i}" for i in g], dtype=object),
            "when": pd.to_datetime("2020-01-01") + pd.to_timedelta(g % 4, unit="D"),
            "n": g % 2 == 0,
            "w": rng.uniform(0.5, 2, 48),
        },
        index=pd.Index([f"row{i}" for i in range(48)], name="row"),
    )
    data.loc["row3", "x"] = pd.NA
    return data


FORMULAS = ["y ~ x + f + (1 | site)", "y ~ scale(x) * n + (1 | when:site)", "log(y + 9) ~ C(f, contr.sum) + (x | site)"]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.filterwarnings("ignore::mixedfx.SingularFitWarning")
def test_saved_fits_come_back_without_loss(tmp_path, frame, formula, weights):
    fit = mfx.lmer(formula, frame, weights=weights, reml=weights is None)
    fit.save(tmp_path / "fit.mfx")
    for back in (mfx.load(tmp_path / "fit.mfx"), pickle.loads(pickle.dumps(fit))):
        assert back.llf == fit.llf
        pd.testing.assert_series_equal(back.params, fit.params, check_exact=True)
        pd.testing.assert_series_equal(back.fittedvalues, fit.fittedvalues, check_exact=True)
        pd.testing.assert_series_equal(back.predict(frame), fit.predict(frame), check_exact=True)
        assert str(back.summary()) == str(fit.summary())


@pytest.mark.parametrize("kind", [list, lambda w: w.astype(object), lambda w: w.astype("Float64"), np.asarray])
def test_weights_come_back_however_they_were_given(tmp_path, frame, kind):
    fit = mfx.lmer("y ~ f + (1 | site)", frame, weights=kind(frame["w"]))
    fit.save(tmp_path / "fit.mfx")
    assert mfx.load(tmp_path / "fit.mfx").llf == fit.llf


def test_what_is_code_is_not_saved(tmp_path, frame):
    fit = mfx.lmer("y ~ double(x) + (1 | site)", frame, functions={"double": lambda x: 2 * x})
    with pytest.raises(mfx.SpecificationError, match="double"):
        fit.save(tmp_path / "fit.mfx")


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps({"a": 1})])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(mfx.DataError, match="not a fit"):
        mfx.load(path)


# ---------------------------------------------------------------- a file that is damaged, changed or hostile
@pytest.fixture(scope="module")
def counts():
    return mfx.glmer(
        "cbind(incidence, size - incidence) ~ period + (1 | herd)", mfx.load_dataset("cbpp"), family="binomial"
    )


def members(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def repacked(path, named, seal=True):
    """Write members as a file of ours: with a checksum that fits, if a hostile writer takes the trouble."""
    from mixedfx.models.storage import _checksum

    if seal:
        named = named | {"checksum": _checksum(named)}
    with path.open("wb") as file:
        np.savez_compressed(file, **named)
    return path


def with_head(named, change):
    head = json.loads(named["head"].tobytes())
    change(head)
    return named | {"head": np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)}


def test_random_bytes_changed_or_cut_are_noticed(tmp_path, counts):
    path, rng = tmp_path / "fit.mfx", np.random.default_rng(1)
    counts.save(path)
    whole = path.read_bytes()
    for _ in range(150):
        content = bytearray(whole)
        for place in rng.integers(0, len(whole), rng.integers(1, 4)):
            content[place] = rng.integers(256)
        path.write_bytes(bytes(content[: rng.integers(len(content))]) if rng.random() < 0.3 else bytes(content))
        with contextlib.suppress(mfx.DataError):
            assert mfx.load(path).bse.equals(counts.bse)  # some bytes do not matter: the dates of the members, …


def test_changed_arrays_and_descriptions_are_noticed(tmp_path, counts):
    path = tmp_path / "fit.mfx"
    counts.save(path)
    named = members(path)
    others = [np.zeros(0), np.array(["text"]), np.full(3, np.nan), np.array(7), np.zeros((2, 2)), np.arange(9)]
    for name in set(named) - {"checksum"}:
        for other in others:
            with pytest.raises(mfx.DataError):
                mfx.load(repacked(path, named | {name: other}, seal=False))
            if other.dtype.kind != "U":
                with contextlib.suppress(mfx.DataError):  # a Hessian of another shape is computed anew
                    again = mfx.load(repacked(path, named | {name: other}))
                    np.testing.assert_allclose(again.bse, counts.bse, rtol=1e-4)


def keys_of(part, place=()):
    items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in items:
        yield (*place, key)
        yield from keys_of(value, (*place, key))


def test_every_entry_of_the_description_may_be_nonsense(tmp_path, counts):
    path = tmp_path / "fit.mfx"
    counts.save(path)
    named = members(path)
    places, refused = list(keys_of(json.loads(named["head"].tobytes()))), 0
    for number, place in enumerate(places):
        value = (None, "nonsense", [], {}, -1e9, [[1]])[number % 6]

        def change(head, place=place, value=value):
            for key in place[:-1]:
                head = head[key]
            head[place[-1]] = value

        try:
            assert "binomial" in str(mfx.load(repacked(path, with_head(named, change))).summary())
        except (mfx.DataError, mfx.SpecificationError):
            refused += 1
    assert refused > len(places) / 2  # the others, such as names of an index, may be anything


def test_a_hessian_that_is_not_the_hessian_is_not_believed(tmp_path, counts):
    path = tmp_path / "fit.mfx"
    counts.save(path)
    named = members(path)
    named["fit/hessian"] = named["fit/hessian"] * 100
    with pytest.raises(mfx.DataError, match="checksum"):
        mfx.load(repacked(path, named, seal=False))
    np.testing.assert_allclose(mfx.load(repacked(path, named)).bse, counts.bse, rtol=1e-4)


@pytest.mark.parametrize("found", [99, 1, None, "2"])
def test_other_formats_are_refused(tmp_path, counts, found):
    path = tmp_path / "fit.mfx"
    counts.save(path)
    with pytest.raises(mfx.DataError, match="format"):
        mfx.load(repacked(path, with_head(members(path), lambda head: head.update(format=found))))


def test_a_file_does_not_grow_beyond_measure(tmp_path, counts):
    path = tmp_path / "fit.mfx"
    counts.save(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("data/bomb.npy", "w") as member:
        for _ in range(300):
            member.write(bytes(1 << 20))
    with pytest.raises(mfx.DataError, match="times its own size"):
        mfx.load(path)


def test_a_header_that_promises_terabytes_is_refused(tmp_path, counts):
    path, buffer = tmp_path / "fit.mfx", io.BytesIO()
    counts.save(path)
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("fit/x2.npy", buffer.getvalue() + bytes(64))
    with pytest.raises(mfx.DataError, match="damaged"):
        mfx.load(path)


def test_data_that_shrink_to_almost_nothing_come_back(tmp_path):
    rng, n = np.random.default_rng(3), 1_200_000
    data = {
        "y": np.zeros(n),
        "x": np.zeros(n),
        "g": np.zeros(n, dtype=np.int64),
        **{f"c{i}": np.zeros(n) for i in range(6)},
    }
    data["g"][n // 2 :] = 1
    data["y"][:40] = rng.normal(size=40)
    with pytest.warns(mfx.MixedfxWarning):
        fit = mfx.lmer("y ~ 1 + offset(c0 + c1 + c2 + c3 + c4 + c5) + (1 | g)", data)
    fit.save(tmp_path / "fit.mfx")
    assert mfx.load(tmp_path / "fit.mfx").llf == fit.llf


def test_a_missing_file_or_folder_is_said(tmp_path, counts):
    with pytest.raises(mfx.DataError, match="no file"):
        mfx.load(tmp_path / "nowhere.mfx")
    with pytest.raises(mfx.DataError, match="cannot be written"):
        counts.save(tmp_path / "no" / "folder.mfx")
    with pytest.raises(mfx.DataError, match="cannot be written"):
        counts.save(tmp_path)


# ---------------------------------------------------------------- what was there before is never lost
def test_a_save_that_fails_leaves_the_old_file(tmp_path, counts, monkeypatch):
    path = tmp_path / "fit.mfx"
    counts.save(path)
    before = path.read_bytes()
    for problem in (OSError(28, "No space left on device"), KeyboardInterrupt()):

        def fail(*_, problem=problem):
            raise problem

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises((mfx.DataError, KeyboardInterrupt)):
            counts.save(path)
        assert path.read_bytes() == before
        assert [found.name for found in tmp_path.iterdir()] == ["fit.mfx"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed by a signal of POSIX")
def test_a_killed_process_leaves_the_old_file(tmp_path):
    path = tmp_path / "fit.mfx"
    script = (
        "import sys, mixedfx as mfx; fit = mfx.lmer('Yield ~ 1 + (1 | Batch)', mfx.load_dataset('dyestuff'))\n"
        "while True: fit.save(sys.argv[1])"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], cwd=Path(mfx.__file__).parents[1])
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert mfx.load(path).params.size == 1


def test_differences_that_rounding_has_lost_do_not_take_the_place_of_a_hessian(tmp_path):
    """Found by the fuzzer: with a residual of 2e-6 beside groups of 1 the intercept's differences are all zero."""
    rng = np.random.default_rng([12, 695])
    data = frame_of_the_fuzzer(rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfx.MixedfxWarning)
        fit = mfx.glmer("I(y * 2) ~ (1 | g/h)", data, family="gaussian")
    fit.save(tmp_path / "fit.mfx")
    again = mfx.load(tmp_path / "fit.mfx")
    assert again.bse.equals(fit.bse)
    assert again.converged == fit.converged


def fit_of_the_file(kind):
    """A fit whose file was written by an earlier version with the same format."""
    if kind == "linear":
        residual = mfx.AR1("Days", group="Subject")
        return mfx.lmer("Reaction ~ Days + (1 | Subject)", mfx.load_dataset("sleepstudy"), residual=residual)
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    return mfx.glmer(formula, mfx.load_dataset("cbpp"), family="binomial", nagq="auto")


@pytest.mark.parametrize("kind", ["linear", "generalized"])
def test_files_of_earlier_versions_load(kind):
    fit = fit_of_the_file(kind)
    back = mfx.load(Path(__file__).parent / "saved" / f"{kind}.mfx")
    assert back.llf == pytest.approx(fit.llf, rel=1e-9)
    np.testing.assert_allclose(back.params, fit.params, rtol=1e-6)
    np.testing.assert_allclose(back.bse, fit.bse, rtol=1e-5)
