"""configs/datasets: files of a few lines, made up in the layouts that are published, are built."""

import dataclasses
import datetime
import gzip
import json
import pathlib
import re

import pytest

from twotower_tf.config_loader import load_config
from twotower_tf.examples.building.build import build_examples
from twotower_tf.examples.items import catalogue
from twotower_tf.examples.users import profiles
from twotower_tf.storage import Workdir

CONFIGS = pathlib.Path("configs/datasets")
DOCS = pathlib.Path("docs/data.md")


@dataclasses.dataclass(frozen=True)
class Layout:
    """Files as published, and what is to become of them.

    Attributes:
        files: Their text or bytes, by path.
        day: The day that is built.
        events: How many events it has.
        items: How many items the catalogue has.
        users: How many profiles there are; None: no files of them.
        example: What some example holds, ``user_id`` and ``item_id`` saying which.
        rejected: How many events are rejected.
        other_rejected: How many items and profiles are rejected.
    """

    files: dict[str, str | bytes]
    day: str
    events: int
    items: int
    users: int | None
    example: dict[str, list]
    rejected: int = 0
    other_rejected: int = 0


_GENRES = "0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0"
_AMAZON_REVIEWS = [
    {
        "rating": 4.0,
        "title": 'Such a "lovely" scent',
        "text": "Smells great.<br />Twice.",
        "images": [],
        "asin": "B00YQ6X8EO",
        "parent_asin": "B00YQ6X8EO",
        "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ",
        "timestamp": 1588687728923,
        "helpful_vote": 0,
        "verified_purchase": True,
    },
    {
        "rating": 2.0,
        "title": "no",
        "text": "",
        "images": [{"small_image_url": "https://m/a.jpg", "attachment_type": "IMAGE"}],
        "asin": "B081TJ8YS3",
        "parent_asin": "B08P2DZB4X",
        "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ",
        "timestamp": 1588687729000,
        "helpful_vote": 3,
        "verified_purchase": False,
    },
]
_AMAZON_ITEMS = [
    {
        "main_category": "All Beauty",
        "title": "Howard LC0008 Leather Conditioner",
        "average_rating": 4.8,
        "rating_number": 10,
        "features": ["No drying", "Size: 8 oz"],
        "description": [],
        "price": None,
        "images": [{"thumb": "https://m/t.jpg", "hi_res": None, "variant": "MAIN"}],
        "videos": [],
        "store": "Howard Products",
        "categories": ["Beauty", "Skin Care"],
        "details": {"Package Dimensions": "7 x 3 inches", "Brand": "Howard"},
        "parent_asin": "B00YQ6X8EO",
        "bought_together": None,
    },
    {
        "main_category": None,
        "title": "A Serum",
        "average_rating": 3.5,
        "rating_number": 2,
        "features": [],
        "description": ["Good."],
        "price": 8.99,
        "images": [],
        "videos": [],
        "store": None,
        "categories": [],
        "details": {},
        "parent_asin": "B08P2DZB4X",
        "bought_together": None,
    },
]


def _jsonl(records: list[dict]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def _days(since: str, until: str) -> float:
    passed = datetime.datetime.fromisoformat(until) - datetime.datetime.fromisoformat(since)
    return passed.total_seconds() / 86_400


LAYOUTS = {
    "movielens_100k": Layout(
        {
            "u.data": "196\t242\t3\t881250949\n186\t302\t5\t881250950\n196\t302\t2\t881251000\n",
            "u.item": (
                "242|Kolya (1996)|24-Jan-1997||http://us.imdb.com/M/?Kolya%20(1996)|"
                f"{_GENRES}\n"
                f'302|Les Mis\xe9rables "1995"|01-Jan-1995||http://x|{_GENRES}\n'
                f"267|unknown||||1{_GENRES[1:]}\n"
            ).encode("latin-1"),
            "u.user": "196|49|M|writer|55105\n186|39|F|executive|T8H1N\n",
        },
        day="1997-12-04",
        events=3,
        items=3,
        users=2,
        example={
            "user_id": ["196"],
            "item_id": ["242"],
            "timestamp": [881250949],
            "reward": [1 / 3],
            "query/gender": ["M"],
            "query/age": [49.0],
            "query/occupation": ["writer"],
            "candidate/title": ["Kolya (1996)"],
            "candidate/action": ["0"],
            "candidate/animation": ["1"],
        },
    ),
    "movielens_1m": Layout(
        {
            "ratings.dat": "1::1193::5::978300760\n1::661::3::978302109\n2::1193::4::978298413\n",
            "movies.dat": (
                "661::James and the Giant Peach (1996)::Animation|Children's|Musical\n"
                '1193::One Flew Over "the" Cuckoo\'s Nest: Caf\xe9 (1975)::Drama\n'
            ).encode("latin-1"),
            "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
        },
        day="2000-12-31",
        events=3,
        items=2,
        users=2,
        example={
            "user_id": ["1"],
            "item_id": ["661"],
            "reward": [1 / 3],
            "query/history": ["1193"],
            "query/age": ["1"],
            "candidate/genres": ["Animation", "Children's", "Musical"],
        },
    ),
    "movielens_25m": Layout(
        {
            "ratings.csv": (
                "userId,movieId,rating,timestamp\n1,296,5.0,1147880044\n1,306,3.5,1147868817\n"
            ),
            "movies.csv": (
                "movieId,title,genres\n"
                "296,Pulp Fiction (1994),Comedy|Crime|Drama|Thriller\n"
                '306,"Three Colors: Red (Trois couleurs, ""Rouge"") (1994)",(no genres listed)\n'
            ),
        },
        day="2006-05-17",
        events=2,
        items=2,
        users=None,
        example={
            "user_id": ["1"],
            "item_id": ["306"],
            "reward": [0.5],
            "query/history": [],
            "candidate/title": ['Three Colors: Red (Trois couleurs, "Rouge") (1994)'],
            "candidate/genres": ["(no genres listed)"],
        },
    ),
    "amazon_reviews_2023": Layout(
        {
            "All_Beauty.jsonl.gz": gzip.compress(_jsonl(_AMAZON_REVIEWS).encode()),
            "meta_All_Beauty.jsonl.gz": gzip.compress(_jsonl(_AMAZON_ITEMS).encode()),
        },
        day="2020-05-05",
        events=2,
        items=2,
        users=None,
        example={
            "item_id": ["B00YQ6X8EO"],
            "timestamp": [1588687728],
            "reward": [2 / 3],
            "candidate/store": ["Howard Products"],
            "candidate/brand": ["Howard"],
            "candidate/categories": ["Beauty", "Skin Care"],
            "candidate/features": ["No drying\nSize: 8 oz"],
        },
    ),
    "retailrocket": Layout(
        {
            "events.csv": (
                "timestamp,visitorid,event,itemid,transactionid\n"
                "1433221332117,257597,view,355908,\n"
                "1433224214164,257597,transaction,248676,4000\n"
                "1433221999827,111016,addtocart,318965,\n"
            ),
            "item_properties_part1.csv": (
                "timestamp,itemid,property,value\n"
                "1435460400000,248676,categoryid,1338\n"
                "1441508400000,206783,888,1116713 960601 n277.200\n"
            ),
            "item_properties_part2.csv": (
                "timestamp,itemid,property,value\n"
                "1433041200000,355908,categoryid,1085\n"
                "1433041200000,248676,available,1\n"
            ),
        },
        day="2015-06-02",
        events=3,
        items=2,
        users=None,
        example={
            "user_id": ["257597"],
            "item_id": ["248676"],
            "timestamp": [1433224214],
            "reward": [1.0],
            "query/history": ["355908"],
            "query/history_types": ["view"],
            "candidate/category": ["1338"],
        },
    ),
    "yoochoose": Layout(
        {
            "yoochoose-clicks.dat": (
                "1,2014-04-07T10:51:09.277Z,214536502,0\n"
                "1,2014-04-07T10:54:09.868Z,214536500,S\n"
                "3,2014-04-07T13:52:37.466Z,214536502,12\n"
            ),
            "yoochoose-buys.dat": "3,2014-04-07T13:57:00.000Z,214536502,12462,1\n",
        },
        day="2014-04-07",
        events=3,
        items=2,
        users=None,
        example={
            "user_id": ["1"],
            "item_id": ["214536500"],
            "timestamp": [1396868049],
            "query/history": ["214536502"],
            "candidate/category": ["S"],
        },
    ),
    "lastfm_1k": Layout(
        {
            "userid-timestamp-artid-artname-traid-traname.tsv": (
                'user_000001\t2009-05-04T23:08:57Z\tf1b1cf71\tDeep Dish\t\t"Fuck" Me\n'
                'user_000001\t2009-05-04T13:54:10Z\ta7f7df4a\tSigur R\u00f3s\tt1\t12" Mix\n'
                'user_000002\t2009-05-04T13:52:04Z\ta7f7df4a\tSigur R\u00f3s\tt2\t"Hopp\n'
            ),
            "userid-profile.tsv": (
                "#id\tgender\tage\tcountry\tregistered\n"
                "user_000001\tm\t\tJapan\tAug 13, 2006\n"
                "user_000002\tf\t\tPeru\t\n"
            ),
        },
        day="2009-05-04",
        events=3,
        items=2,
        users=2,
        example={
            "user_id": ["user_000001"],
            "item_id": ["t1"],
            "query/age": [25.0],
            "query/country": ["Japan"],
            "query/tenure": [_days("2006-08-13", "2009-05-04T13:54:10")],
            "candidate/artist": ["Sigur R\u00f3s"],
            "candidate/track": ['12" Mix'],
        },
        rejected=1,
        other_rejected=1,
    ),
    "taobao": Layout(
        {
            "UserBehavior.csv": (
                "1,2268318,2520377,pv,1511544070\n"
                "1,2333346,2520771,fav,1511561733\n"
                "100,2268318,2520377,buy,1511561744\n"
                "100,2333346,2520771,cart,-1\n"
            )
        },
        day="2017-11-25",
        events=4,
        items=2,
        users=None,
        example={
            "user_id": ["1"],
            "item_id": ["2333346"],
            "reward": [0.5],
            "query/history_types": ["pv"],
            "candidate/category": ["2520771"],
        },
        rejected=1,
    ),
    "mind": Layout(
        {
            "MINDsmall_train/behaviors.tsv": (
                "1\tU13740\t11/11/2019 9:05:58 AM\tN55189 N42782\tN55689-1 N35729-0\n"
                "2\tU91836\t11/11/2019 1:42:49 PM\t\tN35729-0 N55689-0 N42782-1 N55189-1\n"
            ),
            "MINDsmall_train/news.tsv": (
                'N55189\tlifestyle\tlifestyleroyals\tThe Brands "Elizabeth" Swears By\tShop.\t'
                'https://a\t[{"Label": "Prince", "Type": "P"}]\t[]\n'
                "N42782\tnews\tnewsus\tA title\t\thttps://b\t[]\t[]\n"
                "N55689\tsports\tfootball_nfl\tCharles Rogers\tPenn\thttps://c\t[]\t[]\n"
                "N35729\tnews\tnewsus\tPorsche\tOf\thttps://d\t[]\t[]\n"
            ),
            "MINDsmall_dev/behaviors.tsv": "1\tU1\t11/15/2019 12:00:00 AM\t\tN35729-1\n",
            "MINDsmall_dev/news.tsv": "N35729\tnews\tnewsus\tPorsche\tOf\thttps://d\t[]\t[]\n",
        },
        day="2019-11-11",
        events=3,
        items=4,
        users=None,
        example={
            "user_id": ["U13740"],
            "item_id": ["N55689"],
            "timestamp": [1573463158],
            "query/history": ["N55189", "N42782"],
            "candidate/subcategory": ["football_nfl"],
            "candidate/title": ["Charles Rogers"],
        },
    ),
    "hm": Layout(
        {
            "transactions_train.csv": (
                "t_dat,customer_id,article_id,price,sales_channel_id\n"
                "2018-09-20,000058a1,0663713001,0.050830508474576264,2\n"
                "2018-09-20,000058a1,0663713001,0.050830508474576264,2\n"
                "2018-09-20,00007d2d,0541518023,0.03049152542372881,1\n"
            ),
            "articles.csv": (
                "article_id,product_code,prod_name,product_type_no,product_type_name,"
                "product_group_name,graphical_appearance_no,graphical_appearance_name,"
                "colour_group_code,colour_group_name,perceived_colour_value_id,"
                "perceived_colour_value_name,perceived_colour_master_id,"
                "perceived_colour_master_name,department_no,department_name,index_code,index_name,"
                "index_group_no,index_group_name,section_no,section_name,garment_group_no,"
                "garment_group_name,detail_desc\n"
                "0663713001,0663713,Atlanta Push Body,283,Underwear body,Underwear,1010016,Solid,"
                '09,Black,4,Dark,5,Black,1338,"Expressive, Lingerie",B,Lingeries,1,Ladieswear,61,'
                'Womens Lingerie,1017,"Under-, Nightwear","Lace ""push-up"" body."\n'
                "0541518023,0541518,Rae Push,306,Bra,Underwear,1010016,Solid,51,Light Pink,1,"
                "Dusty Light,4,Pink,1334,Clean Lingerie,B,Lingeries,1,Ladieswear,61,"
                'Womens Lingerie,1017,"Under-, Nightwear",\n'
            ),
            "customers.csv": (
                "customer_id,FN,Active,club_member_status,fashion_news_frequency,age,postal_code\n"
                "000058a1,,,ACTIVE,NONE,49.0,52043ee2\n"
                "00007d2d,1.0,1.0,,Regularly,,2973abc5\n"
            ),
        },
        day="2018-09-20",
        events=3,
        items=2,
        users=2,
        example={
            "user_id": ["00007d2d"],
            "item_id": ["0541518023"],
            "query/age": [35.0],
            "query/club_member_status": [""],
            "query/fashion_news_frequency": ["Regularly"],
            "candidate/product_code": ["0541518"],
            "candidate/garment_group_name": ["Under-, Nightwear"],
            "candidate/detail_desc": [""],
        },
    ),
    "kuairec": Layout(
        {
            "big_matrix.csv": (
                "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n"
                "0,3649,13838,10867,2020-07-05 00:08:23.438,20200705,1593878903.438,1.2733\n"
                "0,9598,1366,13665,2020-07-05 00:13:41.297,20200705,1593879221.297,0.55\n"
            ),
            "item_categories.csv": 'video_id,feat\n3649,[8]\n9598,"[27, 9]"\n',
            "user_features.csv": (
                "user_id,user_active_degree,is_lowactive_period,is_live_streamer,is_video_author,"
                "follow_user_num,follow_user_num_range,fans_user_num,fans_user_num_range,"
                "friend_user_num,friend_user_num_range,register_days,register_days_range,"
                "onehot_feat0,onehot_feat1\n"
                '0,high_active,0,0,0,5,"(0,10]",0,0,0,0,107,61-90,0,1\n'
            ),
        },
        day="2020-07-05",
        events=2,
        items=2,
        users=1,
        example={
            "user_id": ["0"],
            "item_id": ["9598"],
            "timestamp": [1593879221],
            "reward": [0.5],
            "query/history": ["3649"],
            "query/follow_user_num_range": ["(0,10]"],
            "query/register_days": [107.0],
            "candidate/feat": ["[27, 9]"],
        },
    ),
    "kuairand": Layout(
        {
            "log_standard_4_08_to_4_21_pure.csv": (
                "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,"
                "is_forward,is_hate,long_view,play_time_ms,duration_ms,profile_stay_time,"
                "comment_stay_time,is_profile_enter,is_rand,tab\n"
                "17387,23,20220421,400,1650485801301,1,0,0,0,0,0,1,55000,100000,0,0,0,0,1\n"
                "17387,24,20220421,400,1650485802301,0,0,0,0,0,0,0,0,5000,0,0,0,0,1\n"
            ),
            "log_random_4_22_to_5_08_pure.csv": "user_id,video_id\n1,2\n",
            "user_features_pure.csv": (
                "user_id,user_active_degree,is_lowactive_period,is_live_streamer,is_video_author,"
                "follow_user_num,follow_user_num_range,fans_user_num,fans_user_num_range,"
                "friend_user_num,friend_user_num_range,register_days,register_days_range\n"
                '17387,full_active,0,0,1,5,"(0,10]",312,"[100,1k)",0,0,3624,730+\n'
            ),
            "video_features_basic_pure.csv": (
                "video_id,author_id,video_type,upload_dt,upload_type,visible_status,"
                "video_duration,server_width,server_height,music_id,music_type,tag\n"
                '23,441,NORMAL,2022-04-19,ShortImport,1.0,17200.0,720.0,1280.0,989206467,4.0,"12,65"\n'
                "24,33,AD,2022-04-10,Web,1.0,,720.0,1280.0,,,\n"
            ),
        },
        day="2022-04-21",
        events=1,
        items=2,
        users=1,
        example={
            "item_id": ["23"],
            "timestamp": [1650485801],
            "reward": [0.5],
            "query/tab": ["1"],
            "query/fans_user_num_range": ["[100,1k)"],
            "candidate/tag": ["12", "65"],
            "candidate/video_duration": [17200.0],
            "candidate/video_age": [_days("2022-04-19", "2022-04-20T20:16:41")],
        },
    ),
    "rees46": Layout(
        {
            "2019-Oct.csv": (
                "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,"
                "user_session\n"
                "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,"
                "541312140,72d76fde\n"
                "2019-10-01 00:05:00 UTC,purchase,3900821,2053013552326770905,"
                "appliances.environment.water_heater,aqua,33.20,541312140,9333dfbd\n"
            ),
            "2019-Nov.csv": (
                "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,"
                "user_session\n"
                "2019-11-01 00:00:00 UTC,cart,1003461,2053013555631882655,electronics.smartphone,"
                "xiaomi,489.07,520088904,4d3b30da\n"
            ),
        },
        day="2019-10-01",
        events=2,
        items=3,
        users=None,
        example={
            "user_id": ["541312140"],
            "item_id": ["3900821"],
            "timestamp": [1569888300],
            "reward": [1.0],
            "query/history": ["44600062"],
            "candidate/category_id": ["2053013552326770905"],
            "candidate/category_code": ["appliances.environment.water_heater"],
        },
    ),
    "gowalla": Layout(
        {
            "loc-gowalla_totalCheckins.txt.gz": gzip.compress(
                b"0\t2010-10-19T23:55:27Z\t30.2359091167\t-97.7951395833\t22847\n"
                b"0\t2010-10-18T22:17:43Z\t30.2691029532\t-97.7493953705\t420315\n"
                b"7\t2010-10-19T01:00:00Z\t30.2691029532\t-97.7493953705\t420315\n"
            )
        },
        day="2010-10-19",
        events=2,
        items=2,
        users=None,
        example={
            "user_id": ["7"],
            "item_id": ["420315"],
            "timestamp": [1287450000],
            "candidate/latitude": [30.2691029532],
            "candidate/longitude": [-97.7493953705],
        },
    ),
    "online_retail_ii": Layout(
        {
            "online_retail_II.csv": (
                "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"
                "536365,85123A,WHITE HANGING HEART,6,2010-12-01 08:26:00,2.55,17850.0,"
                "United Kingdom\n"
                'C536379,22632,"HAND WARMER, ""RED""",-1,2010-12-01 09:41:00,1.85,17850.0,'
                "United Kingdom\n"
                "536414,22139,,56,2010-12-01 11:52:00,0.0,,United Kingdom\n"
                "536370,22728,ALARM CLOCK,24,2010-12-01 08:45:00,3.75,12583.0,France\n"
            )
        },
        day="2010-12-01",
        events=4,
        items=4,
        users=2,
        example={
            "user_id": ["17850"],
            "item_id": ["22632"],
            "timestamp": [1291196460],
            "reward": [0.0],
            "query/history": ["85123A"],
            "query/country": ["United Kingdom"],
            "candidate/description": ['HAND WARMER, "RED"'],
        },
        rejected=1,
        other_rejected=1,
    ),
}


def test_every_ready_configuration_is_here_and_in_the_docs():
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(LAYOUTS)
    documented = re.findall(r"^\| `datasets/(\w+)\.yaml` \|", DOCS.read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(LAYOUTS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_published_layout_becomes_examples(name, tmp_path, read_day):
    layout = LAYOUTS[name]
    _write(layout, tmp_path / "source")
    config = load_config(str(CONFIGS / f"{name}.yaml"), ["examples.holdout_share=0"])
    assert config.source.homepage.startswith("http")
    workdir, day = Workdir(str(tmp_path / "work")), datetime.date.fromisoformat(layout.day)
    counts = build_examples(config, workdir, str(tmp_path / "source"), [day])[day]
    used = layout.events - layout.rejected
    assert {key: counts[key] for key in ("events", "rejected", "duplicates", "examples")} == {
        "events": layout.events,
        "rejected": layout.rejected,
        "duplicates": 0,
        "examples": used,
    }
    _check_snapshot(workdir, catalogue.KIND, "items", layout.items, layout.other_rejected)
    if layout.users is None:
        assert config.source.users is None
    else:
        _check_snapshot(workdir, profiles.KIND, "users", layout.users, layout.other_rejected)
    _check_example(layout.example, read_day(workdir, day))


@pytest.mark.long
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_ready_configuration_trains_and_releases(name, tmp_path):
    from twotower_tf.daily import run_days

    layout = LAYOUTS[name]
    _write(layout, tmp_path / "source")
    # A few events are all there are.
    given = ["training.backfill={days: 1, passes: 1}", "examples.holdout_share=0"]
    given += ["gates.min_items_per_batch=0", "gates.min_index_recall=0"]
    config = load_config(str(CONFIGS / f"{name}.yaml"), given)
    day = datetime.date.fromisoformat(layout.day)
    run = run_days(config, Workdir(str(tmp_path / "work")), str(tmp_path / "source"), [day])
    assert pathlib.Path(run.release, "saved_model.pb").exists()


def _write(layout: Layout, folder: pathlib.Path) -> None:
    for path, text in layout.files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())


def _check_snapshot(workdir: Workdir, kind: str, what: str, number: int, rejected: int) -> None:
    (day,) = workdir.days(kind)
    counts = workdir.partition(kind, day).manifest()["counts"]
    assert counts[what] == number
    assert counts["rejected"] <= rejected


def _check_example(expected: dict[str, list], examples: list[dict]) -> None:
    names = {"user_id", "item_id"} & set(expected)
    (found,) = (one for one in examples if all(one[name] == expected[name] for name in names))
    for key, values in expected.items():
        got = found.get(key, [])
        if values and isinstance(values[0], float):
            assert got == pytest.approx(values, rel=1e-5), key
        else:
            assert got == values, key
