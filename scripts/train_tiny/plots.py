"""The plots of the stories: each a list of beats, each beat a list of sentences to choose from.

Slots: hero (name or "the fox"), hero_long ("a shy fox named Finn"), he him his of the hero;
friend ("the owl"), friend_a ("an old owl"), fhe fhim fhis of the friend; thing ("the red kite"),
thing_a ("a red kite"); at ("in a forest"), there ("in the forest"). Every plot names all four, so
whatever a prompt asks for appears.
"""

Beats = list[list[str]]

OPENINGS: list[str] = [
    "Once upon a time, <hero_long> lived <at>.",
    "Long ago, <at>, there lived <hero_long>.",
    "There once was <hero_long> who lived <at>.",
    "<at> lived <hero_long>.",
    "One {sunny|quiet|windy|bright} {morning|day|evening}, <hero_long> was sitting <at>.",
    "Many years ago, <hero_long> had a small {house|home} <at>.",
]

LOST: Beats = [
    [
        "<hero> loved <thing_a> more than anything else.",
        "The best thing <he> had was <thing_a>.",
        "<his> grandmother had given <him> <thing_a>, and <he> took it everywhere.",
    ],
    [
        "One {morning|day|evening}, it was gone.",
        "Then one {rainy|windy|cold} day, <he> could not find it anywhere.",
        "But one day <hero> looked into <his> {pocket|bag}, and it was empty.",
    ],
    [
        "<he> looked under the bed, behind the door and even in the soup pot.",
        "<hero> looked {high and low|everywhere}, but found only {dust|an old sock|three leaves}.",
        "<he> walked back along the path and looked behind every {stone|bush|tree}.",
    ],
    [
        'On the way <he> met <friend_a>. "Why are you so sad?" asked <friend>.',
        'Soon <friend_a> came by and asked, "What are you looking for?"',
    ],
    [
        '"I have lost <thing>," said <hero>.',
        '"<thing> is gone," said <hero> {quietly|with a sigh|and began to cry}.',
    ],
    [
        '"Think back," said <friend>. "Where were you happy yesterday?"',
        '<friend> thought for a moment. "Let us look together. Four eyes see more than two."',
    ],
    [
        "They went to the old {bridge|well|tree}, and there it was, {shining in the sun|wet but "
        "safe}!",
        "Under the old {bridge|oak tree|bench} something was shining. It was <thing>!",
        "And there, high up in {a bird's nest|an apple tree}, they saw <thing>!",
    ],
    [
        "<hero> laughed and hugged <friend>. From that day on, they were best friends.",
        '"Thank you!" said <hero>. <he> had found <his> treasure, and a friend too.',
        "That night <hero> slept well, for a friend is worth more than any treasure.",
    ],
]

STORM: Beats = [
    [
        "One evening the sky turned {black|dark grey|as dark as ink}, and the wind began to "
        "{howl|sing|blow}.",
        "One day a great storm came. The wind {pulled at the trees|shook every door}.",
    ],
    [
        "<hero> closed the window and lit a {candle|small fire}.",
        "<hero> was safe at home, with a cup of hot tea.",
    ],
    [
        "Then <he> heard a {knock|voice} outside. It was <friend_a>, wet and cold.",
        "Suddenly somebody called for help. <friend_a> was out there in the rain!",
    ],
    [
        '"My roof is gone," said <friend>. "I could save only <thing_a>."',
        '"I cannot find my way," said <friend>, holding <thing_a> in the dark.',
    ],
    [
        "<hero> was {a little afraid|tired}, but <he> did not wait. <he> opened the door wide.",
        '"Come in, come in!" called <hero>. "There is room for two."',
    ],
    [
        "They shared {soup|bread and honey|a warm blanket} and told stories until the storm "
        "was over.",
        "All night they sat by the fire, and the storm seemed {smaller|far away}.",
    ],
    [
        "In the morning the sun came out, and together they repaired what was broken.",
        "The next day everybody helped to {clean up|build a new roof}.",
    ],
    [
        '<friend> gave <hero> <thing>. "So that you remember this night," <fhe> said. And '
        "<hero> never forgot it.",
        "<thing> stood by the window from then on, and whoever saw it knew that a friend was near.",
        "And whenever the wind blew again, neither of them was alone.",
    ],
]

FEAR: Beats = [
    [
        "<hero> was afraid of {the dark|deep water|high places|thunder|loud noises}, but <he> told "
        "nobody.",
        "Everybody thought that <hero> was {brave|very brave}, but <he> had a secret: <he> was "
        "afraid of {the dark|deep water|high places|strangers}.",
    ],
    [
        'One day <friend_a> came running. "Please help me!" <fhe> cried.',
        'Then one night <friend_a> knocked at the door. "I need you," <fhe> said.',
    ],
    [
        '"My <thing_noun> has fallen into the old well, and I cannot reach it."',
        '"I have left my <thing_noun> in the dark cave, and I cannot go alone."',
    ],
    [
        "<hero> felt <his> knees shake. {<he> wanted to hide.|<he> wanted to say no.}",
        "<hero>'s heart beat fast, as fast as a drum.",
    ],
    [
        'But <he> looked at <friend> and took a deep breath. "I will come," <he> said.',
        '"I am afraid," said <hero>. "So am I," said <friend>. "Let us be afraid together."',
    ],
    [
        "Step by step they went, and <hero> {sang a little song|counted every step} all the way.",
        "They went slowly, hand in hand, and the fear became smaller with every step.",
    ],
    [
        "At last <he> reached out and held <thing> in <his> hands.",
        "And there was <thing>! <hero> lifted it high over <his> head.",
    ],
    [
        '"You are the bravest one I know," said <friend>. <hero> smiled, for now <he> knew that '
        "to be brave is to go on although you are afraid.",
        "From that day on, <hero> was still a little afraid sometimes, but <he> never let it stop "
        "<him>.",
    ],
]

SHARING: Beats = [
    [
        "It was a {long|hard|cold} winter, and <hero> had only one {loaf of bread|pie|pot of "
        "soup} left.",
        "One day <hero> baked a big {cake|pie|bread}. It smelled wonderful.",
    ],
    [
        "<he> put it beside <thing_a> on the table and wanted to begin.",
        '<he> sat down, put <thing_a> on the table and said, "All this is for me."',
    ],
    [
        "Then came a knock at the door. <friend_a> stood there, thin and tired.",
        "Just then <friend_a> looked in at the window with big eyes.",
    ],
    [
        '"I have walked a long way and I am so hungry," said <friend>.',
        '"That smells good," said <friend>. "I have not eaten since yesterday."',
    ],
    [
        "<hero> looked at the food. It was not much. <he> thought about it for a while.",
        "At first <hero> wanted to close the door. But then <he> felt sorry.",
    ],
    [
        '"Half of it is yours," <he> said at last.',
        "<he> cut it into two parts and gave <friend> the bigger one.",
    ],
    [
        "They ate and talked and laughed until the {moon|stars} came out.",
        "It was strange: half a meal with a friend tasted better than a whole one alone.",
    ],
    [
        "In spring <friend> came back with a basket full of {apples|berries|nuts}, and they ate "
        "those together too.",
        'Before <fhe> left, <friend> repaired <thing>, and it was better than before. "What you '
        'give comes back," <fhe> said.',
        "From then on there were always two plates on the table.",
    ],
]

FRIGHT: Beats = [
    [
        "Everybody <there> was afraid of <friend_a>.",
        'Every night a terrible noise came from the hills. "It is <friend_a>!" people said.',
    ],
    [
        '"Somebody must go and talk to <fhim>," said <hero>. But nobody wanted to go.',
        'Nobody dared to go outside after dark. "This must end," said <hero>.',
    ],
    [
        "So <hero> took <thing_a> and some bread and went alone.",
        "<he> packed a small bag, put <thing_a> into it and set out at sunrise.",
    ],
    [
        "<he> walked for {two|three|seven} days, over {stones and streams|hills and fields}.",
        "The way was long, and the night was cold, but <he> did not turn back.",
    ],
    [
        "At last <he> found <friend>, who was sitting {under a tree|on a rock} and crying.",
        "And there sat <friend>, not wild at all, but very sad.",
    ],
    [
        '"Why do you make such a noise?" asked <hero>. "Because my {tooth|foot|head} hurts," '
        "said <friend>.",
        '"Why are you crying?" asked <hero>. "Because nobody ever visits me," said <friend>.',
    ],
    [
        "<hero> sat down, shared <his> bread and gave <fhim> <thing>. <friend> smiled for the "
        "first time in years.",
        '"Then I will be your friend," said <hero>, and gave <fhim> <thing>.',
    ],
    [
        "They came back together, and everybody was surprised. Nobody was afraid any more.",
        "After that the nights were quiet, and on Sundays <friend> came to tea.",
    ],
]

RACE: Beats = [
    [
        "Every year there was a great race, and the prize was <thing_a>.",
        "One day there was a race. The winner would get <thing_a>.",
    ],
    [
        "<hero> trained every day, in sun and in rain.",
        "<hero> was not fast, but <he> wanted to try.",
    ],
    [
        '"You will never win," laughed <friend_a>. "I am much faster."',
        '<friend_a> wanted to win as well. "Look at my legs," <fhe> said proudly.',
    ],
    [
        "The race began. <friend> ran away like the wind, and <hero> was far behind.",
        '"One, two, three, go!" They ran over the {hill|bridge|field}, and <friend> was first.',
    ],
    [
        "But near the end <friend> fell over a stone and hurt <fhis> foot.",
        "Then, shortly before the end, <friend> fell into a deep hole and could not get out.",
    ],
    [
        '<hero> could have run past and won. But <he> stopped. "Give me your hand," <he> said.',
        "<hero> saw the finish. <hero> saw <friend>. Then <he> turned around and helped.",
    ],
    [
        "They crossed the line together, very slowly and the last of all.",
        "Side by side they came in, long after all the others.",
    ],
    [
        "Everybody cheered, and the two of them got <thing> for the kindest run of the day.",
        "The prize went to somebody else, but <friend> made <thing_a> out of paper for <hero>, "
        "and <he> liked that one much more.",
    ],
]
