"""Small folders in the layouts of public data sets, and in the README's, made up.

People like items of their own group, so that there is something to learn.
"""

import csv
import datetime
import json
import pathlib
import random

GROUPS = 4
FIRST = datetime.datetime(2024, 3, 1, tzinfo=datetime.timezone.utc)


def _choices(count: int, users: int, items: int, seed: int):
    """Yields a user and an item, mostly of the user's own group, popular ones more often."""
    rng = random.Random(seed)
    for _ in range(count):
        user = rng.randrange(users)
        item = min(rng.randrange(items), rng.randrange(items))
        if rng.random() < 0.8:
            item = min(item - item % GROUPS + user % GROUPS, items - 1)
        yield user, item


def _write(path: pathlib.Path, header: list[str], rows: list[list]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def write_songs(folder: pathlib.Path, days: int = 3) -> None:
    """The README's music service: plays and songs a folder a day, listeners in one file."""
    rng = random.Random(1)
    songs = [
        {
            "song": f"s{n}",
            "title": f"Song of the {rng.choice(['sea', 'sun', 'wind', 'rain'])} {n}",
            "artist": f"a{n % 12}",
            "genres": [f"g{n % GROUPS}", rng.choice(["folk", "pop"])],
            "duration_seconds": 100 + n,
            "released_at": str(datetime.date(2018, 1, 1) + datetime.timedelta(days=n)),
        }
        for n in range(80)
    ]
    last: dict[int, int] = {}
    for day in range(days):
        date = (FIRST + datetime.timedelta(days=day)).date()
        path = folder / f"songs/dt={date}/songs.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(song) + "\n" for song in songs))
        rows = []
        for place, (user, item) in enumerate(_choices(600, 60, 80, day)):
            time = FIRST + datetime.timedelta(days=day, seconds=place * 140)
            seconds = round(rng.random() * (100 + item), 1)
            before = f"s{last[user]}" if user in last and rng.random() < 0.8 else ""
            device = rng.choice(["phone", "desktop", "tv"])
            rows.append(
                [
                    f"u{user}",
                    f"s{item}",
                    time.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    before,
                    seconds,
                    device,
                ]
            )
            last[user] = item
        header = ["listener", "song", "played_at", "previous_song", "played_seconds", "device"]
        _write(folder / f"plays/dt={date}/part-0.csv", header, rows)
    people = [[f"u{n}", ["DE", "CH", "FR"][n % 3], 1950 + n % 50] for n in range(60)]
    _write(folder / "listeners.csv", ["listener", "country", "birth_year"], people)


def write_retailrocket(folder: pathlib.Path) -> None:
    """RetailRocket: events in milliseconds, properties of items in two long files, categories."""
    rng = random.Random(2)
    rows = []
    for place, (user, item) in enumerate(_choices(3000, 150, 200, 2)):
        time = int(FIRST.timestamp() * 1000) + place * 170_123
        event = rng.choices(["view", "addtocart", "transaction"], [90, 7, 3])[0]
        order = str(place) if event == "transaction" else ""
        rows.append([time, 1000 + user * 7, event, 40_000 + item * 3, order])
    header = ["timestamp", "visitorid", "event", "itemid", "transactionid"]
    _write(folder / "events.csv", header, rows)
    known = [item for item in range(200) if item % 5]
    long = [
        [int(FIRST.timestamp() * 1000) - 86_400_000 * week, 40_000 + item * 3, name, value]
        for item in known
        for week, name, value in (
            (1, "categoryid", str(item % 9)),
            (1, "available", "1"),
            (2, "790", f"n{item * 100}.000"),
        )
    ]
    rng.shuffle(long)
    header = ["timestamp", "itemid", "property", "value"]
    half = len(long) // 2
    _write(folder / "item_properties_part1.csv", header, long[:half])
    _write(folder / "item_properties_part2.csv", header, long[half:])
    _write(
        folder / "category_tree.csv", ["categoryid", "parentid"], [[n, n // 3] for n in range(9)]
    )


def write_hm(folder: pathlib.Path) -> None:
    """H&M: transactions with dates only, articles whose ids have leading zeros, customers."""
    rng = random.Random(3)
    people = [f"{rng.getrandbits(256):064x}" for _ in range(200)]
    kinds = ["Vest top", "Bra", "Trousers", "Sweater", "Dress", "Socks", "Hair clip"]
    colours = ["Black", "White", "Light Blue", "Dark Red"]
    articles = [
        [
            f"0{108_775_015 + n * 1019}",
            108_775 + n // 3,
            f"Strap {kinds[n % 7]} {n // 3}",
            250 + n % 7,
            kinds[n % 7],
            colours[n % 4],
            f"A soft {kinds[n % 7]} in jersey, no. {n}.",
        ]
        for n in range(250)
    ]
    header = ["article_id", "product_code", "prod_name", "product_type_no", "product_type_name"]
    _write(folder / "articles.csv", [*header, "colour_group_name", "detail_desc"], articles)
    customers = [
        [
            one,
            rng.choice(["1.0", ""]),
            rng.choice(["1.0", ""]),
            rng.choice(["ACTIVE", "PRE-CREATE"]),
            rng.choice(["NONE", "Regularly"]),
            rng.randrange(16, 80),
            f"{rng.getrandbits(256):064x}",
        ]
        for one in people
    ]
    header = [
        "customer_id",
        "FN",
        "Active",
        "club_member_status",
        "fashion_news_frequency",
        "age",
        "postal_code",
    ]
    _write(folder / "customers.csv", header, customers)
    rows = []
    for place, (user, item) in enumerate(_choices(4000, 200, 250, 4)):
        date = (FIRST + datetime.timedelta(days=place // 400)).date()
        price = round(0.01 + rng.random() / 20, 6)
        # A second one of the same article is a row of its own.
        for _ in range(2 if place % 20 == 0 else 1):
            rows.append([date, people[user], articles[item][0], price, rng.choice([1, 2])])
    header = ["t_dat", "customer_id", "article_id", "price", "sales_channel_id"]
    _write(folder / "transactions_train.csv", header, rows)
    header = ["customer_id", "prediction"]
    ids = " ".join(article[0] for article in articles[:12])
    _write(folder / "sample_submission.csv", header, [[one, ids] for one in people])
