"""What the names of columns and files say: words that people use, each with a weight."""

import re
from collections.abc import Mapping


def _each(weight: float, words: str) -> dict[str, float]:
    return dict.fromkeys(words.split(), weight)


USER = {
    **_each(1.0, "session device ip author"),
    **_each(2.0, "account person people profile consumer patron cookie"),
    **_each(
        3.0,
        """user customer client listener visitor viewer member player household reader shopper
        buyer subscriber reviewer uid patient student employee guest passenger""",
    ),
}
ITEM = {
    **_each(1.0, "page url doc target clip"),
    **_each(
        2.0,
        """news story place poi business course offer stock app show content media document post
        location good job ad artist series""",
    ),
    **_each(
        3.0,
        """item product article movie film song track video book sku asin isbn game podcast recipe
        episode venue listing iid photo playlist dish restaurant hotel anime""",
    ),
}
TIME = {
    **_each(1.5, "epoch unix logged start"),
    **_each(2.0, "date at when played created occurred day t dat utc"),
    **_each(3.0, "timestamp datetime time ts"),
}
EVENTS = {
    **_each(0.5, "train path session"),
    **_each(
        1.0,
        """event rating play click transaction purchase interaction order view log history watch
        checkin behavior behaviour action activity stream listen visit review read""",
    ),
}
CATALOGUE = _each(1.0, "catalogue catalog meta metadata property inventory")
PROFILES = _each(1.0, "demographic profile")
IMPRESSIONS = _each(2.0, "impression exposure shown served slate")
OF_IMPRESSIONS = _each(1.0, "position slot rank page shown clicked impression surface")
SEARCHES = _each(2.0, "search query")
QUERY_TEXT = _each(2.0, "query search keyword keywords term phrase q")
SEED = _each(1.0, "seed previous prev last source referrer referer from before")
# An item, but not the one that was acted on.
ANOTHER = {**SEED, **_each(1.0, "target next parent to")}
PAST = _each(1.0, "history path past previous recent clicked")
PUBLISHED = _each(
    1.0,
    """published publish publication released release uploaded upload created posted added""",
)
TITLE = {**_each(1.0, "description"), **_each(2.0, "headline caption label")}
TITLE |= _each(3.0, "title name")
RATING = _each(1.0, "rating star score overall")
LASTED = _each(
    1.0,
    "seconds second sec secs ms duration watched played dwell listened minutes length time",
)
EVENT_TYPE = _each(1.0, "event type action behavior behaviour kind")
# Known before the user acts, in requests too; anything else of an event may be its outcome.
CONTEXT = _each(
    1.0,
    """device platform os browser app country region language locale lang client surface placement
    hour weekday""",
)
ORDER = _each(1.0, "basket order transaction invoice receipt")
# What an action is worth where it is called so.
WORTH = {
    **_each(1.0, "buy purchase purchased order transaction paid checkout bought sale"),
    **_each(0.5, "cart basket addtocart addcart wishlist save share like favorite fav"),
    **_each(0.5, "play watch listen read complete rate comment follow subscribe"),
    **_each(0.1, "click view open visit pv detail clicked viewed"),
    **_each(0.0, "remove dislike skip impression hide unlike show refund cancel"),
}
_ID = ("id", "ids", "no", "key", "code", "uuid", "hash", "sku", "asin", "isbn")
_BEFORE_ID = {*USER, *ITEM, *ORDER, "category", "parent", "brand", "store", "shop"}
# They end like a plural, and are none.
_SINGULAR = {*TIME, *LASTED, "series", "news", "keywords", "os"}
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def tokens(name: str) -> list[str]:
    """Returns the words of a name, lower-case and singular: ``user``, ``id`` of ``UserIDs``."""
    words = [_singular(word.lower()) for word in _TOKEN.findall(name)]
    split: list[str] = []
    for word in words:
        stem = word.removesuffix("id")
        split += [stem, "id"] if stem != word and stem in _BEFORE_ID else [word]
    return split


def _singular(word: str) -> str:
    if word in _SINGULAR or len(word) < 4:
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    if word.endswith(("ss", "us", "is")) or not word.endswith("s"):
        return word
    return word[:-1]


def said(name: str, words: Mapping[str, float]) -> float:
    """Returns how clearly a name says one of some words; 0: it does not."""
    return max((words[token] for token in tokens(name) if token in words), default=0.0)


def says_id(name: str) -> bool:
    """Says whether a name calls the column an id, a number or a code."""
    found = tokens(name)
    return bool(found) and (found[-1] in _ID or found[0] in _ID)
