"""What is in the tables of a database, in numbers that are the same wherever the same rows are."""

from collections.abc import Iterable, Mapping

from hopper.domain.backup import TableSum
from hopper.services.psql import Psql

AS_TEXT = """SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'iso_8601';
SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'; SET LOCAL xmloption = 'content';
SET LOCAL search_path = public;"""
"""Within a transaction: a value has one text, whatever its database or its user prefers."""

_COLUMNS = """SELECT relname, string_agg(quote_ident(attname), ', ' ORDER BY attnum) FILTER (WHERE attgenerated = '')
    FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
    GROUP BY relname ORDER BY relname COLLATE "C";"""
"""Tables but those of extensions, one in parts as a whole; without the columns that PostgreSQL works out itself."""

_HALF = "coalesce(sum(('x' || substr(h, {}, 16))::bit(64)::bigint), 0)"
_SUM = f"""SELECT count(*), {_HALF.format(1)}, {_HALF.format(17)}
    FROM (SELECT encode(sha256(convert_to(ROW({{columns}})::text, 'UTF8')), 'hex') AS h FROM {{table}}) AS rows;"""  # noqa: S608 - names from the catalogue, quoted
"""128 bits of each row's digest, in two sums."""


def columns_of(psql: Psql) -> dict[str, str]:
    """The tables, and what is to be summed of each."""
    return {row[0]: row[1] for row in psql.run(_COLUMNS)}


def sums(psql: Psql, names: Iterable[str]) -> Mapping[str, TableSum]:
    """The sums of these tables, as the transaction sees them. Needs `AS_TEXT`."""
    columns = columns_of(psql)
    found = {}
    for name in names:
        (row,) = psql.run(_SUM.format(columns=columns[name], table=f'"{name}"'))
        found[name] = TableSum(int(row[0]), f"{row[1]}/{row[2]}")
    return found
