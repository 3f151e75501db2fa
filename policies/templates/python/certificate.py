"""Only names of some domains are certified.

This policy has something against certificates or nothing; others say what they look like.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.certificate import Decision_Deny, Decision_NoObjection, Request
from wit_world.imports.types import Denial, Description, SettingsError

SCHEMA = {
    "type": "object",
    "properties": {"domains": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
    "required": ["domains"],
    "additionalProperties": False,
}

# What `configure` leaves; every evaluation begins with it.
domains: list[str] = []


def has(name: str) -> bool:
    return any(name == domain or name.endswith("." + domain) for domain in domains)


class Certificate(exports.Certificate):
    def describe(self) -> Description:
        """What the policy is."""
        return Description("@name@", "0.1.0", "@summary@", json.dumps(SCHEMA))

    def configure(self, text: str) -> None:
        """Takes the settings of the binding. Called once."""
        settings = json.loads(text)
        for key in settings:
            if key not in SCHEMA["properties"]:
                raise Err(SettingsError(key, "there is no such setting"))
        listed = settings.get("domains")
        if not isinstance(listed, list) or not listed or not all(isinstance(one, str) for one in listed):
            raise Err(SettingsError("domains", "expected a list of domains"))
        domains[:] = listed

    def evaluate(self, request: Request) -> Decision_NoObjection | Decision_Deny:
        """Decides about one certificate."""
        for name in request.names:
            if name.kind != "dns" or not has(name.value):
                message = f"{name.value} is not certified here"
                audit = "no domain of the settings has it"
                return Decision_Deny(Denial("name-not-allowed", message, audit))
        return Decision_NoObjection()
