"""The tables of docs/configuration.md, made from the one table of settings.

python -m orion_registry.cli.settings_table docs/configuration.md   writes them into the file
"""

import sys
from itertools import groupby
from pathlib import Path

from orion_registry.server.settings import TABLE

BEGIN = "<!-- settings: made by python -m orion_registry.cli.settings_table; do not edit -->\n"
END = "<!-- end of settings -->\n"


def render() -> str:
    """All groups as Markdown."""
    parts = []
    for group, rows in groupby(TABLE, key=lambda row: row.group):
        parts.append(f"### {group}\n\n| setting | meaning and trade-off | must be | default |\n|---|---|---|---|\n")
        for row in rows:
            names = f"`{row.name}`<br>`{row.flag}`<br>`{row.variable}`"
            rule = row.kind.rule.replace("|", "\\|")
            reloads = " *Reloads.*" if row.reloads else ""
            parts.append(f"| {names} | {row.meaning} {row.trade_off}{reloads} | {rule} | `{row.default_text}` |\n")
        parts.append("\n")
    return "".join(parts)


def insert(page: str) -> str:
    """The page with its tables renewed."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{render()}{END}{after}"


def main() -> None:
    """Renews the tables in the file named on the command line."""
    path = Path(sys.argv[1])
    path.write_text(insert(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
