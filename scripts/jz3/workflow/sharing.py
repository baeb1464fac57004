"""Products that several entries of `influence` share: each is made once, under the first entry."""

from typing import Any

# Settings that decide a product; entries that agree in them share it.
_CANDIDATES = ("synthesizer", "mode", "passages", "sampling")
_REFERENCE = (*_CANDIDATES, "reference", "lora")
_FEATURES = (*_REFERENCE, "feature", "projection", "shards")
SETTINGS = {
    "candidates": _CANDIDATES,
    "reference": _REFERENCE,
    "gradients": (*_REFERENCE, "targets", "projection"),
    "features": _FEATURES,
    "shards": (*_FEATURES, "targets"),
}


def maker(config: dict[str, Any], name: str, product: str) -> str:
    """The entry under which a product of entry `name` lies: the first one that makes the same."""
    entries = config["influence"]
    return next(
        other
        for other in entries
        if all(entries[other][key] == entries[name][key] for key in SETTINGS[product])
    )


def sharers(config: dict[str, Any], name: str, product: str) -> list[str]:
    """All entries whose product lies under entry `name`."""
    return [other for other in config["influence"] if maker(config, other, product) == name]
