"""Units of measurement: their many spellings, as a dimension and a size.

A unit is a product of powers: `m/s^2`, `meters per second squared`, `square feet`, `kWh`. Only
units with one meaning in school mathematics have a size; any other words are names of things.
"""

import re
from fractions import Fraction

Unit = tuple[str, Fraction]  # dimension, size in the dimension's own unit

_FAMILIES = {
    "length": {
        "1/1000000": "μm micrometer micrometre micron", "1/1000": "mm millimeter millimetre",
        "1/100": "cm centimeter centimetre", "1/10": "dm decimeter decimetre",
        "1": "m meter metre", "1000": "km kilometer kilometre", "127/5000": "in inch inche",
        "381/1250": "ft foot feet", "1143/1250": "yd yard", "201168/125": "mi mile",
    },
    "mass": {
        "1/1000": "mg milligram", "1": "g gm gram gramme", "1000": "kg kilogram kilo",
        "1000000": "tonne",
    },
    "weight": {"1": "oz ounce", "16": "lb lbs pound", "32000": "ton"},
    "time": {
        "1/1000": "ms millisecond", "1": "s sec second", "60": "min minute", "3600": "h hr hour",
        "86400": "day", "604800": "week",
    },
    "calendar": {"1": "month", "12": "year yr"},
    "money": {"1": "cent ¢", "100": "dollar $ usd buck us$"},
    "euro": {"1/100": "eurocent", "1": "euro € eur"},
    "sterling": {"1/100": "pence penny", "1": "£ gbp sterling quid"},
    "rupee": {"1/100": "paise paisa", "1": "rupee ₹ rs inr"},
    "yen": {"1": "yen ¥ jpy"},
    "yuan": {"1": "yuan rmb cny"},
    "peso": {"1": "peso"},
    "franc": {"1": "franc chf"},
    "volume": {"1/10": "cl centiliter centilitre", "1/100": "ml milliliter millilitre cc",
               "1": "dl deciliter decilitre", "10": "l liter litre"},
    "capacity": {"1/16": "tbsp tablespoon", "1/48": "tsp teaspoon", "1/8": "floz",
                 "1": "cup", "2": "pint pt", "4": "quart qt", "16": "gallon gal"},
    "angle": {"1/3600": "arcsecond", "1/60": "arcminute", "1": "degree deg °"},
    "radian": {"1": "rad radian"},
    "temperature": {"1": "celsius °c"}, "temperature f": {"1": "fahrenheit °f"},
    "temperature k": {"1": "kelvin"},
    "force": {"1": "newton N"}, "energy": {"1": "joule J", "1000": "kj kilojoule"},
    "power": {"1": "watt W", "1000": "kw kilowatt"}, "potential": {"1": "volt V"},
    "current": {"1": "ampere amp A"}, "resistance": {"1": "ohm ω"},
    "frequency": {"1": "hz hertz", "1000": "khz kilohertz"}, "pressure": {"1": "pascal Pa"},
    "amount": {"1": "mol mole"}, "bits": {"1": "bit", "8": "byte"},
    "area of land": {"1": "hectare ha"}, "acres": {"1": "acre"},
    "morning": {"1": "am"}, "afternoon": {"1": "pm"},
    "square": {"1": "unit^2"},
}  # fmt: skip
UNITS = {
    name: (dimension, Fraction(size))
    for dimension, sizes in _FAMILIES.items()
    for size, names in sizes.items()
    for name in names.split()
}
_COMPOUND = {"mph": "mile/hour", "kph": "km/h", "kmh": "km/h", "fps": "feet/second"}
# One letter is a variable unless it stands behind a number that is compared with a number.
LETTERS = "mgshlLNJWVA"
_POWER_WORDS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_FACTOR = re.compile(r"([^\W\d_]+|[°$€£₹¥¢%])\.?(?:\s*\^?\s*\{?\s*(-?[1-4])\s*\}?(?![\d.]))?")


def _single(name: str) -> Unit | None:
    for spelling in (name, name.lower()):
        for known in (spelling, spelling.removesuffix("s"), spelling.removesuffix("es")):
            if known in UNITS:
                return UNITS[known]
    return None


def known_unit(text: str) -> Unit | None:
    """Dimension (a product of powers, in words) and size of a unit; None for any other words."""
    text = re.sub(r"\s+", " ", text.strip(" ()-.")).replace("²", "^2").replace("³", "^3")
    text = re.sub(r"\b([ap])\.\s?m\.?$", r"\1m", text, flags=re.I)
    text = _COMPOUND.get(text.lower(), text)
    text = re.sub(r"\s*(?:\bper\b|/|\\div)\s*(?:an? )?", "/", text, flags=re.I)
    text = re.sub(r"\bfluid ounces?\b|\bfl\.? oz\b", "floz", text, flags=re.I)
    text = re.sub(r"\s*(?:\\cdot|\\times|·|\*|-)\s*", " ", text)
    if not text or text.count("/") > 2:
        return None
    powers: dict[str, int] = {}
    size = Fraction(1)
    for place, part in enumerate(text.split("/")):
        sign = -1 if place else 1
        found = _product(part)
        if found is None:
            return None
        for (dimension, one), power in found:
            powers[dimension] = powers.get(dimension, 0) + sign * power
            size *= one ** (sign * power)
    words = sorted(f"{name}^{power}" for name, power in powers.items() if power)
    return (" ".join(words), size) if words else None


def _product(text: str) -> list[tuple[Unit, int]] | None:
    text = re.sub(r"\bsquared\b", "^2", re.sub(r"\bcubed\b", "^3", text.strip(), flags=re.I))
    found: list[tuple[Unit, int]] = []
    place, raised = 0, 1
    while place < len(text):
        factor = _FACTOR.match(text, place)
        if not factor:
            return None
        place = factor.end()
        while text[place : place + 1] == " ":
            place += 1
        if factor[1].lower() in _POWER_WORDS and not factor[2]:
            raised = _POWER_WORDS[factor[1].lower()]
            continue
        unit = _single(factor[1])
        if unit is None:
            return None
        found.append((unit, raised * int(factor[2] or 1)))
        raised = 1
    return found or None


def same_unit(one: str, other: str) -> bool | None:
    """Whether two units are of one dimension; None where one of them is no unit of measurement.

    Pounds may be of money or of weight.
    """
    ours, theirs = known_unit(one), known_unit(other)
    if not ours or not theirs:
        return None
    pounds = ("sterling^1", "weight^1")
    if {ours[0], theirs[0]} == set(pounds):
        return "pound" in f"{one} {other}".lower() and ours[1] in (1, 16) and theirs[1] in (1, 16)
    return ours[0] == theirs[0]


def factor(one: str, other: str) -> Fraction:
    """How many of `other` one of `one` is, for two units of one dimension."""
    ours, theirs = known_unit(one), known_unit(other)
    if not ours or not theirs or ours[0] != theirs[0]:
        return Fraction(1)
    return ours[1] / theirs[1]
