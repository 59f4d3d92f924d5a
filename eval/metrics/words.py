"""Find the kind of a word by lists and suffixes, without a tagger, which would have to be downloaded.

The lists hold the words of photo captions. A word that is on none of them counts as a noun, as most words in
captions are. `kind_of` looks at the word alone, so "light" is always the same kind.
"""

from collections.abc import Sequence
from functools import cache

from nltk.stem.snowball import SnowballStemmer

from gazeback.grounding.coco.categories import SYNONYMS, CategoryNames
from gazeback.models.content_words import FUNCTION_WORDS


def object_words(words: Sequence[str]) -> list[tuple[int, str]]:
    """Find the words for objects: (index from 0, class) of each; for "hot dog" the index is that of the last
    word.

    >>> object_words("two puppies chase a man on the grass".split())
    [(1, 'dog'), (4, 'person'), (7, 'grass')]
    """
    named = _names().named_by(words)
    found = []
    for position, word in enumerate(words):
        categories = named.get(position, ())
        if len(categories) == 1:
            if named.get(position + 1) != categories:
                found.append((position, categories[0]))
        elif kind_of(word) == NOUN:
            found.append((position, stem(word)))
    return found


@cache
def _names() -> CategoryNames:
    return CategoryNames(SYNONYMS)


FUNCTION, NOUN, COLOUR, ING, OTHER = "function words", "nouns", "colours", "verbs in -ing", "other words"

CONTENT = (NOUN, COLOUR, ING)
"""The kinds of words whose meaning a picture can show."""


def _split(words: str) -> frozenset[str]:
    return frozenset(words.split())


COLOURS = _split(
    """
    red orange yellow green blue purple pink brown black white gray grey tan blond blonde golden silver
    """
)

_OTHERS = _split(
    """
    young old older elderly little small smaller large larger big bigger huge tiny long short tall high
    higher low deep shallow wide narrow steep empty full open closed bright dark dry wet muddy dirty clean
    clear sunny snowy rocky grassy sandy wooded wooden leafy hilly concrete crowded busy lone single alone
    together first second last same different various colorful colored multicolored striped plaid checkered
    bald bearded shirtless naked barefoot furry fluffy hairy happy sad serious ready asian african american
    german dressed covered surrounded male female middle front back left right top bottom upside forward
    backward backwards away aboard outdoors indoors outdoor indoor underwater midair airborne overhead
    downhill uphill other teenage adult blonde-haired haired legged inflatable plastic metal paper cement
    stuffed attached filled lined decorated painted parked seated tied held made well run runs jump jumps
    sit sits stand stands walk walks play plays look looks ride rides hold holds wear wears watch watches
    climb climbs swim swims throw throws catch catches kick kicks hit hits leap leaps lie lies lay lays
    carry carries pull pulls push pushes chase chases race races splash splashes perform performs pose poses
    smile smiles talk talks eat eats drink drinks take takes make makes get gets go goes come comes try
    tries attempt attempts prepare prepares wait waits work works read reads sleep sleeps dance dances sing
    sings fly flies fall falls turn turns use uses show shows give gives hang hangs lean leans reach reaches
    point points cross crosses enjoy enjoys fight fights laugh laughs dig digs drive drives surf surfs ski
    skis skate skates skateboards snowboards fish swing swings slide slides bite bites rest rests dives fast
    close hot round rough fair rural public urban beautiful funny frozen cold dead half opposite
    professional younger spotted hooded shaggy paved fenced gathered fallen thrown pulled outstretched
    jumped lit seen raises raise gather follows follow puts put says say blows blow wrestle fetch cut caught
    alongside atop hind snow-covered gold beige maroon turquoise violet dive pass passes touch touches kneel
    kneels crouch crouches squat squats stare stares face faces
    """
) - {"fish", "face", "faces", "ski", "skis", "swing", "swings", "slide", "slides", "dress", "race", "point"}

_NOUNS_IN_ING = _split(
    """
    building buildings clothing ceiling railing wedding evening morning string ring king spring swing wing
    thing things earring earrings painting awning lightning landing sibling duckling dumpling crossing
    opening clearing covering stocking
    """
)


_NOUNS_IN_LY = frozenset({"family", "butterfly", "belly", "jelly", "lily", "bully", "trolley", "assembly"})


def kind_of(word: str) -> str:
    """The kind of a word in lower case.

    >>> [kind_of(word) for word in "a brown dog running past the young".split()]
    ['function words', 'colours', 'nouns', 'verbs in -ing', 'function words', 'function words', 'other words']
    """
    if word in FUNCTION_WORDS or not word[:1].isalpha():
        return FUNCTION
    if word in COLOURS:
        return COLOUR
    if is_ing_verb(word):
        return ING
    if word in _OTHERS or (word.endswith("ly") and word not in _NOUNS_IN_LY):
        return OTHER
    return NOUN


def is_ing_verb(word: str) -> bool:
    """Whether a word is a verb in -ing ("running"), and not a noun with this ending ("building")."""
    return len(word) > 4 and word.endswith("ing") and word not in _NOUNS_IN_ING


@cache
def stem(word: str) -> str:
    """The stem of a word, by Snowball's English rules: equal for "dogs" and "dog", and for "jumps" and
    "jumping"."""
    return str(_stemmer().stem(word.lower()))


@cache
def _stemmer() -> SnowballStemmer:
    return SnowballStemmer("english")
