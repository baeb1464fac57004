"""Templates about fractions, per cent, averages, ratios and rates."""
# ruff: noqa: E501 (one line per wording)

from .engine import Template

_PERCENT = "percent=5|10|20|25|50"

SHARES = (
    Template(
        "fraction_of_a_set",
        "parts=3..8 taken=2..6 unit=2..9 total:=parts*unit",
        (
            "{A} has {total:thing}. {taken}/{parts} of them are {colour}. How many {things} are {colour}?",
            "There are {total:thing} in a bag, and {taken}/{parts} of them belong to {A}. How many {things} are {A.his}?",
        ),
        (
            ("one_part = total / parts", "One part of {parts} is {=:thing}."),
            ("count = one_part * taken", "The {taken} parts are {=:thing}."),
        ),
        (("thing", "toys"), ("colour", "colours")),
        where="taken < parts",
    ),
    Template(
        "fraction_eaten",
        "parts=2..6 unit=2..12 total:=parts*unit",
        (
            "There were {total:thing}. {A} and {A.his} friends ate 1/{parts} of them. How many {things} are left?",
            "{A} made {total:thing} and gave away 1/{parts} of them. How many {things} does {A.he} still have?",
        ),
        (
            ("gone = total / parts", "The part that is gone is {=:thing}."),
            ("left = total - gone", "There are {=:thing} left."),
        ),
        (("thing", "snacks"),),
    ),
    Template(
        "sum_of_fractions",
        "parts=3..12 first_parts=1..8 second_parts=1..8 first:=first_parts/parts second:=second_parts/parts",
        (
            "{A} eats {first} of a {dish} and {B} eats {second} of it. What fraction of the {dish} do they eat together?",
            "{A} paints {first} of a wall in the morning and {second} of it in the afternoon. What fraction of the wall is painted?",
        ),
        (("together = first + second", "Together it is {=}."),),
        (("dish", "dishes"),),
        style="fraction",
        where="together < 1",
    ),
    Template(
        "rest_of_a_whole",
        "parts=3..12 some=1..11 eaten:=some/parts",
        (
            "{A} eats {eaten} of a {dish}. What fraction of the {dish} is left?",
            "{eaten} of a field is planted with corn. What fraction of the field is not planted with corn?",
            "{A} has finished {eaten} of {A.his} homework. What fraction of it is still to do?",
            "A jug is full of {liquid}. {A} uses {eaten} of it. What fraction of the {liquid} remains?",
        ),
        (("rest = 1 - eaten", "The rest is {=}."),),
        (("dish", "dishes"), ("liquid", "liquids")),
        style="fraction",
        where="eaten < 1",
    ),
    Template(
        "cups_of_liquid",
        "denominator=2|4|8 other=2|4|8 top=1..7 bottom=1..7 first:=top/denominator second:=bottom/other",
        (
            "A recipe needs {first} cup of {liquid} and {second} cup of {another}. How many cups of liquid is that? Give a fraction.",
            "{A} drank {first} liter of {liquid} and {second} liter of {another}. How many liters did {A.he} drink in all? Give a fraction.",
        ),
        (("total = first + second", "The total is {=}."),),
        (("liquid", "liquids"), ("another", "liquids")),
        style="fraction",
        where="first < 1 and second < 1 and total < 1",
        held_out=True,
    ),
    Template(
        "percent_of",
        f"{_PERCENT} total=20..200/20",
        (
            "There are {total} {things} at a camp. {percent}% of them play chess. How many {things} play chess?",
            "{percent}% of the {total} {things} are from abroad. How many {things} are from abroad?",
        ),
        (("count = total * percent / 100", "The number is {=}."),),
        (("thing", "people"),),
        largest=200,
    ),
    Template(
        "percent_off",
        f"{_PERCENT} price=20..120/20",
        (
            "{An:thing} costs {price:$}. It is sold for {percent}% less. What is the new price in dollars?",
            "{A} buys {an:thing} of {price:$} with {percent}% off. How many dollars does {A.he} pay?",
        ),
        (
            ("saving = price * percent / 100", "The saving is {=:$}."),
            ("pays = price - saving", "The new price is {=:$}."),
        ),
        (("thing", "clothes"),),
    ),
    Template(
        "average_of_three",
        "first=3..30 second=3..30 mean=4..28 third:=mean*3-first-second",
        (
            "{A} scored {first}, {second} and {third} points in three games. What is {A.his} average score?",
            "On three days {A} picked {first}, {second} and {third} {things}. How many {things} did {A.he} pick per day on average?",
        ),
        (
            ("total = first + second + third", "The sum is {=}."),
            ("average = total / 3", "The average is {=}."),
        ),
        (("thing", "fruit"),),
        where="third > 1 and first != second",
    ),
    Template(
        "average_of_two",
        "first=2..40 second=2..40",
        (
            "One {thing} has a mass of {first:kilogram} and another {second:kilogram}. What is their average mass in kilograms?",
            "{A} ran {first:mile} last week and {second:mile} this week. How many miles did {A.he} run per week on average?",
        ),
        (
            ("total = first + second", "The sum is {=}."),
            ("average = total / 2", "The average is {=}."),
        ),
        (("thing", "containers"),),
        style="decimal",
        where="first != second",
    ),
    Template(
        "total_from_average",
        "games=2..10 average=3..14",
        (
            "{A} scores {average:point} per game on average. How many points does {A.he} score in {games:game}?",
            "In {games:game} {A} had an average of {average:point} per game. How many points did {A.he} score in total?",
        ),
        (("points = games * average", "The total is {=:point}."),),
        held_out=True,
    ),
    Template(
        "ratio",
        "left_part=2..6 right_part=2..7 times=2..9 left:=left_part*times",
        (
            "For every {left_part} {colour} {things} there are {right_part} {other} ones. There are {left} {colour} {things}. How many {other} {things} are there?",
            "{A} mixes {left_part} cups of {colour} paint with {right_part} cups of {other} paint. How many cups of {other} paint go with {left} cups of {colour} paint?",
        ),
        (
            ("groups = left / left_part", "There are {=:group}."),
            ("right = groups * right_part", "So the number is {=}."),
        ),
        (("thing", "flowers"), ("colour", "colours"), ("other", "colours")),
        where="left_part != right_part",
    ),
    Template(
        "machine_rate",
        "hours=2..6 per_hour=2..12 made:=hours*per_hour longer=3..10",
        (
            "A machine makes {made:thing} in {hours:hour}. How many {things} does it make in {longer:hour}?",
            "{A} makes {made:thing} in {hours:hour}. At the same rate, how many does {A.he} make in {longer:hour}?",
        ),
        (
            ("rate = made / hours", "In one hour it is {=:thing}."),
            ("total = rate * longer", "In {longer:hour} it is {=:thing}."),
        ),
        (("thing", "tasks"),),
        where="hours != longer",
    ),
)
