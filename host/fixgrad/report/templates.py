"""Templates filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def fill(name: str, context: Mapping[str, Any]) -> str:
    """Return a template with its names filled in; texts are escaped."""
    environment = Environment(
        loader=PackageLoader("fixgrad.report", ""), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(name).render(context)
