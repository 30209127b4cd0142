"""The tables behind facts.py. Only what a child's book would agree with."""

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = (
    "January February March April May June July August September October November December"
).split()
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

# sound, legs, home, food, young, can it fly
ANIMALS: dict[str, tuple[str, int, str, str, str, bool]] = {
    "cat": ("meow", 4, "in a house", "meat and fish", "kitten", False),
    "dog": ("woof", 4, "in a house", "meat", "puppy", False),
    "cow": ("moo", 4, "on a farm", "grass", "calf", False),
    "pig": ("oink", 4, "on a farm", "almost everything", "piglet", False),
    "sheep": ("baa", 4, "on a farm", "grass", "lamb", False),
    "goat": ("meh", 4, "on a farm", "grass and leaves", "kid", False),
    "horse": ("neigh", 4, "in a stable", "hay and oats", "foal", False),
    "donkey": ("hee-haw", 4, "in a stable", "hay and grass", "foal", False),
    "hen": ("cluck", 2, "on a farm", "grain", "chick", False),
    "duck": ("quack", 2, "by the water", "plants and worms", "duckling", True),
    "goose": ("honk", 2, "by the water", "grass", "gosling", True),
    "owl": ("hoo", 2, "in the forest", "mice", "owlet", True),
    "crow": ("caw", 2, "in the trees", "almost everything", "chick", True),
    "parrot": ("hello", 2, "in the jungle", "seeds and fruit", "chick", True),
    "robin": ("tweet", 2, "in the garden", "worms and insects", "chick", True),
    "eagle": ("", 2, "in the mountains", "small animals", "eaglet", True),
    "swan": ("", 2, "on a lake", "water plants", "cygnet", True),
    "penguin": ("", 2, "in the cold south", "fish", "chick", False),
    "mouse": ("squeak", 4, "in a small hole", "grain and cheese", "", False),
    "lion": ("roar", 4, "in the savanna", "meat", "cub", False),
    "tiger": ("", 4, "in the jungle", "meat", "cub", False),
    "bear": ("growl", 4, "in the forest", "berries, honey and fish", "cub", False),
    "wolf": ("howl", 4, "in the forest", "meat", "pup", False),
    "fox": ("", 4, "in the forest", "mice and berries", "cub", False),
    "rabbit": ("", 4, "in a burrow", "grass and carrots", "", False),
    "hedgehog": ("", 4, "in the garden", "insects and snails", "", False),
    "squirrel": ("", 4, "in the trees", "nuts and seeds", "", False),
    "deer": ("", 4, "in the forest", "grass and leaves", "fawn", False),
    "elephant": ("", 4, "in the savanna", "grass and leaves", "calf", False),
    "giraffe": ("", 4, "in the savanna", "leaves", "calf", False),
    "zebra": ("", 4, "in the savanna", "grass", "foal", False),
    "camel": ("", 4, "in the desert", "dry plants", "calf", False),
    "monkey": ("", 4, "in the jungle", "fruit", "", False),
    "panda": ("", 4, "in the mountains of China", "bamboo", "cub", False),
    "koala": ("", 4, "in the trees of Australia", "leaves", "joey", False),
    "kangaroo": ("", 4, "in Australia", "grass", "joey", False),
    "otter": ("", 4, "by the river", "fish", "pup", False),
    "beaver": ("", 4, "by the river", "bark and leaves", "", False),
    "mole": ("", 4, "under the ground", "worms", "", False),
    "frog": ("ribbit", 4, "in a pond", "flies", "tadpole", False),
    "turtle": ("", 4, "in the water", "plants and small animals", "", False),
    "lizard": ("", 4, "on warm stones", "insects", "", False),
    "crocodile": ("", 4, "in warm rivers", "meat and fish", "", False),
    "snake": ("hiss", 0, "in the grass", "mice", "", False),
    "fish": ("", 0, "in the water", "plants and small animals", "", False),
    "shark": ("", 0, "in the sea", "fish", "pup", False),
    "whale": ("", 0, "in the sea", "very small sea animals", "calf", False),
    "dolphin": ("", 0, "in the sea", "fish", "calf", False),
    "worm": ("", 0, "in the earth", "dead leaves", "", False),
    "snail": ("", 0, "in the garden", "leaves", "", False),
    "bee": ("buzz", 6, "in a hive", "nectar", "", True),
    "butterfly": ("", 6, "in the garden", "nectar", "caterpillar", True),
    "ant": ("", 6, "in an anthill", "almost everything", "", False),
    "spider": ("", 8, "in a web", "flies", "", False),
    "bat": ("", 2, "in a cave", "insects", "pup", True),
    "chicken": ("cluck", 2, "on a farm", "grain", "chick", False),
}  # fmt: skip
COLOURS: dict[str, tuple[str, str]] = {
    "the sky": ("is", "blue"), "a banana": ("is", "yellow"), "grass": ("is", "green"),
    "snow": ("is", "white"), "the sun": ("is", "yellow"), "blood": ("is", "red"),
    "a tomato": ("is", "red"), "a carrot": ("is", "orange"), "a lemon": ("is", "yellow"),
    "coal": ("is", "black"), "milk": ("is", "white"), "chocolate": ("is", "brown"),
    "a frog": ("is", "green"), "the sea": ("is", "blue"), "a strawberry": ("is", "red"),
    "a cucumber": ("is", "green"), "a plum": ("is", "purple"), "a flamingo": ("is", "pink"),
    "an orange": ("is", "orange"), "a pumpkin": ("is", "orange"), "a leaf": ("is", "green"),
    "a raven": ("is", "black"), "a crow": ("is", "black"), "a polar bear": ("is", "white"),
    "a zebra": ("is", "black and white"), "a panda": ("is", "black and white"),
    "an elephant": ("is", "grey"), "a mouse": ("is", "grey"), "a fox": ("is", "red and white"),
    "a cherry": ("is", "red"), "gold": ("is", "yellow"), "the night": ("is", "black"),
    "leaves": ("are", "green"), "clouds": ("are", "white"), "bananas": ("are", "yellow"),
    "tomatoes": ("are", "red"), "carrots": ("are", "orange"), "a rose": ("is", "often red"),
    "an apple": ("is", "red or green"), "coffee": ("is", "brown"), "a swan": ("is", "white"),
    "a lion": ("is", "golden brown"), "the moon": ("is", "white and grey"),
    "lemons": ("are", "yellow"),
}  # fmt: skip
MIXES: dict[tuple[str, str], str] = {
    ("blue", "yellow"): "green", ("red", "yellow"): "orange", ("red", "blue"): "purple",
    ("red", "white"): "pink", ("black", "white"): "grey", ("red", "green"): "brown",
    ("blue", "white"): "light blue",
}  # fmt: skip
_OPPOSITES = (
    "hot cold,big small,large little,tall short,long short,fast slow,old young,new old,happy sad,"
    "good bad,light dark,day night,up down,left right,in out,open closed,wet dry,full empty,"
    "rich poor,strong weak,hard soft,easy difficult,loud quiet,clean dirty,early late,near far,"
    "high low,thick thin,wide narrow,heavy light,sweet sour,first last,begin end,start stop,"
    "buy sell,give take,come go,push pull,win lose,laugh cry,love hate,friend enemy,day night,"
    "summer winter,north south,east west,true false,right wrong,yes no,always never,all none,"
    "more less,many few,before after,above below,inside outside,brave afraid,clever stupid,"
    "beautiful ugly,cheap expensive,deep shallow,sharp blunt,smooth rough,awake asleep,alive dead,"
    "black white,king queen,boy girl,man woman,brother sister,mother father,question answer,"
    "problem solution,success failure,war peace,morning evening,top bottom,front back,"
    "find lose,remember forget,arrive leave,build destroy,sit stand,sunrise sunset,"
    "polite rude,lazy busy,safe dangerous,simple complicated,warm cool,left right,male female,"
    "increase decrease,accept refuse,question answer,teacher student,visible hidden,guilty innocent"
)
OPPOSITES = [tuple(pair.split()) for pair in dict.fromkeys(_OPPOSITES.split(","))]
_AMBIGUOUS = {"short": "long", "old": "new", "light": "dark", "little": "large", "lose": "win",
              "right": "left"}  # fmt: skip
OPPOSITES = [
    (a, b) for a, b in OPPOSITES
    if _AMBIGUOUS.get(a, b) == b and _AMBIGUOUS.get(b, a) == a
]  # fmt: skip
SHAPES: dict[str, tuple[int, str]] = {
    "triangle": (3, "a shape with three sides"), "square": (4, "a shape with four equal sides"),
    "rectangle": (4, "a shape with four sides and four right angles"),
    "pentagon": (5, "a shape with five sides"), "hexagon": (6, "a shape with six sides"),
    "octagon": (8, "a shape with eight sides"),
    "circle": (0, "a round shape without corners"), "ball": (0, "round on all sides"),
}  # fmt: skip
CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid",
    "Portugal": "Lisbon",
    "England": "London", "Ireland": "Dublin", "Austria": "Vienna", "Greece": "Athens",
    "Poland": "Warsaw", "Russia": "Moscow", "Norway": "Oslo", "Sweden": "Stockholm",
    "Finland": "Helsinki", "Denmark": "Copenhagen", "Belgium": "Brussels", "Japan": "Tokyo",
    "China": "Beijing", "India": "New Delhi", "Egypt": "Cairo", "Canada": "Ottawa",
    "Australia": "Canberra", "Switzerland": "Bern", "Hungary": "Budapest", "Turkey": "Ankara",
    "the United States": "Washington", "Mexico": "Mexico City", "Cuba": "Havana",
    "the Netherlands": "Amsterdam", "Brazil": "Brasilia",
}  # fmt: skip
DEFINITIONS = {
    "the sun": "The sun is a star. It gives us light and warmth.",
    "the moon": "The moon goes around the earth and shines at night.",
    "a star": "A star is a hot ball of gas that shines in the sky, far away.",
    "the earth": "The earth is the planet we live on. It goes around the sun in one year.",
    "rain": "Rain is water that falls from the clouds.",
    "snow": "Snow is frozen water that falls from the clouds in winter.",
    "ice": "Ice is frozen water.", "wind": "Wind is moving air.",
    "a cloud": "A cloud is made of many tiny drops of water.",
    "a tree": "A tree is a tall plant with a trunk, branches and leaves.",
    "a flower": "A flower is a part of a plant. It is often colourful and smells good.",
    "a river": "A river is water that flows to the sea.",
    "the sea": "The sea is a large area of salt water.",
    "a lake": "A lake is water with land all around it.",
    "a mountain": "A mountain is very high land.",
    "an island": "An island is land with water all around.",
    "a desert": "A desert is a very dry place where little grows.",
    "a forest": "A forest is a place with many trees.",
    "fire": "Fire is hot and bright and burns wood.",
    "a house": "A house is a building where people live.",
    "a book": "A book is made of many pages with words or pictures.",
    "a clock": "A clock shows the time.", "a bicycle": "A bicycle has two wheels, and you ride it.",
    "a car": "A car has four wheels and drives on the road.",
    "a train": "A train runs on rails and carries people.",
    "a boat": "A boat carries people over the water.",
    "a plane": "A plane is a machine with wings that flies.",
    "a school": "A school is a place where children learn.",
    "a doctor": "A doctor helps sick people.", "a teacher": "A teacher helps others to learn.",
    "a baker": "A baker makes bread and cakes.", "a farmer": "A farmer grows food and keeps "
                                                             "animals.",
    "bread": "Bread is food made of flour and water.", "cheese": "Cheese is food made from milk.",
    "milk": "Milk is a white drink that comes from cows.",
    "honey": "Honey is sweet, and bees make it.",
    "an apple": "An apple is a round fruit that grows on a tree.",
    "a banana": "A banana is a long yellow fruit.",
    "a computer": "A computer is a machine that calculates and runs programs.",
    "a language model": "A language model is a program that guesses the next word, again and "
                        "again.",
    "a program": "A program is a list of steps that a computer follows.",
    "a story": "A story tells what happened to somebody, from a beginning to an end.",
    "a friend": "A friend is somebody who likes you and helps you.",
    "a rainbow": "A rainbow is an arc of colours, made by sun and rain.",
    "a volcano": "A volcano is a mountain from which hot melted rock can come.",
    "winter": "Winter is the coldest season.", "summer": "Summer is the warmest season.",
    "spring": "Spring is the season when flowers begin to grow.",
    "autumn": "Autumn is the season when leaves fall.",
    "a dragon": "A dragon is a big animal in stories. It can fly and breathe fire.",
    "a robot": "A robot is a machine that can do work.",
    "music": "Music is made of sounds that fit.",
    "a map": "A map shows where places are.", "a bridge": "A bridge leads over a river or a road.",
    "time": "Time is what a clock measures.", "a dream": "A dream is a story that you see in your "
                                                         "sleep.",
    "sleep": "Sleep is rest for body and mind.", "water": "Water is a clear liquid that all "
    "animals and plants need.", "salt": "Salt is a white mineral that we put on food.",
    "Python": "Python is a programming language that is easy to read. localmix is written in it.",
    "artificial intelligence": "Artificial intelligence means programs that learn from examples.",
    "AI": "AI is short for artificial intelligence: programs that learn from examples.",
    "a neural network": "A neural network is a program of many small sums, learned from examples.",
    "the internet": "The internet connects computers all over the world.",
    "a CPU": "A CPU is the part of a computer that runs programs.",
    "a GPU": "A GPU is a chip for graphics. localmix does not need one.",
    "a laptop": "A laptop is a computer that you can carry.",
    "memory": "Memory is where a computer keeps what it is working on.",
    "a transformer": "A transformer is a language model whose tokens look back at earlier tokens.",
    "attention": "Attention lets each token look back at the tokens before it.",
    "a number": "A number says how many.", "a word": "A word is made of letters and has a meaning.",
    "a letter": "A letter is a sign of the alphabet, or a text that you send to somebody.",
    "the alphabet": "The alphabet is the row of all letters, from A to Z.",
    "a family": "A family is parents, children and all who belong to them.",
    "a village": "A village is a small place where people live, smaller than a town.",
    "a city": "A city is a very large town.", "a season": "A season is one of four parts of a "
                                                          "year.",
    "a shadow": "A shadow is the dark place behind something that stands in the light.",
    "thunder": "Thunder is the sound of lightning.", "fog": "Fog is a cloud that lies on the "
                                                            "ground.",
    "a planet": "A planet goes around a star. The earth is a planet.",
    "a seed": "A seed is the small part of a plant from which a new plant grows.",
    "a garden": "A garden is a place where flowers and vegetables grow.",
    "glass": "Glass is a hard material that you can see through.",
    "a bird": "A bird is an animal with feathers and two legs. Most birds can fly.",
    "an insect": "An insect is a small animal with six legs.",
    "love": "Love is to care for somebody very much.", "fear": "Fear is what you feel in danger.",
    "a king": "A king is a man who rules a country.",
    "a queen": "A queen is a woman who rules a country.",
}  # fmt: skip
SINGLE: list[tuple[str, str]] = [
    ("{How many days are in a week|How many days does a week have|How many days are there in a "
     "week|How many days has a week|How long is a week}?", "A week has seven days."),
    ("{What are the days of the week|Name the days of the week|List the days of the week|Tell me "
     "the days of the week|Which days does a week have|Say the days of the week}?",
     "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday."),
    ("{What are the months|Name the months|List the months of the year|What are the months of the "
     "year|Tell me the months|Say all months}?", "January, February, March, April, May, June, "
     "July, August, September, October, November and December."),
    ("{How many months are in a year|How many months does a year have|How many months are there in "
     "a year|How many months has a year}?", "A year has twelve months."),
    ("{How many days are in a year|How many days does a year have|How long is a year|How many days "
     "are there in a year}?", "A year has 365 days, and a leap year has 366."),
    ("{How many weeks are in a year|How many weeks does a year have}?", "A year has 52 weeks."),
    ("{How many hours are in a day|How many hours does a day have|How long is a day|How many hours "
     "has a day}?", "A day has 24 hours."),
    ("{How many minutes are in an hour|How many minutes does an hour have|How long is an hour}?",
     "An hour has 60 minutes."),
    ("{How many seconds are in a minute|How many seconds does a minute have|How long is a minute}?",
     "A minute has 60 seconds."),
    ("{What are the seasons|Name the seasons|How many seasons are there|Tell me the four "
     "seasons|Which seasons are there}?", "There are four seasons: spring, summer, autumn and "
                                          "winter."),
    ("{What season comes after|What comes after|Which season follows} spring?",
     "After spring comes summer."),
    ("{What season comes after|What comes after|Which season follows} summer?",
     "After summer comes autumn."),
    ("{What season comes after|What comes after|Which season follows} autumn?",
     "After autumn comes winter."),
    ("{What season comes after|What comes after|Which season follows} winter?",
     "After winter comes spring."),
    ("{What is the first day of the week|When does the week begin|On which day does the week "
     "start}?",
     "In many countries the week begins on Monday."),
    ("{What is the last month of the year|Which month is the last}?",
     "The last month of the year is December."),
    ("{What is the first month of the year|Which month is the first}?",
     "The first month of the year is January."),
    ("{When is Christmas|What month is Christmas in|In which month is Christmas}?",
     "Christmas is in December."),
    ("{What is the weekend|Which days are the weekend|When is the weekend}?",
     "The weekend is Saturday and Sunday."),
    ("{How many fingers do I have|How many fingers does a person have|How many fingers are on two "
     "hands|How many fingers do people have}?", "People have ten fingers, five on each hand."),
    ("{How many toes do I have|How many toes does a person have}?", "People have ten toes."),
    ("{How many eyes do you have|How many eyes does a person have|How many eyes do people have}?",
     "People have two eyes. I have none, since I am a model."),
    ("{How many legs does a person have|How many legs do people have|How many legs does a human "
     "have}?",
     "People have two legs."),
    ("{How many legs does a chair have|How many legs does a table have}?", "Mostly four legs."),
    ("{How many wheels does a car have|How many wheels has a car}?", "A car has four wheels."),
    ("{How many wheels does a bicycle have|How many wheels has a bike}?",
     "A bicycle has two wheels."),
    ("{How many letters are in the alphabet|How many letters does the alphabet have}?",
     "The English alphabet has 26 letters."),
    ("{Say the alphabet|What is the alphabet|Tell me the letters of the alphabet|Recite the "
     "alphabet}.",
     "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z"),
    ("{How many planets are there|How many planets go around the sun}?",
     "Eight planets go around the sun."),
    ("{What planet do we live on|Which planet do we live on|What is our planet called}?",
     "We live on the planet Earth."),
    ("{What is the largest animal|Which animal is the biggest|What is the biggest animal in the "
     "world}?",
     "The blue whale is the largest animal."),
    ("{What is the tallest animal|Which animal is the tallest|Which animal has the longest neck}?",
     "The giraffe is the tallest animal."),
    ("{What is the fastest animal on land|Which animal is the fastest|What is the fastest animal}?",
     "The cheetah is the fastest animal on land."),
    ("{What is the highest mountain|Which mountain is the highest|What is the tallest mountain}?",
     "Mount Everest is the highest mountain."),
    ("{What do bees make|What do bees do}?", "Bees make honey."),
    ("{What does a cow give|What do cows give|Where does milk come from}?",
     "Milk comes from cows."),
    ("{What comes from a hen|Where do eggs come from|What do hens give}?", "Eggs come from hens."),
    ("{How many colours does a rainbow have|What are the colours of the rainbow|Which colours are "
     "in a rainbow|Name the colours of the rainbow}?", "Red, orange, yellow, green, blue, indigo "
                                                       "and violet."),
    ("{Name some colours|Name three colours|Tell me some colours|Which colours do you know|List "
     "some colours}.", "Red, blue, green, yellow, orange and purple."),
    ("{Name some animals|Name three animals|Tell me some animals|Which animals do you know|List "
     "some animals}.", "{Cat, dog, horse, fox and owl.|Bear, mouse, duck, whale and bee.}"),
    ("{Name some fruits|Name three fruits|Tell me a fruit|Which fruits do you know}.",
     "Apple, banana, cherry, orange and plum."),
    ("{Where does the sun rise|Where does the sun come up}?", "The sun rises in the east."),
    ("{Where does the sun set|Where does the sun go down}?", "The sun sets in the west."),
    ("{What do we breathe|What do people breathe}?", "We breathe air."),
    ("{What do plants need|What does a plant need to grow}?", "Plants need water, light and air."),
    ("{When does water freeze|At what temperature does water freeze}?",
     "Water freezes at 0 degrees "
     "Celsius."),
    ("{When does water boil|At what temperature does water boil}?",
     "Water boils at 100 degrees Celsius."),
    ("{What is a dozen|How many is a dozen|How many eggs are in a dozen}?", "A dozen is twelve."),
    ("{How many continents are there|How many continents does the world have}?",
     "There are seven continents."),
    ("{What is bigger, a mouse or an elephant|Which is bigger, an elephant or a mouse}?",
     "An elephant is bigger than a mouse."),
    ("{What is bigger, the sun or the moon|Which is bigger, the sun or the moon}?",
     "The sun is bigger than the moon."),
    ("{What is heavier, a stone or a feather|Which is heavier, a feather or a stone}?",
     "A stone is heavier than a feather."),
    ("{What is faster, a car or a snail|Who is faster, a snail or a horse}?", "Not the snail."),
]  # fmt: skip
WHY: list[tuple[str, str]] = [
    ("{Why is the sky blue|Why does the sky look blue|Can you tell me why the sky is blue}?",
     "The air scatters blue light more than red light, so the sky looks blue."),
    ("{Why is grass green|Why are leaves green|Why are plants green}?",
     "Plants have a green substance that catches sunlight."),
    ("{Why is the sea salty|Why is sea water salty}?", "Rivers carry salt from the stones to the "
                                                       "sea."),
    ("{Why do birds sing|Why does a bird sing}?", "Birds sing to find a partner and to keep others "
                                                  "away."),
    ("{Why do we sleep|Why do people sleep|Why do I need sleep}?",
     "Body and mind rest while we sleep."),
    ("{Why do we eat|Why do people eat|Why do I have to eat}?", "Food gives us energy."),
    ("{Why does it rain|Where does rain come from|How does rain come}?",
     "Water rises from the sea, becomes clouds and falls as rain."),
    ("{Why is it dark at night|Why is the night dark}?",
     "At night our side of the earth looks away from the sun."),
    ("{Why is it cold in winter|Why is winter cold}?",
     "In winter the sun stands low and shines for a shorter time."),
    ("{Why do cats purr|Why does a cat purr}?", "Cats purr mostly when they feel well."),
    ("{Why do dogs bark|Why does a dog bark}?", "Dogs bark to warn, to greet or to play."),
    ("{Why do leaves fall|Why do trees lose their leaves}?",
     "Trees drop their leaves in autumn to save water in winter."),
    ("{Why does ice float|Why does ice swim on water}?", "Ice is lighter than water, so it "
                                                         "floats."),
    ("{Why do bees like flowers|Why do bees visit flowers}?", "Bees collect nectar from flowers."),
]  # fmt: skip
