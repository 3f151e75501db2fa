"""Some secrets are frozen: they can be read and not changed.

One denial denies, so this takes away from what other policies allow.
"""

import json
import re

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.access import Decision_Allow, Decision_Deny, Grant, Request
from wit_world.imports.types import Denial, Description, SettingsError

SCHEMA = {
    "type": "object",
    "properties": {
        "frozen": {"type": "array", "items": {"type": "string"}},
        "except": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["frozen"],
    "additionalProperties": False,
}

# What `configure` leaves; every evaluation begins with it.
patterns: dict[str, list[re.Pattern[str]]] = {}


def compiled(settings: dict, key: str) -> list[re.Pattern[str]]:
    """Patterns, in which `*` stands for any characters."""
    listed = settings.get(key, [])
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise Err(SettingsError(key, "expected a list of patterns"))
    return [re.compile(".*".join(map(re.escape, one.split("*"))), re.DOTALL) for one in listed]


def matches(key: str, text: str) -> bool:
    return any(pattern.fullmatch(text) for pattern in patterns[key])


class Access(exports.Access):
    def describe(self) -> Description:
        """What the policy is."""
        return Description("@name@", "0.1.0", "@summary@", json.dumps(SCHEMA))

    def configure(self, text: str) -> None:
        """Takes the settings of the binding. Called once."""
        settings = json.loads(text)
        for key in settings:
            if key not in SCHEMA["properties"]:
                raise Err(SettingsError(key, "there is no such setting"))
        if "frozen" not in settings:
            raise Err(SettingsError("frozen", "this setting is missing"))
        for key in SCHEMA["properties"]:
            patterns[key] = compiled(settings, key)

    def evaluate(self, request: Request) -> Decision_Allow | Decision_Deny:
        """Decides about one request."""
        reads = request.operation in ("secrets.read", "secrets.list")
        excepted = matches("except", request.identity)
        if reads or excepted or not matches("frozen", request.resource):
            return Decision_Allow(Grant(None, None, []))
        message = "this secret is frozen: it can be read and not changed"
        audit = f"{request.operation} on {request.resource}"
        return Decision_Deny(Denial("frozen", message, audit))
