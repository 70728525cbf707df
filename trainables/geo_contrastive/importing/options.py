"""What the reader of weather fields may be told; apart from it, for a list of data sets must not wait for xarray."""

from collections.abc import Mapping

WEATHER_FIELDS: Mapping[str, str] = {
    "variables": "what to take, by commas: NAME, NAME@LEVEL with a unit, NEW=NAME@LEVEL, such as "
    "t2m,z=geopotential@850hPa (default all, if none has several levels)",
    "grid": "the grid to regrid to: COUNTxCOUNT of longitudes and latitudes, such as 64x32, the size of a cell in "
    "degrees or metres, such as 2.5, or the name of a variable (default the own grid of each variable)",
    "sums": "names of variables that are amounts over the time before each time stamp, such as ERA5's tp; their days "
    "are sums (default those whose attributes say so)",
    "means": "names of variables that look like amounts but whose days are means, such as a rate in mm/day",
    "running": "names of variables that are totals of the day so far, such as ERA5-Land's tp; their days are the last "
    "total of each",
    "day_starts": "hour UTC at which a day begins, 0 to 23 (default 0)",
}
