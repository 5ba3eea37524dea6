"""How the conversations begin: many kinds of request, put together from patterns, topics and numbers.

No prompt of `speccas bench` is among them: those are the test.

An opener is a whole request, or only its start, which the expert then finishes itself. Every tenth topic, name and
function is kept for held-out conversations, so that training has never seen what they ask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

HELD_OUT = 10  # every tenth entry of a list


@dataclass(frozen=True)
class Opener:
    """`text` begins the user's turn; where it is not `whole`, the expert goes on for at most `most` tokens."""

    text: str
    whole: bool
    most: int = 0


TOPICS = """
photosynthesis|black holes|the water cycle|volcanoes|electric cars|solar panels|vaccines|the immune system|inflation|
compound interest|supply and demand|the French Revolution|the Roman Empire|the Silk Road|the Industrial Revolution|
ancient Egypt|the Cold War|the moon landing|gravity|magnetism|evolution|DNA|climate change|plate tectonics|
earthquakes|tornadoes|the northern lights|tides|coral reefs|rainforests|deserts|glaciers|whales|dolphins|octopuses|
ants|spiders|butterflies|owls|penguins|wolves|elephants|dinosaurs|cats|dogs|horses|chickens|mushrooms|apple trees|
tomatoes|coffee|tea|chocolate|bread|cheese|olive oil|pasta|sushi|curry|soup|breakfast|vegetarian cooking|meal
planning|sleep|dreams|meditation|yoga|swimming|cycling|hiking|football|chess|poker|knitting|painting|photography|the
guitar|the piano|jazz|classical music|opera|ballet|theatre|cinema|novels|poetry|fairy tales|myths|ghost stories|
science fiction|detective stories|comics|video games|board games|libraries|museums|schools|universities|exams|
homework|teaching|job interviews|salaries|teamwork|leadership|time management|procrastination|stress|happiness|
friendship|marriage|parenting|grandparents|neighbours|moving house|renting a flat|buying a car|saving money|budgeting|
taxes|insurance|banks|credit cards|stocks|small businesses|advertising|customer service|remote work|email|social
media|smartphones|laptops|the internet|passwords|computer viruses|search engines|artificial intelligence|machine
learning|neural networks|robots|drones|satellites|rockets|Mars|Saturn|comets|stars|galaxies|the Big Bang|atoms|
molecules|chemical reactions|acids and bases|metals|plastics|batteries|light bulbs|engines|bridges|skyscrapers|trains|
aeroplanes|ships|submarines|bicycles|maps|compasses|clocks|calendars|money|democracy|elections|constitutions|courts|
human rights|newspapers|the printing press|the telephone|radio|television|nuclear power|wind turbines|recycling|
pollution|clean water|farming|beekeeping|fishing|forestry|gardening|houseplants|compost|winter|spring|autumn|rain|
snow|rainbows|clouds|thunderstorms|rivers|lakes|mountains|islands|beaches|caves|Japan|Brazil|Kenya|India|Canada|Italy|
Norway|Mexico|Morocco|New Zealand|Paris|New York|Tokyo|Venice|Cairo|travelling alone|camping|packing a suitcase|
learning a language|writing a CV|public speaking|small talk|table manners|birthdays|weddings|festivals|holidays|gifts|
charity|volunteering|first aid|headaches|colds|allergies|vitamins|sugar|salt|water|exercise|running shoes|back pain|
the heart|the lungs|the brain|the eye|bones|blood pressure|fractions|percentages|prime numbers|triangles|circles|
probability|averages|equations|graphs|vectors|algebra|geometry|statistics|sorting algorithms|recursion|databases|
spreadsheets|version control|web servers|operating systems|compilers|loops|variables|functions|lists and dictionaries|
debugging|unit tests|open source|privacy|encryption|logic|ethics|Socrates|Aristotle|Shakespeare|Leonardo da Vinci|
Isaac Newton|Marie Curie|Albert Einstein|Charles Darwin|Ada Lovelace|Nelson Mandela|Cleopatra|Mozart|Beethoven|Vincent
van Gogh
"""
ABOUT = """
What is {x}?|What are the main facts about {x}?|Explain {x}.|Explain {x} in simple terms.|Explain {x} to a beginner.|
Tell me about {x}.|Tell me something surprising about {x}.|Give me three facts about {x}.|Write a short paragraph
about {x}.|Write a poem about {x}.|Write a haiku about {x}.|Write a short story about {x}.|Write a limerick about
{x}.|Describe {x} in a few sentences.|Why is {x} important?|Why do people care about {x}?|How does {x} work?|What
should I know about {x}?|What are the advantages and disadvantages of {x}?|List five words that go with {x}.|Make a
list of ten ideas about {x}.|Give me some tips about {x}.|What are common mistakes with {x}?|Write an introduction to
an essay about {x}.|Write a letter to a friend about {x}.|Write a short speech about {x}.|What is the history of {x}?|
How can I learn more about {x}?|What books should I read about {x}?|Can you help me understand {x}?|I have a question
about {x}.|What is the best thing about {x}?|Compare {x} and {y}.|What do {x} and {y} have in common?|Which is more
interesting, {x} or {y}?|Write a dialogue between two people who talk about {x}.|Write three quiz questions about {x},
with answers.|Make a short lesson plan about {x}.|Write a headline and a short news story about {x}.|Write a slogan
for a campaign about {x}.|What would the world be like without {x}?|Give me a step-by-step guide to {x}.|Summarise
what is known about {x}.|Define {x} in one sentence.|Who is known for {x}?|Where can I find out about {x}?|Write an
email to my teacher about {x}.|What are the most common questions about {x}?|Write a product description that has to
do with {x}.|Explain the difference between {x} and {y}.|Give an example of {x}.|Is {x} good or bad?|What happens if
nobody pays attention to {x}?|Write a short scene set in the world of {x}.|Write a recipe that fits {x}.
"""
STARTS = """
What is the|What are some|How do I|How can I|Can you|Could you please|Please|I need help with|I want to|I would like
to|My friend|My daughter|My boss|Yesterday I|Write a|Write an email|Write a story about|Write a poem|Give me|Give me a
list of|Give me an example of|Explain|Explain why|Explain how|Describe|Tell me|Compare|Suggest|Help me|Why do|Why
does|Why is|When did|Where is|Where can I|Who was|Who invented|Which|Is it true that|What would happen if|What is the
difference between|What does|How many|How much|How long does it take to|How old|Imagine that|Pretend you are|You are
a|Create a|Make a|Design a|Find|Fix|Rewrite|Edit the following sentence:|Correct the grammar:|Complete the sentence:|
Name|List|Define|Classify|Sort|Convert|Calculate|Solve|Prove|Translate|Summarise|Identify|Generate|Recommend|Discuss|
Analyse|In which|On what|Hello,|Hi!|Thanks.|I am|I have|I feel|There is|The|A|In|If|Should I|Do you|Are there|Let's|As
a|For my
"""
FOLLOW = """
Thanks!|Can you explain that|Can you give|Why|How|Could you make it|Tell me more about|What about|And|Please rewrite|
That is|I do not understand|Give me another|Now|Is there|Can you shorten|What if|Which one|Great.|Could you add
"""
COUNTRIES = """
France|Spain|Portugal|Germany|Austria|Poland|Greece|Turkey|Sweden|Finland|Denmark|Ireland|Belgium|Hungary|Egypt|
Nigeria|South Africa|Ethiopia|Morocco|Kenya|China|Japan|South Korea|Vietnam|Thailand|Indonesia|India|Pakistan|Nepal|
Iran|Iraq|Canada|Mexico|Cuba|Brazil|Argentina|Chile|Peru|Colombia|New Zealand|Iceland|Norway|Russia|Ukraine|
Switzerland|Romania
"""
FACTS = """
What is the capital of {c}?|Which language is spoken in {c}?|What is the currency of {c}?|On which continent is {c}?|
Which countries border {c}?|What is {c} famous for?|What food is typical of {c}?|Who is a famous person from {c}?|What
is the largest city in {c}?|What does the flag of {c} look like?|How many people live in {c}?|When is the best time to
visit {c}?|What is the chemical symbol of {e}?|What is {e} used for?|Is {e} a metal?|Who discovered {e}?|What colour
is {e}?|At what temperature does {e} melt?|Who wrote {b}?|What is {b} about?|Who is the main character of {b}?|When
was {b} written?|What do you call a group of {a}?|What do {a} eat?|Where do {a} live?|How long do {a} live?|Can {a}
swim?|How many legs do {a} have?|Are {a} dangerous?|How many {u} are there in {v}?
"""
ELEMENTS = (
    "hydrogen|helium|carbon|nitrogen|oxygen|iron|copper|silver|gold|lead|mercury|zinc|tin|aluminium|silicon|sulphur"
)
BOOKS = """
Hamlet|Macbeth|Moby-Dick|Pride and Prejudice|Don Quixote|War and Peace|The Odyssey|Frankenstein|Dracula|1984|The
Hobbit|Great Expectations|Jane Eyre|The Great Gatsby|Alice in Wonderland|Treasure Island|Faust|The Metamorphosis
"""
ANIMALS = """
lions|tigers|bears|frogs|snakes|crows|eagles|sharks|salmon|crabs|bees|worms|rabbits|foxes|mice|bats|camels|giraffes|
kangaroos|koalas|ducks|geese|pigs|sheep|goats|cows|turtles|lizards|snails|squirrels
"""
UNITS = "minutes|hours|days|weeks|months|seconds|metres|centimetres|grams|litres|inches|feet"
SPANS = "a day|a week|a year|a century|a kilometre|a mile|a kilogram|a gallon|two hours|half a day|three weeks"
LANGUAGES = "French|German|Spanish|Italian|Portuguese|Dutch"
TRANSLATE = """
Translate this sentence into {l}:|Translate to {l}:|How do you say this in {l}?|Please translate into {l}, nothing
else:|Give me the {l} translation of:|What is this in {l}?|Translate the following English text to {l}.
"""
SENTENCES = """
The|My|I|We|She|He|They|Where|When|Please|Our|This|There is|In the|Tomorrow|Last week|The children|My brother|The old|
Every morning|It is|Do you|Can I|Her|The weather|At the|Before|After|On Monday|If you|The bus|The cat|A small|Last
year|His father|Although|Because|Next summer|The doctor|Many people
"""
SUMMARISE = """
Summarise the following text:|Give a one-sentence summary of this text:|What is the main point of this passage?|Sum up
this article in two sentences.|Please shorten this text:|Summarize the passage below.|What is this text about?|Write a
title for this text:|List the key points of the following:|Rewrite this text in simpler words:
"""
PASSAGES = """
The city council|Scientists have found|In the small town of|When the factory|A new study|The old library|For many
years|Last winter|Farmers in|The company announced|On Monday morning|Every spring|The museum|A group of students|The
river|After the storm|Researchers at|The school|In recent years|Long ago|The island|Many families|Trees|The hospital|
Two sisters|The harbour|Engineers|Wild horses|The market|During the war|Most people think|A young teacher|The forest|
Bread|The railway|Birds|At the age of|The night train|Water|Until recently
"""
NAMES = (
    "Sara|Ali|Emma|Lucas|Mia|Omar|Lena|Jack|Nina|Paul|Rosa|Sam|Ivy|Max|Eva|Leo|Amir|Kate|Ben|Zoe|Maria|John|Lisa|Peter"
)
THINGS = """
apples|pencils|books|stickers|coins|cookies|oranges|cards|flowers|eggs|bottles|tickets|shells|balloons|stamps|candles|
cups|bricks|photos|seeds
"""
MATHS = """
{n} has {i} {t} and buys {j} more. How many {t} does {n} have now?|{n} has {k} {t} and gives {i} of them to {m}. How
many are left?|A box holds {i} {t}. How many {t} are there in {j} boxes?|{n} shares {k} {t} equally among {i} friends.
How many does each one get?|A ticket costs {i} dollars. How much do {j} tickets cost?|{n} runs {i} kilometres every
day. How far does {n} run in {j} days?|{n} is {i} years old and {m} is {j} years older. How old is {m}?|What is {k}
plus {l}?|What is {k} minus {i}?|What is {i} times {j}?|What is {i} percent of {k}?|Calculate {k} divided by {i}.|A
rectangle is {i} cm long and {j} cm wide. What is its area?|What is the perimeter of a square with sides of {i}
metres?|A car drives {k} kilometres in {i} hours. What is its average speed?|{n} earns {i} dollars an hour and works
{j} hours. How much does {n} earn?|A coat costs {k} dollars and is sold at {i} percent off. What is the price?|{n}
read {i} pages on Friday and {j} pages on Saturday. The book has {k} pages. How many pages are left?|A bus has {k}
seats and {i} of them are taken. {j} people get on. How many seats are free?|Solve for x: {i}x + {j} = {k}.|Solve {i}x
= {k}.|What is the square of {i}?|What is the next number: {i}, {j}, {k}?|There are {i} rows with {j} chairs each. How
many chairs are there? Show your work.|{n} saves {i} dollars a week. How long does it take to save {k} dollars?|A
recipe for {i} people needs {j} eggs. How many eggs are needed for {k} people?|Simplify the fraction {i}/{k}.|Is {k}
an even number?|Round {k}.{i} to the nearest whole number.|What is the average of {i}, {j} and {k}?
"""
FUNCTIONS = """
add(a, b)|returns the sum of two numbers|maximum(numbers)|returns the largest number of a list|reverse(text)|returns
the text backwards|factorial(n)|returns the factorial of n|mean(numbers)|returns the average of a list|unique(items)|
returns the items without duplicates, in order|is_even(n)|returns whether n is even|gcd(a, b)|returns the greatest
common divisor|celsius(f)|converts Fahrenheit to Celsius|count_words(text)|returns the number of words|longest(words)|
returns the longest word|sum_digits(n)|returns the sum of the digits of n|capitalise(text)|makes the first letter of
each word a capital|merge(a, b)|merges two sorted lists|binary_search(items, x)|returns the index of x in a sorted
list|bubble_sort(items)|sorts a list by bubble sort|quicksort(items)|sorts a list by quicksort|anagrams(a, b)|returns
whether two words are anagrams|remove_spaces(text)|returns the text without spaces|leap_year(year)|returns whether a
year is a leap year|power(a, n)|returns a to the power of n without using **|area(radius)|returns the area of a
circle|median(numbers)|returns the median|invert(d)|swaps the keys and values of a dictionary|chunks(items, n)|splits
a list into parts of n|count(items, x)|returns how often x occurs|squares(n)|returns a list of the squares of 1 to n|
common(a, b)|returns the items that are in both lists|read_lines(path)|returns the lines of a file|is_sorted(items)|
returns whether a list is sorted|to_binary(n)|returns the binary digits of n as a string|caesar(text, shift)|shifts
each letter by some places|acronym(text)|returns the first letters of the words|rotate(items, n)|rotates a list by n
places|transpose(matrix)|swaps the rows and columns|product(numbers)|multiplies all numbers|collatz(n)|returns the
Collatz sequence of n|clamp(x, low, high)|keeps x between two bounds|group_by_length(words)|returns a dictionary from
length to words|valid_email(text)|checks whether a text is an email address|distance(a, b)|returns the distance
between two points|hamming(a, b)|counts the places where two strings differ|last(items)|returns the last item or None|
multiples(n, limit)|lists the multiples of n below a limit|divisors(n)|returns all divisors of n|to_seconds(text)|
turns a time such as 1:30 into seconds|matrix_product(a, b)|multiplies two matrices|title(text)|returns a text in
title case|fizzbuzz(n)|prints the numbers to n, with Fizz and Buzz|smallest(numbers)|returns the smallest number|
only_digits(text)|returns the digits of a text|swap(a, b)|returns both in the other order|depth(tree)|returns the
depth of a binary tree|random_password(n)|returns a random password of n characters
"""
CODE = """
Write a Python function `{f}` that {d}.|Write a function {f} in Python. It {d}.|In Python, how do I write `{f}`, which
{d}?|Implement `{f}` in JavaScript. It {d}.|Write `{f}` in Java, a method that {d}.|Write unit tests for a Python
function `{f}` that {d}.|Explain step by step how a function `{f}` that {d} could be written.|Write a Python function
`{f}` with a docstring. It {d}.|Write a C function that does what `{f}` says: it {d}.|Show me a short Python example:
`{f}` {d}.
"""
CODE_STARTS = """
Write a Python program that|Write a Python script to|Write a function that|How do I use|What does this code do?  for|
Fix this code:  def|Write an SQL query|Write a regular expression|What is a class in|How do I read a file|Write HTML
for|Explain this code:  import|What is the difference between a list and|Write a bash command|How do I sort|Write a
Python class|What is the time complexity of|Why do I get the error
"""


def entries_of(text: str) -> list[str]:
    """Entries of a list written over several lines; a line break in one is a space."""
    return [entry for part in text.strip("\n").split("|") if (entry := " ".join(part.split("\n")).lstrip())]


def entry_pairs(text: str) -> list[tuple[str, str]]:
    """The same, two by two."""
    entries = [entry.strip() for entry in entries_of(text)]
    return list(zip(entries[::2], entries[1::2], strict=True))


def share_of(entries: Sequence[str], held_out: bool) -> list[str]:
    """Every tenth entry for held-out conversations, all the others for training."""
    return [entry.strip() for i, entry in enumerate(entries) if (i % HELD_OUT == HELD_OUT - 1) == held_out]


class Openers:
    """Draws openers; those of `held_out` conversations are about other things than the rest."""

    def __init__(self, random: Random, *, held_out: bool) -> None:
        self._random = random
        self._topics = share_of(entries_of(TOPICS), held_out)
        self._names = share_of(entries_of(NAMES), held_out)
        self._things = share_of(entries_of(THINGS), held_out)
        self._countries = share_of(entries_of(COUNTRIES), held_out)
        self._books = share_of(entries_of(BOOKS), held_out)
        self._animals = share_of(entries_of(ANIMALS), held_out)
        self._elements = share_of(entries_of(ELEMENTS), held_out)
        functions = entry_pairs(FUNCTIONS)
        self._functions = [pair for i, pair in enumerate(functions) if (i % HELD_OUT == HELD_OUT - 1) == held_out]
        self._kinds = (
            (self._about, 30), (self._start, 14), (self._maths, 12), (self._fact, 12), (self._code, 12),
            (self._code_start, 3), (self._translation, 8), (self._summary, 9),
        )  # fmt: skip

    def first(self) -> Opener:
        """What a conversation begins with."""
        makers, weights = zip(*self._kinds, strict=True)
        opener: Opener = self._random.choices(makers, weights)[0]()
        return opener

    def next(self) -> Opener:
        """What a user says after an answer: on the same matter, or something else."""
        if self._random.random() < 0.4:
            return Opener(self._one(FOLLOW), whole=False, most=24)
        return self.first()

    def _one(self, text: str) -> str:
        return self._random.choice(entries_of(text)).strip()

    def _about(self) -> Opener:
        x, y = self._random.sample(self._topics, 2)
        return Opener(self._one(ABOUT).format(x=x, y=y), whole=True)

    def _start(self) -> Opener:
        return Opener(self._one(STARTS), whole=False, most=32)

    def _maths(self) -> Opener:
        n, m = self._random.sample(self._names, 2)
        i, j = self._random.randint(2, 25), self._random.randint(2, 40)
        k, extra = self._random.randint(30, 400), self._random.randint(10, 300)
        thing = self._random.choice(self._things)
        return Opener(self._one(MATHS).format(n=n, m=m, i=i, j=j, k=k, l=extra, t=thing), whole=True)

    def _fact(self) -> Opener:
        text = self._one(FACTS).format(
            c=self._random.choice(self._countries),
            e=self._random.choice(self._elements),
            b=self._random.choice(self._books),
            a=self._random.choice(self._animals),
            u=self._one(UNITS),
            v=self._one(SPANS),
        )
        return Opener(text + self._random.choice(["", "", "", " Reply briefly.", " Answer in a sentence."]), whole=True)

    def _code(self) -> Opener:
        name, does = self._random.choice(self._functions)
        return Opener(self._one(CODE).format(f=name, d=does), whole=True)

    def _code_start(self) -> Opener:
        return Opener(self._one(CODE_STARTS), whole=False, most=32)

    def _translation(self) -> Opener:
        ask = self._one(TRANSLATE).format(l=self._one(LANGUAGES))
        gap = self._random.choice(["\n\n", "\n", " "])
        return Opener(ask + gap + self._one(SENTENCES), whole=False, most=16)

    def _summary(self) -> Opener:
        return Opener(self._one(SUMMARISE) + "\n\n" + self._one(PASSAGES), whole=False, most=80)


class GivenOpeners:
    """Draws from requests that were given; every tenth is for held-out conversations alone."""

    def __init__(self, requests: Sequence[str], random: Random, *, held_out: bool) -> None:
        """`requests`: at least HELD_OUT."""
        self._random = random
        self._requests = share_of(requests, held_out)

    def first(self) -> Opener:
        return Opener(self._random.choice(self._requests), whole=True)

    def next(self) -> Opener:
        return self.first()
