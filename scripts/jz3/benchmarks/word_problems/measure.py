"""Templates about ages, distance, shapes, lengths, mass, temperature and volume."""
# ruff: noqa: E501 (one line per wording)

from .engine import Template

MEASURE = (
    Template(
        "age_later",
        "age=4..40 years=2..20",
        (
            "{A} is {age} years old. How old will {A.he} be in {years:year}?",
            "Today {A} turns {age}. What will {A.his} age be {years:year} from now?",
        ),
        (("later = age + years", "{A} will be {=}."),),
    ),
    Template(
        "age_of_relative_later",
        "age=4..30 older=2..9 years=2..12",
        (
            "{A} is {age} years old. {A.his} {relative} is {older:year} older. How old will the {relative} be in {years:year}?",
            "{B} is {older:year} older than {A}, who is {age}. How old will {B} be in {years:year}?",
        ),
        (
            ("now = age + older", "The age now is {=}."),
            ("later = now + years", "The age then is {=}."),
        ),
        (("relative", "relatives"),),
    ),
    Template(
        "age_times",
        "age=4..15 times=2..5",
        (
            "{A} is {age} years old. {A.his} teacher is {times} times as old. How many years older is the teacher?",
            "{B} is {times} times as old as {A}, who is {age}. How many years older than {A} is {B}?",
        ),
        (
            ("elder = age * times", "The older one is {=}."),
            ("difference = elder - age", "The difference is {=:year}."),
        ),
        held_out=True,
    ),
    Template(
        "distance",
        "speed=3..30 hours=2..5",
        (
            "{A} cycles at {speed:mile} per hour. How many miles does {A.he} go in {hours:hour}?",
            "A boat travels {speed:mile} each hour. How far does it travel in {hours:hour}, in miles?",
        ),
        (("miles = speed * hours", "The distance is {=:mile}."),),
    ),
    Template(
        "speed",
        "hours=2..9 speed=3..15 miles:=hours*speed",
        (
            "{A} goes {miles:mile} in {hours:hour} at a steady speed. How many miles does {A.he} go each hour?",
            "A cart covers {miles:mile} in {hours:hour}. What is its speed in miles per hour?",
        ),
        (("per_hour = miles / hours", "The speed is {=:mile} per hour."),),
        held_out=True,
    ),
    Template(
        "travel_time",
        "speed=3..15 hours=2..9 miles:=hours*speed",
        (
            "{A} walks and rides {miles:mile} at {speed:mile} per hour. How many hours does the trip take?",
            "A boat sails {speed:mile} per hour. How many hours does it need for {miles:mile}?",
        ),
        (("time = miles / speed", "The time is {=:hour}."),),
    ),
    Template(
        "round_trips",
        "miles=2..12 days=2..6",
        (
            "{A} lives {miles:mile} from school and goes there and back each day. How many miles does {A.he} travel in {days:day}?",
            "The way to work is {miles:mile} long. {A} goes there and back. How many miles is that in {days:day}?",
        ),
        (
            ("per_day = miles * 2", "Each day {A} travels {=:mile}."),
            ("total = per_day * days", "In all {A} travels {=:mile}."),
        ),
    ),
    Template(
        "perimeter",
        "length=4..25 width=2..20",
        (
            "A {plot} is {length:foot} long and {width:foot} wide. What is its perimeter in feet?",
            "How many feet of fence go around a {plot} that is {length:foot} by {width:foot}?",
        ),
        (
            ("sides = length + width", "Length and width together are {=:foot}."),
            ("perimeter = sides * 2", "The perimeter is {=:foot}."),
        ),
        (("plot", "plots"),),
        where="width < length",
    ),
    Template(
        "area",
        "length=3..12 width=2..12",
        (
            "The floor of {an:room} is {length:meter} long and {width:meter} wide. What is its area in square meters?",
            "{A} paints a wall that is {length:meter} by {width:meter}. How many square meters does {A.he} paint?",
        ),
        (("area = length * width", "The area is {=} square meters."),),
        (("room", "rooms"),),
    ),
    Template(
        "side_of_square",
        "side=2..30 perimeter:=side*4",
        (
            "A square {plot} has a perimeter of {perimeter:meter}. How long is one side, in meters?",
            "{A} bends a wire of {perimeter:inch} into a square. How many inches long is each side?",
        ),
        (("one_side = perimeter / 4", "One side is {=} long."),),
        (("plot", "plots"),),
        held_out=True,
    ),
    Template(
        "cost_of_fence",
        "length=3..12 width=2..10 price=2..5",
        (
            "{A} puts a fence around a {plot} that is {length:meter} by {width:meter}. The fence costs {price:$} per meter. How many dollars does it cost?",
        ),
        (
            ("sides = length + width", "Length and width together are {=:meter}."),
            ("perimeter = sides * 2", "The fence is {=:meter} long."),
            ("cost = perimeter * price", "It costs {=:$}."),
        ),
        (("plot", "plots"),),
        where="width < length",
        largest=200,
    ),
    Template(
        "uncovered_area",
        "length=4..12 width=3..12 covered=4..60",
        (
            "A {plot} is {length:meter} long and {width:meter} wide. {covered} square meters of it are grass. How many square meters are not grass?",
            "{A} has tiles for {covered} square meters. The floor of {an:room} is {length:meter} by {width:meter}. How many square meters stay without tiles?",
        ),
        (
            ("area = length * width", "The whole area is {=} square meters."),
            ("rest = area - covered", "The rest is {=} square meters."),
        ),
        (("plot", "plots"), ("room", "rooms")),
    ),
    Template(
        "cut_into_pieces",
        "pieces=2..12 each=2..12 length:=pieces*each",
        (
            "{A} cuts {length:foot} of {ribbon} into {pieces:piece} of equal length. How many feet long is each piece?",
            "{length:meter} of {ribbon} are cut into {pieces} equal pieces. How many meters long is one piece?",
        ),
        (("one = length / pieces", "One piece is {=} long."),),
        (("ribbon", "ribbons"),),
    ),
    Template(
        "rest_of_ribbon",
        "length=15..90 count=2..8 piece=2..10",
        (
            "From {length:inch} of {ribbon}, {A} cuts {count:piece} of {piece:inch} each. How many inches are left?",
            "{A} has {length:meter} of {ribbon} and uses {count:piece} that are {piece:meter} long. How many meters remain?",
        ),
        (
            ("used = count * piece", "The pieces take {=}."),
            ("left = length - used", "What is left is {=}."),
        ),
        (("ribbon", "ribbons"),),
    ),
    Template(
        "lengths_with_decimals",
        "first=0.5..9.5/0.1 second=0.5..9.5/0.1",
        (
            "One piece of {ribbon} is {first} meters long and another is {second} meters long. How many meters are they together?",
            "{A} walked {first} miles before lunch and {second} miles after it. How many miles did {A.he} walk?",
        ),
        (("total = first + second", "Together it is {=}."),),
        (("ribbon", "ribbons"),),
        style="decimal",
        where="first != 1 and second != 1",
    ),
    Template(
        "feet_and_inches",
        "feet=2..9 inches=1..11",
        (
            "A board is {feet:foot} and {inches:inch} long. A foot is 12 inches. How many inches long is it?",
            "{A} jumps {feet:foot} and {inches:inch}. There are 12 inches in a foot. How many inches is that?",
        ),
        (
            ("from_feet = feet * 12", "The feet are {=:inch}."),
            ("total = from_feet + inches", "In all it is {=:inch}."),
        ),
    ),
    Template(
        "dozens",
        "dozens=2..9 used=2..30",
        (
            "{A} buys {dozens} dozen eggs and uses {used:egg}. How many eggs are left?",
            "A baker has {dozens} dozen {things} and sells {used}. How many {things} are left?",
        ),
        (
            ("start = dozens * 12", "A dozen is 12, so there were {=}."),
            ("left = start - used", "There are {=} left."),
        ),
        (("thing", "snacks"),),
    ),
    Template(
        "mass_of_parcel",
        "count=2..12 each=2..9 empty=1..9",
        (
            "{An:container} weighs {empty:pound} when empty. {A} puts in {count:thing} of {each:pound} each. How many pounds does it weigh now?",
            "A parcel has {count:thing} that weigh {each:pound} each, and the packing weighs {empty:pound}. How much does the parcel weigh in pounds?",
        ),
        (
            ("content = count * each", "The {things} weigh {=:pound}."),
            ("total = content + empty", "The total is {=:pound}."),
        ),
        (("thing", "goods"), ("container", "containers")),
    ),
    Template(
        "temperature",
        "start=5..60 rise=2..25 drop=2..25",
        (
            "At dawn it was {start:degree}. By noon it was {rise:degree} warmer, and in the evening it fell by {drop:degree}. What was the temperature in the evening?",
            "The temperature is {start:degree}. It rises by {rise} and then falls by {drop}. How many degrees is it then?",
        ),
        (
            ("noon = start + rise", "At its highest it was {=:degree}."),
            ("evening = noon - drop", "Then it was {=:degree}."),
        ),
        where="rise != drop",
        held_out=True,
    ),
    Template(
        "batches",
        "batches=2..9 cups=2..9",
        (
            "One batch of {things} takes {cups:cup} of flour. How many cups of flour are needed for {batches:batch}?",
            "{A} bakes {batches:batch} of {things} with {cups:cup} of flour in each. How many cups of flour does {A.he} use?",
        ),
        (("flour = batches * cups", "The flour needed is {=:cup}."),),
        (("thing", "snacks"),),
    ),
    Template(
        "tank_draining",
        "minutes=2..12 per_minute=2..9 start=20..120",
        (
            "A tank holds {start:liter} of {liquid}. {per_minute:liter} flow out each minute. How many liters are left after {minutes:minute}?",
            "{A} pours {per_minute:cup} of {liquid} a minute out of a pot with {start:cup}. How many cups are in the pot after {minutes:minute}?",
        ),
        (
            ("gone = minutes * per_minute", "The amount gone is {=}."),
            ("left = start - gone", "The amount left is {=}."),
        ),
        (("liquid", "liquids"),),
    ),
)
