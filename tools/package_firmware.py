"""Build hook: a wheel carries the firmware's sources and PlatformIO project in `fixgrad/_firmware`.

An editable installation uses those of the source tree instead.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHIPPED = {
    "firmware": "fixgrad/_firmware",
    "platformio.ini": "fixgrad/_firmware/project/platformio.ini",
    "tools/offline_platformio.py": "fixgrad/_firmware/project/tools/offline_platformio.py",
    "tools/offline_boards": "fixgrad/_firmware/project/tools/offline_boards",
}


class FirmwareHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the files to a standard wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files to include; called once before each build."""
        if version == "standard":
            build_data["force_include"].update(SHIPPED)
