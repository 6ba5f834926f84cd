"""The tour in README.md: ``python -m tests.readme`` runs it and writes its output and its picture anew."""

import contextlib
import io
import os
import re
import shutil
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "images" / "tour.png"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def blocks():
    """The fenced blocks of README.md: (language, text)."""
    return BLOCK.findall(README.read_text(encoding="utf-8"))


def run_tour():
    """Run the Python blocks in the current directory; what each of them prints, where it prints anything."""
    names, outputs = {}, []
    for language, source in blocks():
        if language != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(source, "README.md", "exec"), names)
        outputs.append("".join(f"{line.rstrip()}\n" for line in printed.getvalue().splitlines()))
    return [output for output in outputs if output]


def rewrite():
    """Put the present output into README.md and the present picture into the documentation."""
    text = README.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        outputs = iter(run_tour())
        shutil.copy("tour.png", PICTURE)
    fresh = BLOCK.sub(lambda m: f"```text\n{next(outputs)}```" if m[1] == "text" else m[0], text)
    README.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "Agg")
    rewrite()
