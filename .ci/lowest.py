"""Print the lowest version of every dependency that ``pyproject.toml`` allows, as constraints for ``pip install -c``.

Usage: ``python .ci/lowest.py > lowest.txt && pip install -e ".[test]" -c lowest.txt``
"""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
for requirement in (*project["dependencies"], *project["optional-dependencies"]["test"]):
    name, lowest = re.match(r"([\w.-]+)>=([\w.]+)", requirement).groups()
    print(f"{name}=={lowest}")
