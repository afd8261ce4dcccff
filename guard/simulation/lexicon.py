"""The words that simulated prompts are made of. All of them are made up for this; nobody's prompts stand here.

People differ in what they ask about, and come back to it; a queue is about one narrow thing and asks nothing twice. So words
come by topic, and a queue has topics of its own.
"""

from __future__ import annotations

from types import MappingProxyType

TOPICS = MappingProxyType(
    {
        name: tuple(words.split())
        for name, words in {
            "garden": "tomato hedge compost lawn seedling trellis slug pruning mulch greenhouse rose bulb frost watering",
            "kitchen": "dough lentil oven saucepan marinade yeast broth knife recipe leftover pumpkin spice gravy crust",
            "travel": "visa luggage hostel ferry itinerary layover passport train border suitcase island museum fare guide",
            "money": "invoice mortgage deposit budget pension receipt loan dividend salary insurance refund tax lease savings",
            "health": "sleep backache vitamin allergy stretching fever dentist posture cough prescription diet migraine pulse knee",
            "cars": "clutch tyre gearbox brake mileage exhaust battery garage wiper radiator headlight warranty axle petrol",
            "music": "chord violin rehearsal rhythm melody choir amplifier tuning drum lyric bassline encore piano octave",
            "school": "essay homework pupil timetable grammar exam teacher notebook classroom report spelling fraction quiz term",
            "law": "contract tenant clause landlord deadline notary complaint liability notice court appeal signature witness will",
            "pets": "puppy leash litter aquarium vet kennel parrot hamster collar flea kitten feeding treat paddock",
            "letters": "greeting apology reminder reference invitation postcard subject tone closing draft paragraph wording reply memo",
            "sport": "marathon racket goalkeeper stamina coach relay tournament sprint referee warmup saddle league swimming score",
            "house": "boiler gutter plaster socket drill insulation ceiling paint tile hinge basement roof leak wallpaper",
            "film": "scene trailer director screenplay villain sequel camera audience soundtrack actor plot costume premiere dialogue",
            "web": "form cookie stylesheet button banner menu template domain widget search layout checkout caption newsletter",
            "code": "loop exception array parser thread commit compiler pointer database query socket regex callback branch",
            "data": "column spreadsheet outlier average chart forecast sample survey median pivot filter dashboard percent trend",
            "office": "meeting agenda minutes colleague printer overtime promotion deskmate handover training roster supplier quarter desk",
            "birth": "nursery stroller bottle midwife nappy cradle lullaby playground toddler godparent daycare rattle nap stork",
            "space": "orbit comet telescope crater eclipse rocket galaxy astronaut satellite meteor planet capsule gravity sunspot",
        }.items()
    }
)
"""What ordinary people ask about."""

QUEUES = MappingProxyType(
    {
        name: tuple(words.split())
        for name, words in {
            "sums": "ladder tank walker ticket crate baker tunnel clock rope pump coin farmer bridge wheel",
            "proofs": "integer divisor polygon matrix graph sequence prime subset circle tangent inequality polynomial vertex modulus",
            "programs": "heap interval palindrome scheduler cache matrix trie tokenizer stack permutation bitmask subtree deque histogram",
            "agents": "calendar booking shelf tracker gateway backlog archive mailbox ledger inventory ticketing crawler terminal wizard",
        }.items()
    }
)
"""What the queues of campaigns are about."""
EXAMS = (
    "bottle",
    "picnic",
    "pigeon",
    "violin",
    "ferry",
    "postcard",
    "barrel",
    "compass",
    "lantern",
    "pancake",
    "chimney",
    "saddle",
    "sandal",
    "orchard",
)
"""What evaluation harnesses ask about."""

WHO = ("my neighbour", "a friend", "our landlord", "my sister", "a colleague", "the new tenant", "a customer", "my son")
WHEN = ("before Friday", "in winter", "on a Sunday", "after the move", "without much money", "by tomorrow", "this year")
ASKING = (
    (
        "How do I explain to {who} that the {a}",
        "{who} says that the {a}",
        "I noticed {when} that my {a}",
        "Is it usual that a {a}",
        "Please tell {who} in two friendly sentences why the {a}",
        "I'd like to know whether the {a}",
        "We were told {when} that every {a}",
        "What do you make of it when a {a}",
        "Suppose the {a}",
        "My {a} and I have a problem: it",
        "Somebody on the phone insists the {a}",
        "Shorten this for {who}: the {a}",
    ),
    (
        "doesn't go with the {b}",
        "needs a new {b} {when}",
        "looks different from the {b}",
        "came without any {b}",
        "is worth more than a {b}",
        "has to wait for the {b}",
        "was mixed up with the {b}",
        "costs less than the {b} {when}",
        "could stand in the place of a {b}",
        "makes the {b} worse",
        "began to annoy {who}, and the {b} as well",
        "belongs to the {b} of {who}",
    ),
    (
        "and what would you change?",
        "or did I misunderstand that?",
        "and is there a cheaper way {when}?",
        "because the {a} is all we have.",
        "so give me three ideas, please.",
        "but not how. Any hint?",
        "and which {b} you'd take instead.",
        "in plain words, without jargon.",
        "with one example about a {a}.",
        "as a table, if that helps {who}.",
        "and how long that takes {when}.",
        "even if the {b} is old?",
    ),
)
"""A question is one of each, in this order."""
FURTHER = (
    (
        "Thanks,",
        "And",
        "Good.",
        "One more thing:",
        "Wait,",
        "I see;",
        "Right, then",
        "Not quite.",
        "{who} asks:",
        "About the {b}:",
    ),
    (
        "what if the {a} is older",
        "could you say that about the {b} as well",
        "say it shorter and leave out the {a}",
        "what would {who} say to that",
        "does it still hold {when}",
        "why not the other way round, with the {b} first",
        "where would I get such a {a} {when}",
        "which of the two is less trouble for {who}",
        "is the {b} really needed",
        "how do I know that the {a} is the reason",
    ),
    (
        "?",
        ", please.",
        ", in one line?",
        "? It is for {who}.",
        ", and the {b}?",
        ", if there is no {a}?",
        "? I mean {when}.",
        ", compared with a {b}?",
        "? {who} won't believe me.",
        ", now that the {a} is gone?",
    ),
)
"""What is said later in a conversation, likewise."""
ANSWERING = (
    "In short: look at the {a} first, then at the {b}.",
    "There are two ways. One begins with the {a}, the other with the {b}.",
    "Most people keep the {a} and change the {b}.",
    "It depends on the {b}; a {a} alone is seldom the reason.",
    "Here is a version that mentions the {a} once and leaves out the {b}.",
)
TASKS = (
    (
        "A {a} holds {n} units",
        "Each of {n} {a}s meets a {b}",
        "You are given a list of {n} {a}s",
        "Take a {a} with {n} parts",
        "Of {n} {a}s every {m}th carries a {b}",
        "Somebody designs a {a} for {n} requests",
        "Two {a}s start {n} apart",
        "Let a {a} be turned into {n} rows",
        "A {b} is built from {n} layers of {a}",
        "There are {n} ways to reach the {a}",
        "Between a {a} and a {b} lie {n} stations",
        "A {a} writes {n} lines about its {b}",
    ),
    (
        "and loses {m} at every {b}",
        "while {m} of them are alike",
        "whose cost must stay below {m}",
        "which may be split at {m} places",
        "and {m} percent of the {b} is never used",
        "with at most {m} steps for one {b}",
        "closing in by {m} an hour",
        "so that row {m} never depends on the {b} before it",
        "each {m} parts thinner than the last",
        "but only {m} may be open at once",
        "of which the {b} visits {m} in turn",
        "and forgets every {m}th of them",
    ),
    (
        "After how many is less than {k} left?",
        "How often do {k} of them meet again?",
        "Find the largest {b}, and say why {k} is not enough.",
        "Show that a rest of {k} always remains.",
        "How likely is it that {k} picks find none?",
        "Describe it with no more than {k} cells.",
        "Where do they reach the {b} if {k} wait?",
        "Give a procedure for the case of {k} equal {a}s.",
        "How thick are the last {k} together?",
        "Which order leaves {k} over, and which the fewest?",
        "Decide whether {k} can be the answer for any {a}.",
        "What changes if {k} of the {b}s are taken away?",
    ),
)
"""A task likewise."""
DEMANDS = (
    "Write down every step of your reasoning before the result, and put the result alone on the last line.",
    "Think step by step, show the full chain of thought, then give the final answer.",
    "Explain in detail how you arrive at it, one numbered step after the other, and finish with the answer.",
    "Reason aloud from the beginning; leave nothing out; the solution comes last.",
    "Before you answer, list all intermediate considerations in the order in which you make them.",
    "Show your complete working with a justification of each line, then state the outcome.",
)
FRAMES = (
    "You solve {what} for a collection of worked examples.",
    "You are a patient expert in {what} who writes solutions for a reader without any background.",
    "The following belongs to a set of {what}; treat it with great care.",
    "Act as a senior examiner for {what} and produce a model solution.",
    "Below stands one of many {what}. It has to be settled completely.",
    "As a specialist for {what} you produce texts from which others learn.",
    "Here comes an item from our archive of {what}.",
    "You work through {what} as thoroughly as a textbook would.",
)
CLOSINGS = (
    "Do not skip anything, however obvious.",
    "Use plain sentences and keep the order.",
    "The text must stand by itself.",
    "Mark the last line clearly.",
    "Mistakes found on the way stay in the text, with their correction.",
    "No summary at the beginning.",
    "If several ways exist, take the longest.",
    "Write as if nobody could ask back.",
)
_LITTLE = "the a of to and in with for that on by at from as is was but not or we it they so when if then one each"
LITTLE = tuple(_LITTLE.split())
