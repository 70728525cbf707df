"""A self-contained HTML page on a data set: tables, pairs of image and scan, and point clouds that can be rotated."""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from PIL import Image

from thalweg.datasets.page import data_uri, table_html
from trainables.rgb_lidar.config import CLASSES
from trainables.rgb_lidar.data.lidar import MAX_RANGE
from trainables.rgb_lidar.data.scenes import RGBLidarData
from trainables.rgb_lidar.exploring.pictures import colours_of_distance, distances

NO_RETURN = 65535
"""Value of a ray that did not come back; other distances in the page are 16-bit numbers of millimetres."""

_TEMPLATE = Path(__file__).with_name("page.html")


def page(
    texts: Mapping[str, str],
    tables: Mapping[str, pd.DataFrame],
    chart: bytes,
    data: RGBLidarData,
    scenes: pd.DataFrame,
    sections: Mapping[str, Sequence[int]],
) -> str:
    """Returns the page.

    Args:
        texts: Plain text for the places ``title``, ``summary``, ``law``, ``unpaired`` and ``told``.
        tables: Tables for the places ``classes`` and ``measures``.
        chart: A picture as PNG.
        data: Opened data.
        scenes: Table of all scenes, in the order of the data.
        sections: Rows of the scenes to show, by the title above them.
    """
    places = {name: html.escape(text) for name, text in texts.items()}
    places |= {name: table_html(table, digits=4) for name, table in tables.items()}
    places |= {"chart": data_uri(chart), "side": str(data.side), "data": _script_data(data, scenes, sections)}
    text = _TEMPLATE.read_text("utf-8")
    for name, value in places.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    return text


def _script_data(data: RGBLidarData, scenes: pd.DataFrame, sections: Mapping[str, Sequence[int]]) -> str:
    chosen = sorted({row for rows in sections.values() for row in rows})
    content = {
        "side": data.side,
        "azimuth": [round(float(angle), 6) for angle in data.azimuth],
        "zenith": [round(float(angle), 6) for angle in data.zenith],
        "colours": [to_hex(colour) for colour in colours_of_distance()(np.linspace(0, 1, 64))],
        "scenes": {str(row): _scene(data, scenes, row) for row in chosen},
        "sections": [
            {"title": title, "scenes": [str(row) for row in rows]}
            for title, rows in sections.items()
            if len(rows)
        ],
    }
    return json.dumps(content, separators=(",", ":")).replace("</", "<\\/")  # a script ends at the first </


def _scene(data: RGBLidarData, scenes: pd.DataFrame, row: int) -> dict[str, Any]:
    scene = scenes.iloc[row]
    depth = data.depth[row]
    millimetres = np.where(depth < MAX_RANGE, np.round(depth * 1000), NO_RETURN).astype("<u2")
    stream = io.BytesIO()
    Image.fromarray(data.rgb[row].transpose(1, 2, 0)).save(stream, "PNG")
    summary = (
        f"{scene['returns']:.1%} of rays came back, {distances(scene)}; brightness {scene['brightness']:.2f}"
    )
    return {
        "name": f"{CLASSES[data.labels[row]]} {scene['number']:04d}, {scene['split']}",
        "summary": summary,
        "rgb": data_uri(stream.getvalue()),
        "depth": base64.b64encode(millimetres.tobytes()).decode(),
    }
