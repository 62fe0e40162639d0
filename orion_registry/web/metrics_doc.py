"""The tables of docs/metrics.md, made from the table of metrics.

python -m orion_registry.web.metrics_doc docs/metrics.md   writes them into the file
"""

import sys
from pathlib import Path

from orion_registry.web.metrics_table import as_markdown

BEGIN = "<!-- metrics: made by python -m orion_registry.web.metrics_doc; do not edit -->\n"
END = "<!-- end of metrics -->\n"


def insert(page: str) -> str:
    """The page with its tables renewed."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = "\n".join(as_markdown())
    return f"{before}{BEGIN}\n{tables}\n{END}{after}"


def main() -> None:
    """Renews the tables in the file named on the command line."""
    path = Path(sys.argv[1])
    path.write_text(insert(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
