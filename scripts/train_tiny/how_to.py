"""How to do something with localmix: the ways to ask, and the command that does it."""

HOW = (
    "{How do I|How do I|How can I|How to|How would I|What do I type to|Which command do I use "
    "to|What is the command to|Show me how to|I want to|Tell me how to|Please tell me how to|How "
    "does one|What should I type to|Can you tell me how to|Is it possible to|How do you|How could "
    "I|I would like to|||}"
)
# Slots: m a model of the catalog, with a capital in some questions.
HOW_TO: list[tuple[str, str]] = [
    (
        "{download|get|install|pull|fetch|load down|obtain|save|add} {<m>|<m>|the <m> model|the "
        "model <m>|the weights of <m>}{| to my computer| here| with localmix| on my machine}",
        "{Type|Run|Use} `localmix pull <m>`. {It downloads the model, and you can stop and go on "
        "later.|The download is verified, and it continues after a break.|Then start it with "
        "`localmix run <m>`.}",
    ),
    (
        "{download|get|install|pull|fetch|add} {a model|models|a new model|another model|some "
        "model|weights|a bigger model}{| with localmix}",
        "{Type|Run|Use} `localmix pull` and the name, such as `localmix pull mistral`.",
    ),
    (
        "{run|start|use|chat with|talk to|open|try|launch|speak with|ask} {<m>|<m>|the <m> "
        "model|the model <m>}{| here| with localmix| on my computer| on my laptop}",
        "{Type|Run|Use} `localmix run <m>`. {It opens the chat.|The chat opens, and /bye leaves "
        "it.|It needs no GPU.}",
    ),
    (
        "{run|start|use|chat with|talk to|open} {a model|a chat|the chat|one of the models|a "
        "language model}{| with localmix| on my computer}",
        "{Type|Run|Use} `localmix run` and the name, such as `localmix run mistral`.",
    ),
    (
        "{ask one question|get one answer|use it without the chat|ask a single question|use a "
        "prompt on the command line|get an answer without opening the chat}",
        "Give the question as well: `localmix run mistral \"Why is the sky blue?\"`.",
    ),
    (
        "{list|see|show|find|view|look at} {my models|the models|all models|which models I "
        "have|the installed models|what is installed|the downloaded models|my downloaded "
        "models|the local models}",
        "{Type|Run|Use} `localmix list`. {It shows every model on this computer.|It shows name, "
        "size and origin.}",
    ),
    (
        "{remove|delete|uninstall|erase|get rid of|throw away|drop} {<m>|<m>|the <m> model|the "
        "model <m>}{| again| from my computer| from the disk}",
        "{Type|Run|Use} `localmix rm <m>`. {It frees the disk.|Then it is gone from the list.}",
    ),
    (
        "{remove|delete|uninstall|erase|get rid of} {a model|models|an old model|one of my models}"
        "{| again}",
        "{Type|Run|Use} `localmix rm` and the name, such as `localmix rm mixtral`.",
    ),
    (
        "{know whether|find out if|see if|check whether|check if|test if} {<m>|the <m> model} "
        "{fits|will run here|runs here|fits into my memory|works on this computer|will run on my "
        "laptop|is too big}",
        "{Type|Run|Use} `localmix fit <m>`. It says whether it runs here, how fast, and which "
        "quantization is better.",
    ),
    (
        "{see details of|show|inspect|see the configuration of|look into|get information on|read "
        "about} {<m>|a model|the <m> file|the <m> model}{| file}",
        "{Type|Run|Use} `localmix show <m>`. It shows architecture, size, quantization and more.",
    ),
    (
        "{measure the speed|measure tokens per second|test the speed|do a benchmark|benchmark "
        "<m>|bench a model|see how fast it is|measure how fast <m> is|run a benchmark}",
        "{Type|Run|Use} `localmix bench <m>`. It measures tokens per second against the limits of "
        "this machine.",
    ),
    (
        "{set|change|choose|lower|raise} {the temperature|temperature}",
        "Add `--temperature`, such as `localmix run <m> --temperature 0.5`. With 0 the answer is "
        "always the same. In the chat, type /set temperature 0.5.",
    ),
    (
        "{set|change|choose|fix|give} {the seed|a seed|the random seed}",
        "Add `--seed`, such as `localmix run <m> --seed 7`. The same seed gives the same answer.",
    ),
    (
        "{get the same answer twice|make the answers repeatable|get the same answer every "
        "time|make it deterministic|have always the same output}",
        "Use `--temperature 0`, or give a seed with `--seed 7`.",
    ),
    (
        "{set|give|change|use|write|add} {a system prompt|the system prompt|a system message|"
        "instructions for the model}",
        "Add `--system`, such as `localmix run <m> --system \"Answer in one sentence.\"`. In the "
        "chat, type /system and the text.",
    ),
    (
        "{leave|exit|quit|end|close|get out of|stop} {the chat|this chat|localmix|the program|the "
        "conversation|this}",
        "Type /bye{ to leave the chat| and press Enter|}.",
    ),
    (
        "{stop|interrupt|cancel|break off|halt} {an answer|the answer|a long answer|the output|the "
        "model|it while it writes|the generation}",
        "Press Ctrl-C{ to stop the answer|}. To leave the chat, type /bye.",
    ),
    (
        "{limit the length|get shorter answers|make the answers shorter|limit the number of "
        "tokens|set the maximal length}",
        "Add `--max-tokens`, such as `localmix run <m> --max-tokens 100`.",
    ),
    (
        "{use localmix from Python|use it from Python|call localmix in Python|use the Python "
        "interface|import localmix|use it in my program|use localmix in my own code|write a Python "
        "program with it|load a model in Python}",
        "Write: import localmix; model = localmix.load(\"tiny\"). Then model.chat and "
        "model.generate give the text, piece by piece.",
    ),
    (
        "{choose|set|change} {the number of threads|how many threads it uses|the threads|how many "
        "cores it uses}",
        "Add `--threads`, such as `localmix run <m> --threads 4`.",
    ),
    (
        "{change|set|choose|make} {the context size|the context length|a longer context|the "
        "context}",
        "Add `--ctx`, such as `localmix run <m> --ctx 8192`.",
    ),
    (
        "{search for models|find models|find a model|look for other models|search the Hub|find "
        "more models}",
        "{Type|Run|Use} `localmix search` and some words.",
    ),
    (
        "{use my own file|open a GGUF file|run a GGUF file|run my own model|load a file from "
        "disk|import a GGUF file|use a file that I have}",
        "Give the path: `localmix run model.gguf`. With `localmix import` it gets a place in the "
        "list, without a second copy.",
    ),
    (
        "{clear the chat|start a new conversation|forget what was said|clear the history|begin "
        "again}",
        "Type /clear in the chat.",
    ),
    (
        "{see the commands of the chat|get help in the chat|see what I can type|see all chat "
        "commands}",
        "Type /help in the chat.",
    ),
    (
        "{get help|see all commands|see the options|read the help|get help on a command}{| of "
        "localmix}",
        "{Type|Run|Use} `localmix --help`. Every command has its own help too.",
    ),
    (
        "{find out what is wrong|check my installation|see what my machine has|diagnose a "
        "problem|check my machine}{| with localmix}",
        "{Type|Run|Use} `localmix doctor`. It says what this machine has and what is wrong.",
    ),
    (
        "{update|renew} {a model|my models|the models|<m>}",
        "{Type|Run|Use} `localmix update`, and `localmix outdated` to see what is old.",
    ),
    (
        "{write several lines|write a long message|send many lines|paste more than one line}",
        "Type three quotation marks, your lines, and three quotation marks again.",
    ),
    (
        "{repeat the last answer|get another answer|ask for a new answer|try the last answer "
        "again}",
        "Type /retry in the chat.",
    ),
    (
        "{save the chat|save this conversation|keep this chat|store the conversation}",
        "Type /save in the chat, and /load to get it back.",
    ),
    (
        "{compile the kernels|warm up|make the first start faster|prepare the kernels}",
        "{Type|Run|Use} `localmix warmup`. It compiles the kernels now.",
    ),
    (
        "{compute perplexity|measure the perplexity|measure perplexity of a text}",
        "{Type|Run|Use} `localmix perplexity`, the model and a text file.",
    ),
]  # fmt: skip
