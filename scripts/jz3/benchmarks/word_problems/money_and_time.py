"""Templates about money (prices, change, savings, wages) and time (durations, rates per day)."""
# ruff: noqa: E501 (one line per wording)

from .engine import Template

_GOODS = (("thing", "goods"),)

MONEY_AND_TIME = (
    Template(
        "cost_of_several",
        "count=2..12 price=2..12",
        (
            "One {thing} costs {price:$}. How much do {count:thing} cost in dollars?",
            "{A} buys {count:thing} for {price:$} each. How many dollars does {A.he} pay?",
            "At the {shop}, each {thing} is {price:$}. What is the cost of {count:thing}, in dollars?",
        ),
        (("cost = count * price", "The cost is {=:$}."),),
        (("thing", "goods"), ("shop", "shops")),
    ),
    Template(
        "change_from_note",
        "paid=10|20|50|100 price=3..95",
        (
            "{A} buys {an:thing} for {price:$} and pays with {paid:$}. How many dollars of change does {A.he} get?",
            "{An:thing} costs {price:$}. {A} gives the clerk {paid:$}. How much change should {A.he} get, in dollars?",
        ),
        (("change = paid - price", "The change is {=:$}."),),
        _GOODS,
        held_out=True,
    ),
    Template(
        "change_from_several",
        "paid=20|50|100 count=2..9 price=2..12",
        (
            "{A} buys {count:thing} at {price:$} each and pays with {paid:$}. How many dollars of change does {A.he} get?",
            "{A} has {paid:$}. {A.he} buys {count:thing} that cost {price:$} each. How many dollars are left?",
        ),
        (
            ("cost = count * price", "The {things} cost {=:$}."),
            ("change = paid - cost", "There are {=:$} left."),
        ),
        (("thing", "clothes"),),
    ),
    Template(
        "two_purchases",
        "first=3..60 second=3..60",
        (
            "{A} spends {first:$} on {an:thing} and {second:$} on {an:other}. How many dollars does {A.he} spend in all?",
            "{An:thing} costs {first:$} and {an:other} costs {second:$}. What do they cost together, in dollars?",
        ),
        (("total = first + second", "Together they cost {=:$}."),),
        (("thing", "clothes"), ("other", "goods")),
    ),
    Template(
        "price_of_one",
        "count=2..12 price=2..12 total:=count*price",
        (
            "{A} pays {total:$} for {count:thing}. All cost the same. What is the price of one {thing} in dollars?",
            "{count:thing} cost {total:$} altogether. How many dollars does one {thing} cost?",
        ),
        (("each = total / count", "The price of one is {=:$}."),),
        (("thing", "clothes"),),
    ),
    Template(
        "how_many_can_be_bought",
        "price=2..12 count=2..12 money:=count*price",
        (
            "{A} has {money:$}. {An:thing} costs {price:$}. How many {things} can {A.he} buy?",
            "Each {thing} costs {price:$}. How many {things} can be bought with {money:$}?",
        ),
        (("bought = money / price", "The money is enough for {=:thing}."),),
        (("thing", "stationery"),),
    ),
    Template(
        "weekly_savings",
        "weeks=2..12 saved=2..12 start=3..50",
        (
            "{A} has {start:$} and saves {saved:$} every week. How many dollars does {A.he} have after {weeks:week}?",
            "{A} starts with {start:$} in a money box and puts in {saved:$} a week. How much is in it after {weeks:week}, in dollars?",
        ),
        (
            ("added = weeks * saved", "{A} saves {=:$}."),
            ("total = start + added", "Then there are {=:$}."),
        ),
    ),
    Template(
        "weeks_to_save",
        "weeks=2..12 saved=2..10 have=2..40 goal:=weeks*saved+have",
        (
            "{A} wants {an:thing} that costs {goal:$}. {A.he} has {have:$} and saves {saved:$} each week. How many weeks must {A.he} save?",
            "{An:thing} costs {goal:$}. {A} already has {have:$}. If {A.he} saves {saved:$} a week, how many weeks does it take?",
        ),
        (
            ("missing = goal - have", "{A} still needs {=:$}."),
            ("needed = missing / saved", "That takes {=:week}."),
        ),
        _GOODS,
    ),
    Template(
        "hourly_wage",
        "hours=2..10 wage=5..15",
        (
            "{A} earns {wage:$} an hour. How many dollars does {A.he} earn in {hours:hour}?",
            "{A} worked {hours:hour} at {wage:$} per hour. How much did {A.he} earn, in dollars?",
        ),
        (("earned = hours * wage", "{A} earns {=:$}."),),
    ),
    Template(
        "earn_and_spend",
        "hours=2..9 wage=5..15 spent=3..60",
        (
            "{A} works {hours:hour} for {wage:$} an hour and then spends {spent:$} on {an:thing}. How many dollars does {A.he} have left?",
            "For {hours:hour} of work {A} gets {wage:$} per hour. {A.he} pays {spent:$} for {an:thing}. How much money is left, in dollars?",
        ),
        (
            ("earned = hours * wage", "{A} earns {=:$}."),
            ("left = earned - spent", "There are {=:$} left."),
        ),
        _GOODS,
    ),
    Template(
        "family_tickets",
        "adults=2..5 adult_price=6..15 children=2..6 child_price=2..9",
        (
            "A ticket costs {adult_price:$} for an adult and {child_price:$} for a child. How many dollars do {adults:adult} and {children:child} pay?",
            "{adults:adult} and {children:child} go to the zoo. Adults pay {adult_price:$} each and children {child_price:$} each. What is the total in dollars?",
        ),
        (
            ("for_adults = adults * adult_price", "The adults pay {=:$}."),
            ("for_children = children * child_price", "The children pay {=:$}."),
            ("total = for_adults + for_children", "The total is {=:$}."),
        ),
        where="child_price < adult_price",
    ),
    Template(
        "split_the_bill",
        "people=2..8 share=5..15 tip=2..12 bill:=people*share-tip",
        (
            "{people:friend} have a meal for {bill:$} and leave a tip of {tip:$}. They split everything equally. How many dollars does each pay?",
            "A meal costs {bill:$} and the tip is {tip:$}. {people:person} share the cost equally. How much does each one pay, in dollars?",
        ),
        (
            ("total = bill + tip", "In all they pay {=:$}."),
            ("each = total / people", "Each pays {=:$}."),
        ),
        held_out=True,
    ),
    Template(
        "coupon",
        "price=10..90 saving=2..15",
        (
            "{An:thing} costs {price:$}. {A} has a coupon for {saving:$} off. How many dollars does {A.he} pay?",
            "The price of {an:thing} was {price:$} and falls by {saving:$}. What is the new price in dollars?",
        ),
        (("pays = price - saving", "The price is now {=:$}."),),
        (("thing", "clothes"),),
    ),
    Template(
        "two_prices_with_cents",
        "first=0.5..6/0.25 second=0.5..6/0.25",
        (
            "{A} buys {an:thing} for {first:$} and {an:other} for {second:$}. How much does {A.he} pay, in dollars?",
            "{An:thing} costs {first:$} and {an:other} costs {second:$}. What do both cost together, in dollars?",
        ),
        (("total = first + second", "Together they cost {=:$}."),),
        (("thing", "snacks"), ("other", "stationery")),
        style="decimal",
        where="first != second",
    ),
    Template(
        "change_with_cents",
        "paid=5|10|20 price=0.5..18/0.25",
        (
            "{A} pays for {an:thing} of {price:$} with {paid:$}. How much change does {A.he} get, in dollars?",
            "{A} has {paid:$} and buys {an:thing} for {price:$}. How many dollars does {A.he} have left?",
        ),
        (("change = paid - price", "The change is {=:$}."),),
        (("thing", "goods"),),
        style="decimal",
        held_out=True,
    ),
    Template(
        "cents_in_coins",
        "dimes=2..9 nickels=2..9",
        (
            "{A} has {dimes:dime} and {nickels:nickel}. A dime is 10 cents and a nickel is 5 cents. How many cents does {A.he} have?",
            "In a jar there are {dimes:dime} worth 10 cents each and {nickels:nickel} worth 5 cents each. How many cents is that?",
        ),
        (
            ("from_dimes = dimes * 10", "The dimes are worth {=:cent}."),
            ("from_nickels = nickels * 5", "The nickels are worth {=:cent}."),
            ("cents = from_dimes + from_nickels", "In all there are {=:cent}."),
        ),
    ),
    Template(
        "selling_profit",
        "count=3..12 price=2..9 cost=5..60",
        (
            "{A} spends {cost:$} on materials, makes {count:thing} and sells them for {price:$} each. How many dollars of profit does {A.he} make?",
            "{A} sold {count:thing} at {price:$} each. Making them cost {cost:$}. What was the profit in dollars?",
        ),
        (
            ("income = count * price", "The sales bring {=:$}."),
            ("profit = income - cost", "The profit is {=:$}."),
        ),
        (("thing", "tasks"),),
    ),
    Template(
        "minutes_per_task",
        "count=2..12 minutes=2..12",
        (
            "It takes {A} {minutes:minute} to make one {thing}. How many minutes does it take to make {count:thing}?",
            "{A} makes {count:thing} and needs {minutes:minute} for each. How many minutes is that in all?",
        ),
        (("total = count * minutes", "It takes {=:minute}."),),
        (("thing", "tasks"),),
    ),
    Template(
        "hours_to_minutes",
        "hours=1..3 minutes=5..55/5",
        (
            "A film lasts {hours:hour} and {minutes:minute}. How many minutes is that?",
            "{A} walked for {hours:hour} and {minutes:minute}. How many minutes did {A.he} walk?",
        ),
        (
            ("from_hours = hours * 60", "The hours are {=:minute}."),
            ("total = from_hours + minutes", "In all it is {=:minute}."),
        ),
        largest=250,
        held_out=True,
    ),
    Template(
        "clock_end",
        "start=1..9 length=2..6",
        (
            "A party starts at {start} o'clock and lasts {length:hour}. At what hour does it end?",
            "{A} begins to work at {start} o'clock and works for {length:hour}. At what hour does {A.he} stop?",
        ),
        (("end = start + length", "It ends at {=} o'clock."),),
        where="end < 13",
    ),
    Template(
        "time_left",
        "total=20..90/5 used=5..60/5",
        (
            "A lesson takes {total:minute}. {used:minute} have passed. How many minutes are left?",
            "{A} may play for {total:minute} and has played for {used:minute}. How many more minutes may {A.he} play?",
        ),
        (("left = total - used", "There are {=:minute} left."),),
    ),
    Template(
        "days_to_read",
        "per_day=3..12 days=2..12 pages:=per_day*days",
        (
            "A book has {pages:page}. {A} reads {per_day:page} a day. How many days does {A.he} need?",
            "{A} reads {per_day:page} every day. In how many days does {A.he} read {pages:page}?",
        ),
        (("needed = pages / per_day", "It takes {=:day}."),),
    ),
    Template(
        "days_for_the_rest",
        "per_day=3..12 days=2..9 read=5..50 pages:=per_day*days+read",
        (
            "A book has {pages:page}. {A} has read {read} of them and will read {per_day:page} a day from now on. In how many days will {A.he} finish?",
            "{A} must do {pages:exercise} and has done {read}. {A.he} does {per_day} a day. How many more days does {A.he} need?",
        ),
        (
            ("rest = pages - read", "There are {=} left."),
            ("needed = rest / per_day", "That takes {=:day}."),
        ),
    ),
    Template(
        "practice_time",
        "minutes=5..20/5 days=2..7",
        (
            "{A} practises {hobby} for {minutes:minute} every day. How many minutes does {A.he} practise in {days:day}?",
            "Every day {A} plays {hobby} for {minutes:minute}. How many minutes is that in {days:day}?",
        ),
        (("total = minutes * days", "That is {=:minute}."),),
        (("hobby", "hobbies"),),
    ),
    Template(
        "compare_savings",
        "weeks=2..10 first=4..15 second=2..12",
        (
            "Every week {A} saves {first:$} and {B} saves {second:$}. How many more dollars than {B} has {A} saved after {weeks:week}?",
        ),
        (
            ("saved_first = weeks * first", "{A} saves {=:$}."),
            ("saved_second = weeks * second", "{B} saves {=:$}."),
            ("difference = saved_first - saved_second", "The difference is {=:$}."),
        ),
        where="second < first",
    ),
)
