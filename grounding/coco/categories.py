"""Find the categories of COCO that a caption's words name: "two puppies" names "dog"."""

from collections.abc import Iterable, Sequence
from functools import cache

from nltk.stem.snowball import SnowballStemmer

SYNONYMS = {
    "person": """
        man men woman women boy girl child children kid baby babies toddler infant lady ladies guy
        gentleman gentlemen people human adult teen teenager youth male female couple crowd family
        families audience friend someone somebody everyone player skier snowboarder surfer skateboarder
        skater rider cyclist bicyclist biker motorcyclist batter hitter catcher pitcher umpire referee
        goalie athlete runner jogger swimmer hiker climber walker wakeboarder dancer singer musician
        guitarist drummer performer spectator bystander onlooker pedestrian passenger driver conductor
        worker employee officer policeman policemen police cop soldier fireman firemen
        firefighter fisherman fishermen businessman businessmen farmer vendor waiter waitress chef baker
        barber doctor nurse dentist student teacher bride groom mother mom father dad parent son
        daughter brother sister grandmother grandfather husband wife cowboy tourist customer shopper
        team clown baseball_player basketball_player football_player soccer_player tennis_player
        volleyball_player hockey_player rugby_player softball_player frisbee_player skate_boarder
        snow_boarder bike_rider
    """,
    "bicycle": "bike cycle tricycle mountain_bike",
    "car": "automobile sedan taxi cab suv jeep minivan van limousine limo racecar hatchback vehicle",
    "motorcycle": "motorbike motor_bike motor_cycle dirt_bike dirtbike moped scooter motor_scooter vehicle",
    "airplane": "plane aeroplane jet airliner aircraft jetliner biplane jumbo_jet air_plane",
    "bus": "buses busses minibus double_decker vehicle",
    "train": "locomotive tram trolley streetcar subway_car railcar",
    "truck": "pickup lorry lorries semi van firetruck fire_truck fire_engine tow_truck vehicle",
    "boat": """
        ship sailboat sail_boat canoe kayak raft ferry ferries yacht rowboat row_boat gondola dinghy
        speedboat motorboat barge tugboat watercraft
    """,
    "traffic light": "stoplight stop_light traffic_signal traffic_lamp",
    "fire hydrant": "hydrant fireplug fire_plug",
    "stop sign": "stopsign",
    "parking meter": "meter",
    "bench": "pew park_bench",
    "bird": """
        seagull gull duck duckling goose geese pigeon dove parrot owl eagle hawk falcon swan chicken hen
        rooster crow raven penguin flamingo pelican heron peacock sparrow finch woodpecker turkey
        ostrich parakeet
    """,
    "cat": "kitten kitty kitties feline tabby",
    "dog": """
        puppy pup doggy doggie hound terrier collie poodle retriever labrador lab bulldog dachshund
        greyhound husky huskies beagle chihuahua pug spaniel mutt canine dalmatian rottweiler corgi
        schnauzer doberman sheepdog german_shepherd golden_retriever
    """,
    "horse": "pony foal mare stallion colt",
    "sheep": "lamb ram ewe",
    "cow": "bull cattle calf calves ox oxen steer heifer",
    "elephant": "",
    "bear": "cub polar_bear grizzly grizzlies",
    "zebra": "",
    "giraffe": "",
    "backpack": "back_pack knapsack rucksack bookbag bag luggage",
    "umbrella": "parasol",
    "handbag": "hand_bag purse pocketbook tote bag",
    "tie": "necktie neck_tie bowtie bow_tie",
    "suitcase": "suit_case luggage baggage briefcase bag",
    "frisbee": "frisby disc disk",
    "skis": "ski snow_ski",
    "snowboard": "snow_board board",
    "sports ball": """
        ball soccer_ball tennis_ball basket_ball base_ball baseball basketball football volleyball
        soccerball softball beach_ball
    """,
    "kite": "parasail",
    "baseball bat": "bat",
    "baseball glove": "glove mitt baseball_mitt catcher_mitt",
    "skateboard": "skate_board longboard board",
    "surfboard": "surf_board paddleboard paddle_board boogie_board bodyboard board",
    "tennis racket": "racket racquet tennis_racquet tennis_bat",
    "bottle": "beer_bottle wine_bottle water_bottle",
    "wine glass": "wineglass glass goblet champagne_glass",
    "cup": "mug teacup tea_cup coffee_cup",
    "fork": "utensil silverware cutlery",
    "knife": "knives utensil silverware cutlery",
    "spoon": "ladle utensil silverware cutlery",
    "bowl": "dish",
    "banana": "fruit",
    "apple": "fruit",
    "sandwich": "burger hamburger cheeseburger panini sub hoagie",
    "orange": "tangerine clementine mandarin fruit",
    "broccoli": "vegetable veggie",
    "carrot": "vegetable veggie",
    "hot dog": "hotdog frankfurter",
    "pizza": "",
    "donut": "doughnut",
    "cake": "cupcake cheesecake birthday_cake wedding_cake",
    "chair": "armchair arm_chair stool recliner rocker seat",
    "couch": "sofa loveseat love_seat settee futon",
    "potted plant": "plant houseplant house_plant flowerpot flower_pot",
    "bed": "crib bunk mattress",
    "dining table": "table countertop dinner_table kitchen_table",
    "toilet": "commode urinal",
    "tv": "television monitor flat_screen television_set",
    "laptop": "computer macbook notebook_computer laptop_computer",
    "mouse": "mice computer_mouse",
    "remote": "remote_control controller wiimote wii_remote wii_controller game_controller",
    "keyboard": "computer_keyboard",
    "cell phone": "cellphone phone telephone smartphone iphone mobile_phone smart_phone cell",
    "microwave": "microwave_oven",
    "oven": "stove stovetop",
    "toaster": "toaster_oven",
    "sink": "basin washbasin",
    "refrigerator": "fridge freezer",
    "book": "novel textbook",
    "clock": "clock_tower clocktower",
    "vase": "",
    "scissors": "scissor shears",
    "teddy bear": "teddy teddies stuffed_bear stuffed_animal teddybear",
    "hair drier": "hair_dryer hairdryer blow_dryer hairdrier",
    "toothbrush": "tooth_brush toothbrushes",
}

ANIMALS = ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe")  # "animal"

# Phrases in which one word alone would name something else.
_SPORTS = ("baseball", "basketball", "football", "soccer", "tennis", "volleyball", "hockey", "rugby")

_PLACES = ("field", "court", "game", "match", "team", "uniform", "stadium", "goal", "practice", "jersey")

_OTHERS = """
    couple_of dog_house train_station train_track bus_stop bus_station boat_house car_park ski_slope ski_lift
    ski_resort ski_pole table_tennis table_cloth phone_booth book_shelf book_case boxing_glove glass_door
    glass_window
"""

NAMING_NOTHING = [*(f"{sport}_{place}" for sport in _SPORTS for place in _PLACES), *_OTHERS.split()]

Key = tuple[str, ...]


class CategoryNames:
    """The categories of one annotation file, and the words that name them."""

    def __init__(self, categories: Iterable[str]) -> None:
        self.categories = tuple(categories)
        self._named: dict[Key, tuple[str, ...]] = {_key(phrase.split("_")): () for phrase in NAMING_NOTHING}
        for category in self.categories:
            for phrase in _phrases(category):
                key = _key(phrase)
                others = tuple(other for other in self._named.get(key, ()) if other != category)
                self._named[key] = (*others, category)
        self._longest = max((len(key) for key in self._named), default=1)

    def named_by(self, words: Sequence[str]) -> dict[int, tuple[str, ...]]:
        """Map the index of a word to the categories that it names, alone or with its neighbours.

        Words that name none are left out. The longest phrase counts: both words of "hot dog" name "hot dog",
        and none names "dog".

        >>> CategoryNames(["dog", "hot dog"]).named_by("two puppies eat a hot dog".split())
        {1: ('dog',), 4: ('hot dog',), 5: ('hot dog',)}
        """
        named: dict[int, tuple[str, ...]] = {}
        start = 0
        while start < len(words):
            length, categories = self._longest_phrase(words[start : start + self._longest])
            if categories:
                named.update(dict.fromkeys(range(start, start + length), categories))
            start += length
        return named

    def _longest_phrase(self, words: Sequence[str]) -> tuple[int, tuple[str, ...]]:
        for length in range(len(words), 0, -1):
            key = _key(words[:length])
            if key in self._named:
                return length, self._named[key]
        return 1, ()


def _phrases(category: str) -> list[list[str]]:
    synonyms = [synonym.split("_") for synonym in SYNONYMS.get(category, "").split()]
    general = [["animal"]] if category in ANIMALS else []
    return [category.replace("_", " ").split(), *synonyms, *general]


def _key(words: Sequence[str]) -> Key:
    return tuple(_stem(word.lower()) for word in words)


@cache
def _stem(word: str) -> str:
    """The word without its plural ending.

    Verb and agent endings are kept: "training", "tied" and "snowboarder" name no train, tie or snowboard.
    """
    word = word[:-1] if word.endswith("ers") else word
    return word if word.endswith(("er", "ing", "ed")) else str(_stemmer().stem(word))


@cache
def _stemmer() -> SnowballStemmer:
    return SnowballStemmer("english")
