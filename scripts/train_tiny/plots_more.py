"""More plots, in the manner of plots.py: wishes, journeys, mistakes, surprises and jokes."""

from plots import FEAR, FRIGHT, LOST, RACE, SHARING, STORM, Beats

WISH: Beats = [
    [
        "One day <he> found <thing_a> {in the grass|under a stone|behind the house}.",
        "While <he> was walking home, <he> saw <thing_a> lying on the path.",
    ],
    [
        '"I am magic," said <thing>. "I will give you one wish."',
        'When <he> touched it, a small voice said, "You may make one wish."',
    ],
    [
        "<hero> thought of {gold|a palace|a mountain of cakes|wings}. What should <he> wish for?",
        "<hero> could not sleep that night. There were so many things to wish for!",
    ],
    [
        "The next morning <he> met <friend_a>, who was {sick|very sad|lame and tired}.",
        "On the way to the market <he> saw <friend_a> sitting alone and crying.",
    ],
    [
        '"What has happened?" asked <hero>. "I cannot go home any more," said <friend>.',
        '"I have nobody in the whole world," said <friend>.',
    ],
    [
        'Then <hero> knew what to do. "I wish that <friend> may be happy again," <he> said.',
        "<hero> did not think of gold any longer. <he> used <his> wish for <friend>.",
    ],
    [
        "There was a flash of light, and <friend> jumped up and danced.",
        "The wind sang, the air was full of {stars|petals|light}, and <friend> began to laugh.",
    ],
    [
        "The magic was gone now, but <hero> did not mind. <he> had a friend.",
        '"You could have had everything," said <friend>. "I have," said <hero>.',
    ],
]

BUILD: Beats = [
    [
        "<hero> had a dream: <he> wanted to {fly|cross the water|see the other side of the hills}.",
        "Every day <hero> looked at the sky and wanted to {fly|touch the clouds}.",
    ],
    [
        "So <he> began to build a {machine|boat with wings|flying chair} out of wood and "
        "<thing_a>.",
        "<he> took some wood, a rope and <thing_a>, and began to build a {flying machine|strange "
        "boat}.",
    ],
    [
        "The first one {broke|fell apart} after {a minute|three steps}.",
        "The first try was a disaster. It {sank|fell into the mud} with a big splash.",
    ],
    [
        '"It will never work," said the neighbours.',
        "Everybody laughed, and <hero> went home and {cried a little|kicked a stone}.",
    ],
    [
        'Only <friend_a> did not laugh. "Show me your plan," <fhe> said.',
        'Then <friend_a> came to the door. "May I help?" <fhe> asked.',
    ],
    [
        '"You have put <thing> on the wrong side," said <friend>. They worked all night.',
        "Together they tried again, and again, and once more. <thing> went to the very top.",
    ],
    [
        "And on the {seventh|tenth|third} morning it worked! Up they went, over trees and "
        "rooftops.",
        "Then came a good wind, and they rose higher and higher, until the houses looked like "
        "toys.",
    ],
    [
        '"How did you do it?" people asked. "We made mistakes until there were none left," '
        "said <hero>.",
        'From above the world was round and green. "It is even better with two," said <hero>.',
    ],
]

BIRTHDAY: Beats = [
    [
        "It was <his> birthday, but nobody said a word about it.",
        "<hero> woke up early, for it was <his> birthday. But the house was empty.",
    ],
    [
        '<he> went to see <friend_a>. "I have no time today," said <friend> and shut the door.',
        '<he> met <friend_a> on the road, but <friend> only said, "Good morning," and hurried on.',
    ],
    [
        '<hero> was very sad. "They have all forgotten me," <he> thought.',
        "<he> sat down on a bench and counted the clouds. Nobody came.",
    ],
    [
        "When it grew dark, <he> walked home slowly.",
        "At last the sun went down, and <he> went home with a heavy heart.",
    ],
    [
        "But what was that? There was light in <his> window, and somebody was whispering.",
        "In front of the door <he> stopped. Inside, somebody was laughing!",
    ],
    [
        '"Surprise!" everybody shouted. There were {candles|lanterns|flowers}, music and a huge '
        "cake.",
        'The door flew open. "Happy birthday!" they all sang.',
    ],
    [
        '<friend> came forward with <thing_a>. "I worked on it all day," <fhe> said.',
        'In the middle of the table lay <thing_a>. "It is from me," said <friend>.',
    ],
    [
        "<hero> laughed and cried at the same time. It was the best birthday of <his> life.",
        "They danced until midnight, and <hero> never again thought that <he> was alone.",
    ],
]

MOON: Beats = [
    [
        "Every night <hero> looked up at the moon and wanted to have it.",
        '"I want to catch a star," said <hero> one evening.',
    ],
    [
        "<he> climbed the highest hill and stretched out <his> hand, but the sky was too far away.",
        "First <he> climbed a tree, then a roof, and then a mountain, but it was never high "
        "enough.",
    ],
    [
        'On the top sat <friend_a>. "What are you doing up here?" asked <friend>.',
        "There <he> met <friend_a>, who was looking at the sky too.",
    ],
    [
        '"I want to take that light home," said <hero>.',
        '"I need a light for my dark little room," said <hero>.',
    ],
    [
        '<friend> smiled and took out <thing_a>. "Come with me to the water," <fhe> said.',
        '"I know a way," said <friend>. <fhe> had <thing_a> in <fhis> bag.',
    ],
    [
        "They walked down to the pond. There lay the moon, round and white, on the still water.",
        "<friend> held <thing> up high, and in it was the whole sky, small and bright.",
    ],
    [
        '"You cannot own it," said <friend>, "but you can visit it every night."',
        '"The light belongs to everybody," said <friend>, "and so it belongs to you."',
    ],
    [
        "Since then the two of them have met there whenever the sky is clear.",
        "<hero> went home with <thing> under <his> arm and was not sad any more. Good night, moon!",
    ],
]

TRUTH: Beats = [
    [
        "One day <hero> was playing in the house, and crash! <thing> of <friend_a> was broken.",
        "<hero> had borrowed <thing_a> from <friend_a>. But then <he> dropped it, and it broke.",
    ],
    [
        "<he> hid the pieces under the {bed|carpet|stairs} and said nothing.",
        '"Nobody saw me," thought <hero>, and <he> hid the pieces in a box.',
    ],
    [
        "That night <he> could not sleep. The pieces seemed to whisper.",
        "But <he> was not happy. Even {cake|soup|honey} did not taste good any more.",
    ],
    [
        '"Have you seen <thing>?" asked <friend>. "No," said <hero>, and <his> ears became hot.',
        '<friend> looked everywhere for <thing>. "Perhaps the wind took it," said <hero>.',
    ],
    [
        "The lie became heavier and heavier, like a bag full of stones.",
        "Every day it was harder to look <friend> in the eyes.",
    ],
    [
        'At last <he> went to <friend>. "It was me," <he> said. "I broke it, and I am sorry."',
        'Finally <hero> could not bear it. "I broke <thing>," <he> cried, "and I told a lie."',
    ],
    [
        '<friend> was silent for a moment. "I knew it," <fhe> said. "But I wanted to hear it '
        'from you."',
        '<friend> was not angry. "Things break," <fhe> said. "The truth repairs a lot."',
    ],
    [
        "They glued the pieces together. There was a line where it had been broken, and that was "
        "the most beautiful part.",
        "That night <hero> slept like a stone, and <he> never hid a mistake again.",
    ],
]

NEIGHBOUR: Beats = [
    [
        "One day a new neighbour moved into the empty house. It was <friend_a>.",
        "Nobody had ever seen a neighbour like this: it was <friend_a>!",
    ],
    [
        "<friend> never said a word, and every evening a strange light burned in <fhis> window.",
        "Every night there were strange noises behind <fhis> door: tick, tock, bang!",
    ],
    [
        '"I think <fhe> is dangerous," said the baker. "Stay away!" said the teacher.',
        "People told each other wild stories about <fhim>.",
    ],
    [
        "But <hero> was curious. <he> knocked at the door with {a cake|a pot of soup|some "
        "flowers}.",
        "<hero> did not believe the stories. One evening <he> went and looked through the window.",
    ],
    [
        "There sat <friend>, working on <thing_a> by the light of a candle.",
        "Inside stood a long table, and on it lay <thing_a>.",
    ],
    [
        '"It is a present for all of you," said <friend> shyly. "I am not good at talking."',
        '"I only wanted to make something nice," said <friend>, "but I did not know how to begin."',
    ],
    [
        "<hero> took <fhim> by the hand and led <fhim> to the {market|square|well}.",
        "The next day <hero> invited everybody and told them the truth.",
    ],
    [
        "They all admired <thing>, and <friend> was never alone again.",
        '"We were wrong," said the baker, and that was the beginning of many friendships.',
    ],
]

RIDDLE: Beats = [
    [
        "One day <hero> found an old map. It showed the way to a treasure: <thing_a>.",
        "<his> grandfather had often told <him> about a hidden treasure, and about <thing_a>.",
    ],
    [
        "<he> walked through {a dark wood|a long tunnel|high grass} until <he> came to a gate.",
        "After {three|five|nine} days <he> stood in front of a great iron gate.",
    ],
    [
        'In front of it sat <friend_a>. "Nobody may pass without an answer," said <friend>.',
        'It was guarded by <friend_a>. "First you must solve my riddle," said <friend>.',
    ],
    [
        '"What has {a face|two hands} but cannot smile?" <hero> thought and thought. "A '
        'clock!" <he> cried.',
        '"What becomes bigger the more you take away?" "A hole!" said <hero>.',
        '"What has teeth but never bites?" <hero> laughed. "A comb!"',
    ],
    [
        '"Right," said <friend>. "In a hundred years nobody has known that."',
        "<friend> nodded slowly, and the gate opened with a creak.",
    ],
    [
        "Behind the gate there was no gold at all. There was only <thing>, covered with dust.",
        "The room was empty, but for <thing>, which stood in a ray of light.",
    ],
    [
        '"Is that all?" asked <hero>. "It has waited for somebody who thinks," said <friend>.',
        '"And I?" asked <friend>. "I have been alone here for so long." "Come with me," said '
        "<hero>.",
    ],
    [
        "They went home together, and on the way they asked each other one riddle after another.",
        "<hero> took <thing> home, but the real treasure was <his> new friend.",
    ],
]

SILLY: Beats = [
    [
        "<hero> had a problem: <his> {nose|hat|left foot|tail} wanted to dance all the time.",
        "One day <hero> woke up and could only {sing|speak in rhymes|walk backwards}.",
    ],
    [
        "<he> went to <friend_a>, who knew a lot about such things.",
        '"You must ask <friend_a>," said the postman, and so <he> did.',
    ],
    [
        '"That is easy," said <friend>. "You must put <thing_a> on your head."',
        '<friend> looked into a thick book. "Aha! You need <thing_a> and three onions."',
    ],
    [
        "So <hero> put <thing> on <his> head and walked through the streets.",
        "<hero> found it all, mixed it in a pot and stirred with <thing>.",
    ],
    [
        "A cow began to laugh. Then the whole {street|farm|town} laughed.",
        "There was a loud bang, and everything turned {purple|pink|green with yellow dots}.",
    ],
    [
        '"It does not help!" cried <hero>. "No," said <friend>, "but it looks very funny."',
        '"Oh," said <friend>. "I was reading the book upside down."',
    ],
    [
        "Then <hero> had to laugh <him>self, so loudly that the problem was gone.",
        "<hero> laughed until <his> belly hurt, and suddenly everything was as before.",
    ],
    [
        "And <thing>? It still dances on Tuesdays.",
        "Since then they have eaten soup together every Friday, always with <thing> on the table.",
    ],
]

HEALING: Beats = [
    [
        "One winter <friend_a>, <his> best friend, became very sick.",
        "<hero> had a friend, <friend_a>, and one day <friend> could not get up any more.",
    ],
    [
        '"Only the blue flower from the high mountain can help," said the doctor.',
        '"There is a spring behind seven hills," said the old doctor. "Its water can help."',
    ],
    [
        "<hero> put on <his> coat, took <thing_a> and set out at once.",
        '"Take <thing_a> with you," whispered <friend>. So <hero> took it and went.',
    ],
    [
        "It snowed, and the path was {steep|narrow|hard to see}, but <he> went on.",
        "<he> crossed a {frozen river|dark wood}, and the wind was as sharp as a knife.",
    ],
    [
        "When <he> wanted to give up, <he> looked at <thing> and thought of <friend>.",
        "In the dark, <thing> was the only thing that gave <him> hope.",
    ],
    [
        "At last <he> found it, and ran all the way back without a rest.",
        "Early in the morning <he> found what <he> had been looking for, and hurried home.",
    ],
    [
        "<friend> drank a little, slept for a day and a night, and then opened <fhis> eyes.",
        "Soon the colour came back into <fhis> face, and <fhe> smiled.",
    ],
    [
        '"You came back," said <friend>. "Of course," said <hero>. "That is what friends do."',
        "In spring they danced in the grass together, and <thing> got a place of honour.",
    ],
]

JOURNEY: Beats = [
    [
        "<hero> had never left home, but <he> had always wanted to see the {world|big city|ocean}.",
        '"What is behind the hills?" asked <hero> every day, but nobody knew.',
    ],
    [
        "So one morning <he> packed <thing_a> and some bread, and walked away.",
        "One day <he> said goodbye, took <thing_a> and followed the road.",
    ],
    [
        "On the first day it rained. On the second day <his> shoes had holes.",
        "The road went up and down, and <he> was tired and a little homesick.",
    ],
    [
        'At a crossroads <he> met <friend_a>. "Which way is the right one?" asked <hero>.',
        "Under a tree sat <friend_a> with a sore foot. <hero> sat down too.",
    ],
    [
        '"The one with a friend," said <friend>, and so they went on together.',
        "They shared the bread, and <friend> told <him> about {whales|far countries|the stars}.",
    ],
    [
        "They saw {ships with white sails|a bridge as long as a day|a market full of spices} and "
        "{mountains made of ice|houses on legs|a waterfall}.",
        "They slept in barns, swam in cold rivers and learned {seven songs|to whistle|to cook}.",
    ],
    [
        "Once they were lost in the fog, but <thing> helped them to find the way.",
        "When they had no money left, they showed <thing> to the people and got soup for it.",
    ],
    [
        'After a year <hero> came home. "What did you find?" they asked. "That I like to leave, '
        'and that I love to come back," <he> said.',
        "When they came back at last, the house was smaller than before, and everything was good.",
    ],
]

PLOTS: dict[str, Beats] = {
    "lost": LOST, "storm": STORM, "fear": FEAR, "sharing": SHARING, "fright": FRIGHT,
    "race": RACE, "wish": WISH, "build": BUILD, "birthday": BIRTHDAY, "moon": MOON,
    "truth": TRUTH, "neighbour": NEIGHBOUR, "riddle": RIDDLE, "silly": SILLY,
    "healing": HEALING, "journey": JOURNEY,
}  # fmt: skip
