"""The words of the little language, as plain lists.

Nearly all are also one token of GPT-2 (with a leading space), so that a text written for the
bundled model can be tried on GPT-2 as it stands.
"""

WOMEN = (
    "Mary Michelle Jessica Anna Sarah Laura Alice Susan Lisa Emily"
    " Kate Rachel Amy Jane Rose Maria Emma Julia Helen Nancy"
).split()
MEN = (
    "John David James Robert Michael Paul Peter Mark Thomas George"
    " Tom Daniel Kevin Brian Jack Henry Frank Adam Simon Martin"
).split()
FIRST_NAMES = WOMEN + MEN
SURNAMES = (
    "Jones Smith Brown Taylor Wilson Davis Clark Lewis Walker Hall Young Wright Hill Baker Adams"
    " Nelson Carter Mitchell Turner Campbell Parker Evans Edwards Collins Stewart Morris Murphy"
    " Cook Cooper Kelly Watson Bennett"
).split()

CAPITALS = {
    "France": "Paris",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Germany": "Berlin",
    "Japan": "Tokyo",
    "China": "Beijing",
    "Russia": "Moscow",
    "Egypt": "Cairo",
    "Greece": "Athens",
    "Portugal": "Lisbon",
    "Austria": "Vienna",
    "Norway": "Oslo",
    "Sweden": "Stockholm",
    "Poland": "Warsaw",
    "Ireland": "Dublin",
    "Canada": "Ottawa",
    "Cuba": "Havana",
    "Peru": "Lima",
    "Hungary": "Budapest",
    "England": "London",
    "Denmark": "Copenhagen",
    "Finland": "Helsinki",
    "Turkey": "Ankara",
    "Belgium": "Brussels",
}
COUNTRIES = list(CAPITALS)
CITIES = list(CAPITALS.values())

OBJECTS = "ball key box cup hat car door chair book bag boat lamp shirt coat bike plate".split()
COLOURS = "red blue green yellow black white brown pink orange purple".split()

PLURALS = {
    "key": "keys",
    "cabinet": "cabinets",
    "box": "boxes",
    "book": "books",
    "chair": "chairs",
    "lamp": "lamps",
    "cup": "cups",
    "table": "tables",
    "window": "windows",
    "door": "doors",
    "tree": "trees",
    "house": "houses",
    "car": "cars",
    "dog": "dogs",
    "cat": "cats",
    "picture": "pictures",
    "bottle": "bottles",
    "flower": "flowers",
    "stone": "stones",
    "boat": "boats",
}
NOUNS = list(PLURALS)
PREPOSITIONS = "near behind beside under above".split()
QUALITIES = "old new small big clean broken beautiful heavy".split()

MOODS = "tired happy sad angry proud late hungry cold sick busy afraid lucky".split()
PRONOUNS = "he she they".split()
VERBS = "is are was were".split()

PLACES = (
    "store park school garden library market station office museum forest church hotel kitchen"
    " hospital"
).split()
GIFTS = "drink book letter ring flower coin map cake hat ticket photo camera".split()
JOBS = "student teacher doctor singer writer farmer lawyer painter nurse driver".split()
PRAISE = "top-notch clever famous kind young gifted honest brave friendly".split()
