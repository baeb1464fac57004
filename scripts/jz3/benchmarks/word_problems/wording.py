"""The language of the word problems: word lists, plural forms, numbers as text."""

from fractions import Fraction

# name -> (he, his, him)
_HE, _SHE = ("he", "his", "him"), ("she", "her", "her")
_BOYS = """Adam Ben Carlos David Emeka Farid Hiro Ivan Jonas Kofi Liam Marco Noah Oscar Pablo
    Ravi Samuel Tom Umar Victor Wei Yusuf"""
_GIRLS = """Anna Bella Chloe Dana Elena Fatima Grace Hana Ines Julia Kemi Lucy Mia Nina Olga
    Priya Rosa Sofia Tara Uma Vera Zoe"""
NAMES = {**dict.fromkeys(_BOYS.split(), _HE), **dict.fromkeys(_GIRLS.split(), _SHE)}

# Nouns are given in the singular.
WORDS = {
    "fruit": ["apple", "orange", "banana", "peach", "pear", "lemon", "plum", "mango", "cherry"],
    "toys": [
        "marble",
        "sticker",
        "toy car",
        "card",
        "balloon",
        "puzzle",
        "shell",
        "button",
        "bead",
    ],
    "stationery": ["pencil", "pen", "notebook", "eraser", "crayon", "ruler", "marker", "folder"],
    "snacks": ["cookie", "cupcake", "muffin", "sandwich", "pretzel", "cracker", "pancake", "bun"],
    "animals": ["goat", "duck", "sheep", "horse", "rabbit", "pig", "pony", "goose", "fish"],
    "flowers": ["rose", "tulip", "daisy", "lily", "sunflower", "poppy"],
    "people": ["student", "child", "player", "visitor", "guest", "camper", "dancer"],
    "clothes": ["shirt", "hat", "scarf", "dress", "jacket", "belt", "sweater"],
    "goods": ["lamp", "mug", "kite", "backpack", "clock", "vase", "ball", "board game"],
    "books": ["book", "comic", "magazine", "story", "atlas"],
    "containers": ["box", "bag", "basket", "jar", "tray", "bucket", "crate"],
    "colours": ["red", "blue", "green", "yellow", "white", "purple"],
    "shops": ["store", "market", "school fair", "corner shop", "bookshop"],
    "days": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"],
    "vehicles": ["van", "bus", "boat", "wagon"],
    "rooms": ["room", "hall", "kitchen", "porch", "office"],
    "plots": ["garden", "yard", "field", "playground", "park"],
    "dishes": ["pizza", "cake", "pie"],
    "liquids": ["water", "milk", "juice", "lemonade", "tea"],
    "ribbons": ["ribbon", "rope", "string", "wire"],
    "tasks": ["birdhouse", "bracelet", "model plane", "greeting card", "candle", "paper star"],
    "relatives": ["sister", "brother", "cousin", "friend"],
    "hobbies": ["the piano", "the violin", "the guitar", "the drums", "the flute"],
}

_IRREGULAR = {
    "child": "children",
    "sheep": "sheep",
    "fish": "fish",
    "goose": "geese",
    "foot": "feet",
    "inch": "inches",
    "person": "people",
    "mango": "mangoes",
    "loaf": "loaves",
    "shelf": "shelves",
    "gas": "gas",
}
_SPELLED = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def plural(noun: str) -> str:
    """The plural of an English noun; only the last word of several changes."""
    head, _, last = noun.rpartition(" ")
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif last.endswith(("s", "x", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2] not in "aeiou":
        last = last[:-1] + "ies"
    else:
        last += "s"
    return f"{head} {last}".strip()


def article(noun: str) -> str:
    """The noun with "a" or "an" before it."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def number(value: Fraction, as_fraction: bool = False) -> str:
    """A number as text: 8, 2.5, or 3/8 (as a fraction, or where decimals would not end)."""
    if value.denominator == 1:
        return str(value.numerator)
    if as_fraction or 1000 % value.denominator:
        return f"{value.numerator}/{value.denominator}"
    return f"{float(value):.3f}".rstrip("0")


def dollars(value: Fraction) -> str:
    """An amount of money: $8 or $2.50."""
    return f"${value.numerator}" if value.denominator == 1 else f"${float(value):.2f}"


def spelled(value: Fraction) -> str:
    """A number in words up to ten, in digits beyond."""
    if value.denominator == 1 and 0 <= value < len(_SPELLED):
        return _SPELLED[int(value)]
    return number(value)


def capitalised(text: str) -> str:
    """The text with a capital letter at the start of every sentence."""
    done = text[:1].upper() + text[1:]
    for mark in (". ", "? ", "! "):
        done = mark.join(part[:1].upper() + part[1:] for part in done.split(mark))
    return done
