"""What a kilowatt-hour weighs in CO2 where it was drawn."""

from __future__ import annotations

import difflib

from clearseek.ledger.quantity import Quantity, declared, unknown
from clearseek.ledger.tables import read_table

UNIT = "g/kWh"


def carbon_intensity(region: str | None) -> Quantity:
    """Grams of CO2 equivalent per kWh, a yearly mean; unknown where no region, or one not in the table, is named."""
    if region is None:
        return unknown(UNIT, 'no grid region is declared: set `grid_region` under [prices], for example "DEU"')
    table = read_table("grid")
    row = table["region"].get(region.upper())
    if row is None:
        names = {code.lower(): code for code in table["region"]}
        names |= {known["name"].lower(): code for code, known in table["region"].items()}
        near = difflib.get_close_matches(region.lower(), names, n=1)
        hint = f"did you mean {names[near[0]]}?" if near else f"there are {', '.join(table['region'])}"
        return unknown(UNIT, f"no figure for the grid region `{region}`; {hint}")
    source = table["source"][row["source"]]
    how = f"grid of {row['name']}, mean of {source['year']} ({source['title']}) [{source['provenance']}]"
    return declared(row["g_per_kwh"], UNIT, how)
