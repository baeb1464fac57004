"""Templates about counting: joining, taking away, comparing, grouping, sharing, remainders."""
# ruff: noqa: E501 (one line per wording)

from .engine import Template

_ONE_THING = (("thing", "toys"),)
_FRUIT = (("thing", "fruit"),)

COUNTING = (
    Template(
        "join_more",
        "start=3..60 gift=2..35",
        (
            "{A} has {start:thing}. {B} gives {A.him} {gift:thing} more. How many {things} does {A} have now?",
            "There are {start:thing} in {A}'s drawer. {A} puts in {gift} more. How many {things} are in the drawer now?",
            "{A} had {start:thing} and then got {gift} more for {A.his} birthday. How many {things} does {A} have?",
        ),
        (("total = start + gift", "{A} has {=:thing}."),),
        _ONE_THING,
    ),
    Template(
        "two_people_together",
        "first=2..50 second=2..50",
        (
            "{A} picked {first:thing} and {B} picked {second:thing}. How many {things} did they pick altogether?",
            "{A} brought {first:thing} to the picnic and {B} brought {second}. How many {things} did they bring in all?",
            "In the morning {A} collected {first:thing}. In the afternoon {A.he} collected {second} more. What is the total number of {things}?",
        ),
        (("total = first + second", "Altogether there are {=:thing}."),),
        _FRUIT,
    ),
    Template(
        "three_colours",
        "first=2..30 second=2..30 third=2..30",
        (
            "A box holds {first} {colour} {things}, {second} {other} {things} and {third} {last} {things}. How many {things} does it hold?",
            "{A} has {first} {colour}, {second} {other} and {third} {last} {things}. How many {things} does {A.he} have in all?",
        ),
        (
            ("two_colours = first + second", "There are {=} {colour} and {other} {things}."),
            ("total = two_colours + third", "With the {last} ones there are {=:thing}."),
        ),
        (("thing", "toys"), ("colour", "colours"), ("other", "colours"), ("last", "colours")),
        where="first > 1 and second > 1 and third > 1",
    ),
    Template(
        "give_away",
        "start=6..90 given=2..60",
        (
            "{A} had {start:thing}. {A.he} gave {given:thing} to {B}. How many {things} does {A} have left?",
            "{A} has {start:thing} and gives {given} of them to {A.his} {relative}. How many are left?",
            "From a set of {start:thing}, {A} gave {given} away. How many {things} remain?",
        ),
        (("left = start - given", "There are {=:thing} left."),),
        (("thing", "toys"), ("relative", "relatives")),
    ),
    Template(
        "eaten_and_baked",
        "start=8..50 eaten=2..30 baked=4..40",
        (
            "{A} made {start:thing}. The family ate {eaten} of them, and then {A} made {baked} more. How many {things} are there now?",
            "There were {start:thing} on a plate. {A} ate {eaten}, and {B} added {baked} fresh ones. How many {things} are on the plate?",
        ),
        (
            ("left = start - eaten", "After eating, there were {=:thing}."),
            ("total = left + baked", "After adding more, there are {=:thing}."),
        ),
        (("thing", "snacks"),),
    ),
    Template(
        "other_part",
        "total=8..100 part=2..80",
        (
            "There are {total} {things} in a vase. {part} of them are {colour} and the rest are {other}. How many {things} are {other}?",
            "{A} planted {total} {things}. {part} were {colour} and all the others were {other}. How many {other} {things} did {A} plant?",
        ),
        (("rest = total - part", "There are {=} {other} {things}."),),
        (("thing", "flowers"), ("colour", "colours"), ("other", "colours")),
    ),
    Template(
        "before_the_gift",
        "start=2..50 gift=2..40 now:=start+gift",
        (
            "After {B} gave {A.him} {gift:thing}, {A} had {now:thing}. How many {things} did {A} have at first?",
            "{A} found {gift:thing} and now has {now}. How many {things} did {A.he} have before?",
        ),
        (("before = now - gift", "Before that, {A} had {=:thing}."),),
        _ONE_THING,
        held_out=True,
    ),
    Template(
        "before_the_loss",
        "start=8..90 lost=2..50 left:=start-lost",
        (
            "{A} lost {lost:thing} and has {left:thing} left. How many {things} did {A.he} start with?",
            "Some {things} were on a table. {A} took {lost} away and {left} stayed on the table. How many {things} were there at the beginning?",
        ),
        (("before = left + lost", "At the beginning there were {=:thing}."),),
        _ONE_THING,
    ),
    Template(
        "more_than",
        "base=4..60 more=2..35",
        (
            "{A} has {base:thing}. {B} has {more} more than {A}. How many {things} does {B} have?",
            "{B} read {more} more pages than {A}. {A} read {base:page}. How many pages did {B} read?",
        ),
        (("count = base + more", "The number for {B} is {=}."),),
        _ONE_THING,
    ),
    Template(
        "fewer_than_total",
        "base=8..60 fewer=2..40",
        (
            "{A} has {base:thing}. {B} has {fewer} fewer {things} than {A}. How many {things} do they have together?",
            "{A} caught {base:fish} and {B} caught {fewer} fewer than {A}. How many fish did the two catch in all?",
        ),
        (
            ("second = base - fewer", "{B} has {=}."),
            ("total = base + second", "Together they have {=}."),
        ),
        _FRUIT,
    ),
    Template(
        "how_many_more",
        "larger=8..100 smaller=2..80",
        (
            "{A} has {larger:thing} and {B} has {smaller}. How many more {things} does {A} have than {B}?",
            "A shop has {larger:thing} in the window and {smaller:thing} on the counter. How many more {things} are in the window?",
            "{A} sold {larger:thing} and {B} sold {smaller:thing}. How many fewer did {B} sell than {A}?",
        ),
        (("difference = larger - smaller", "The difference is {=:thing}."),),
        (("thing", "goods"),),
    ),
    Template(
        "equal_groups",
        "groups=2..12 each=2..12",
        (
            "{A} has {groups:container} with {each:thing} in each. How many {things} does {A} have?",
            "There are {each:thing} in every {container}. How many {things} are in {groups:container}?",
            "{A} fills {groups:container}. {A.he} puts {each:thing} into each one. How many {things} does {A.he} use?",
        ),
        (("total = groups * each", "There are {=:thing}."),),
        (("thing", "fruit"), ("container", "containers")),
    ),
    Template(
        "rows_of_chairs",
        "rows=2..12 seats=3..12",
        (
            "A hall has {rows:row} of chairs with {seats:chair} in each row. How many chairs are there?",
            "{A} sets up {rows:row} with {seats:chair} per row. How many chairs does {A.he} set up?",
        ),
        (("chairs = rows * seats", "There are {=:chair}."),),
        held_out=True,
    ),
    Template(
        "groups_and_loose",
        "groups=2..10 each=2..12 loose=1..15",
        (
            "{A} has {groups:container} of {each:thing} each and {loose} loose {things}. How many {things} are there in all?",
            "There are {groups:container} with {each:thing} in each, and {loose} more on the table. How many {things} are there altogether?",
        ),
        (
            ("packed = groups * each", "The {containers} hold {=:thing}."),
            ("total = packed + loose", "In all there are {=:thing}."),
        ),
        (("thing", "stationery"), ("container", "containers")),
        where="loose > 1",
    ),
    Template(
        "groups_then_used",
        "groups=2..10 each=3..12 used=2..40",
        (
            "{A} bought {groups:container} of {things} with {each} in each. {A.he} has used {used:thing}. How many {things} are left?",
            "A class got {groups:container} with {each:thing} in every one. The children used {used}. How many {things} remain?",
        ),
        (
            ("bought = groups * each", "At first there were {=:thing}."),
            ("left = bought - used", "Now {=:thing} are left."),
        ),
        (("thing", "stationery"), ("container", "containers")),
    ),
    Template(
        "share_equally",
        "friends=2..12 share=2..12 total:=friends*share",
        (
            "{A} shares {total:thing} equally among {friends:friend}. How many {things} does each friend get?",
            "{friends:child} share {total:thing} equally. How many {things} does each child get?",
            "{A} puts {total:thing} into {friends:bag} with the same number in each. How many {things} are in one bag?",
        ),
        (("each = total / friends", "The share is {=:thing}."),),
        (("thing", "snacks"),),
    ),
    Template(
        "combine_and_share",
        "people=2..9 share=3..12 first=4..60 second:=people*share-first",
        (
            "{A} has {first:thing} and {B} has {second}. They put them together and share them equally among {people:child}. How many {things} does each child get?",
            "{A} picked {first:thing} and {B} picked {second:thing}. They packed all of them into {people:bag} with the same number in each. How many are in each bag?",
        ),
        (
            ("total = first + second", "Together there are {=:thing}."),
            ("each = total / people", "The share is {=:thing}."),
        ),
        _FRUIT,
        where="second > 1",
    ),
    Template(
        "lose_then_share",
        "people=2..9 share=2..12 spoiled=2..15 start:=people*share+spoiled",
        (
            "{A} had {start:thing}. {spoiled} of them were spoiled and thrown away. {A.he} divided the rest equally among {people:friend}. How many did each friend get?",
            "A farmer picked {start:thing} and kept {spoiled} for the family. The others went into {people:basket}, the same number in each. How many {things} were in each basket?",
        ),
        (
            ("good = start - spoiled", "There were {=:thing} to divide."),
            ("each = good / people", "Each part had {=:thing}."),
        ),
        _FRUIT,
    ),
    Template(
        "bags_needed",
        "size=2..12 bags=2..12 total:=size*bags",
        (
            "{A} has {total:thing}. {A.he} puts {size} in each {container}. How many {containers} does {A.he} need?",
            "A shop packs {total:thing} into {containers} of {size}. How many {containers} are filled?",
        ),
        (("needed = total / size", "The number of {containers} is {=}."),),
        (("thing", "snacks"), ("container", "containers")),
    ),
    Template(
        "left_over",
        "size=3..10 full=2..9 rest=1..9 total:=size*full+rest packed:=size*full",
        (
            "{A} has {total:thing} and puts as many as {A.he} can into {containers} of {size}. How many {things} are left over?",
            "{total:thing} are packed into {containers} that hold {size} each, until no more full ones can be made. How many {things} remain?",
        ),
        (
            (
                "left = total % size",
                "{full:container} hold {size} * {full} = {packed:thing}, so {total} - {packed} = {left:thing} left.",
            ),
        ),
        (("thing", "fruit"), ("container", "containers")),
        where="rest < size",
    ),
    Template(
        "trips_needed",
        "size=3..9 full=2..9 rest=1..8 total:=size*full+rest",
        (
            "{total:person} want to travel. Each {vehicle} takes {size:person}. How many {vehicles} do they need?",
            "A {vehicle} can carry {size:person} at a time. How many {vehicles} are needed for {total:person}?",
        ),
        (
            (
                "filled = total // size",
                "{total} people fill {filled:vehicle}, with {rest} left over.",
            ),
            ("needed = filled + 1", "One more is needed: {=:vehicle}."),
        ),
        (("vehicle", "vehicles"),),
        where="rest < size",
        held_out=True,
    ),
    Template(
        "times_as_many",
        "base=2..15 times=2..8",
        (
            "{A} has {base:thing}. {B} has {times} times as many. How many {things} does {B} have?",
            "{B} has {times} times as many {things} as {A}, who has {base}. How many {things} does {B} have?",
        ),
        (("count = base * times", "{B} has {=:thing}."),),
        _ONE_THING,
        where="base > 1",
    ),
    Template(
        "times_as_many_total",
        "base=2..15 times=2..6",
        (
            "{A} has {base:thing} and {B} has {times} times as many. How many {things} do they have together?",
            "{A} found {base:thing} and {B} found {times} times as many as {A}. How many did the two find altogether?",
        ),
        (
            ("second = base * times", "{B} has {=:thing}."),
            ("total = base + second", "Together they have {=:thing}."),
        ),
        _ONE_THING,
        where="base > 1",
    ),
    Template(
        "two_kinds_of_packs",
        "small=2..8 in_small=2..6 large=2..6 in_large=5..12",
        (
            "{A} bought {small} small packs of {in_small:thing} each and {large} large packs of {in_large:thing} each. How many {things} did {A.he} buy?",
            "There are {small} shelves with {in_small:thing} each and {large} shelves with {in_large:thing} each. How many {things} are there?",
        ),
        (
            ("first = small * in_small", "The first group has {=:thing}."),
            ("second = large * in_large", "The second group has {=:thing}."),
            ("total = first + second", "Altogether there are {=:thing}."),
        ),
        (("thing", "books"),),
    ),
    Template(
        "legs_on_the_farm",
        "hens=2..12 cows=2..12",
        (
            "A farm has {hens:hen} with 2 legs each and {cows:cow} with 4 legs each. How many legs are there?",
            "{A} counts {hens:hen} and {cows:cow}. A hen has 2 legs and a cow has 4. How many legs do they have in all?",
        ),
        (
            ("hen_legs = hens * 2", "The hens have {=:leg}."),
            ("cow_legs = cows * 4", "The cows have {=:leg}."),
            ("legs = hen_legs + cow_legs", "In all there are {=:leg}."),
        ),
        held_out=True,
    ),
    Template(
        "on_and_off_the_bus",
        "start=8..40 off=2..20 on=2..20",
        (
            "A bus has {start:passenger}. At the next stop {off} get off and {on} get on. How many passengers are on the bus now?",
            "There were {start:person} on a train. {off} people left and {on} people came in. How many people are on the train?",
        ),
        (
            ("stayed = start - off", "After some left, there were {=:person}."),
            ("now = stayed + on", "Then there were {=:person}."),
        ),
    ),
    Template(
        "half_as_many",
        "second=2..30 first:=second*2",
        (
            "{A} scored {first:point}. {B} scored half as many points. How many points did they score together?",
            "On {day} {A} sold {first:ticket}. The next day {A.he} sold half as many. How many tickets did {A.he} sell in the two days?",
        ),
        (
            ("half = first / 2", "Half of it is {=}."),
            ("total = first + half", "The total is {=}."),
        ),
        (("day", "days"),),
    ),
    Template(
        "still_needed",
        "goal=20..100 have=5..80",
        (
            "{A} wants to collect {goal:thing}. {A.he} has {have} so far. How many more {things} does {A.he} need?",
            "A team needs {goal:point} to win. It has {have:point}. How many more points does it need?",
        ),
        (("needed = goal - have", "The number still needed is {=}."),),
        _ONE_THING,
    ),
    Template(
        "animals_sold_and_born",
        "start=10..70 sold=3..30 born=2..25",
        (
            "A farmer had {start:thing}. {A} bought {sold} of them, and then {born} were born. How many {things} does the farmer have now?",
            "There were {start:thing} on a farm. The farmer sold {sold} and later bought {born} others. How many {things} are on the farm?",
        ),
        (
            ("kept = start - sold", "The farmer kept {=:thing}."),
            ("now = kept + born", "Now there are {=:thing}."),
        ),
        (("thing", "animals"),),
    ),
    Template(
        "gap_after_giving",
        "first=12..60 given=2..15 second=3..40",
        (
            "{A} has {first:thing} and {B} has {second}. {A} gives {given} of {A.his} {things} to {B}. How many more {things} does {A} have than {B} now?",
        ),
        (
            ("first_now = first - given", "{A} keeps {=:thing}."),
            ("second_now = second + given", "{B} now has {=:thing}."),
            ("difference = first_now - second_now", "The difference is {=:thing}."),
        ),
        _ONE_THING,
    ),
    Template(
        "groups_of_pupils",
        "groups=2..8 size=3..8 girls=4..40 boys:=groups*size-girls",
        (
            "A class has {girls:girl} and {boys:boy}. They form groups of {size}. How many groups are there?",
            "{girls:girl} and {boys:boy} go on a walk in groups of {size}. How many groups do they make?",
        ),
        (
            ("pupils = girls + boys", "There are {=} children."),
            ("count = pupils / size", "They form {=:group}."),
        ),
        where="boys > 1",
        held_out=True,
    ),
)
