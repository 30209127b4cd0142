"""Questions about localmix itself, with true answers in the words of its public interface."""

import random

from grammar import capital, expand
from how_to import HOW, HOW_TO

MODEL = ("mixtral", "mistral")
NAMES = ("mixtral", "mistral", "tiny")
QUESTIONS: list[tuple[str, str]] = [
    (
        "{What is localmix|What's localmix|Explain localmix|Tell me about localmix|What does "
        "localmix do|What can localmix do|Describe localmix|What do I need localmix for|What is "
        "localmix for|What kind of program is localmix|localmix}",
        "localmix runs language models such as Mistral and Mixtral on your own computer. {It needs "
        "no GPU.|It is written in Python.|You need no GPU and no compiler.}",
    ),
    (
        "{What is Mixtral|Explain Mixtral|Tell me about Mixtral|What's Mixtral|What is mixtral "
        "8x7b|Describe Mixtral|What do you know about Mixtral|What kind of model is Mixtral}",
        "Mixtral is a language model with eight experts in each layer. Two of them work for each "
        "token, so it is large, but fast.",
    ),
    (
        "{What is Mistral|Explain Mistral|Tell me about Mistral|What's Mistral|What is mistral "
        "7b|Describe Mistral|What do you know about Mistral|What kind of model is Mistral}",
        "Mistral is a language model with 7 billion parameters. {Start it with `localmix run "
        "mistral`.|It is a good first model for a laptop.}",
    ),
    (
        "{What is tiny|What is the tiny model|Tell me about tiny|What's tiny|Explain the tiny "
        "model|Why is there a tiny model|What is tiny good for|Why are you so small|What is the "
        "embedded model}",
        "tiny is a Mixtral in miniature that comes with localmix. {It shows that everything works, "
        "without a download.|It tells stories and does small sums.}",
    ),
    (
        "{What is an expert|What are experts|What is a mixture of experts|Explain experts|What "
        "does an expert do|What do the experts do|What are experts in a model|How do experts "
        "work|What is MoE|Explain mixture of experts|What is sparse mixture of experts}",
        "An expert is a part of a layer. A router sends each token to the two best of eight "
        "experts, so only a part of the model works at a time.",
    ),
    (
        "{How many experts do you have|How many experts does Mixtral have|How many experts are "
        "there|How many experts work for a token|How many experts are used}",
        "Eight in each layer, and two of them work for each token.",
    ),
    (
        "{What is the router|What does the router do|What is a router|How are experts chosen|Who "
        "chooses the experts|How does the model choose an expert}",
        "The router looks at each token and chooses the two best of eight experts.",
    ),
    (
        "{What is a sliding window|What is the sliding window|Explain the sliding window|What is "
        "sliding window attention|What does sliding window mean|What does the window do|Tell me "
        "about the sliding window}",
        "With a sliding window, each token looks back at only the last tokens, not at all of them. "
        "It saves memory.",
    ),
    (
        "{What is GGUF|What's GGUF|Explain GGUF|What is a GGUF file|What does GGUF mean|Tell me "
        "about GGUF|What kind of file is GGUF|gguf}",
        "GGUF is a file format for language models. One file holds the weights, the words and all "
        "settings.",
    ),
    (
        "{What is quantization|Explain quantization|What does quantization mean|What's "
        "quantization|What is a quantized model|Tell me about quantization|Why quantize a "
        "model|What does quantized mean|What is quantisation|Why are models quantized}",
        "Quantization stores the weights with fewer bits. The file becomes much smaller, and the "
        "answers become only a little worse.",
    ),
    (
        "{What is Q4_K_M|What does Q4_K_M mean|What is Q8_0|What does q4 mean|Which quantization "
        "should I take|Which quantization is best|What quantization should I use}",
        "Q4 has about 4 bits per weight, Q8 about 8. Q4_K_M is a good choice for most machines.",
    ),
    (
        "{What is a token|What are tokens|Explain tokens|What does token mean|What's a token}",
        "A token is a piece of text, such as a word or a part of a word.",
    ),
    (
        "{What is a parameter|What are parameters|What are weights|What is a weight|What are the "
        "weights of a model}",
        "Weights, or parameters, are the numbers that a model has learned.",
    ),
    (
        "{What is temperature|What does temperature mean|What does the temperature do|Explain "
        "temperature|What is the temperature of a model}",
        "The temperature says how freely the model chooses. With 0 it always takes the best token.",
    ),
    (
        "{What is a seed|What does the seed do|What is the seed for|Explain the seed}",
        "The seed starts the random numbers. The same seed gives the same answer.",
    ),
    (
        "{What is a system prompt|What does a system prompt do|What is the system prompt|Explain "
        "system prompt}",
        "A system prompt tells the model how to behave. Set it with `--system`.",
    ),
    (
        "{What is the context|What is context length|What does context mean|What is a context "
        "window}",
        "The context is the text that the model can look back at, counted in tokens.",
    ),
    (
        "{Do I need a GPU|Is a GPU needed|Does it need a GPU|Does localmix need a GPU|Do I need a "
        "graphics card|Can I use it without a GPU|Does it run without a GPU|Does it work on a "
        "CPU|Can it use my GPU|Is a graphics card necessary}",
        "No, you need no GPU. localmix runs on the CPU.",
    ),
    (
        "{How fast is localmix|How fast is it|Is localmix fast|How many tokens per second|Is it "
        "fast|How fast are you|How fast will it be|What speed can I expect|Is localmix slow}",
        "That depends on the machine and its memory. `localmix bench` measures it, and `localmix "
        "fit mixtral` tells it before the download.",
    ),
    (
        "{What is localmix written in|In what language is localmix written|Which language is "
        "localmix written in|How is localmix made|Is localmix written in Python|Is there C++ in "
        "localmix|What is it written in|What programming language is used|How is localmix built}",
        "localmix is written in Python. NumPy and Numba do the calculation, and there is no C++ in "
        "it.",
    ),
    (
        "{What is Numba|What does Numba do|Why Numba|Explain Numba}",
        "Numba compiles Python functions for your CPU. localmix uses it for its kernels.",
    ),
    (
        "{What is NumPy|What does NumPy do|Explain NumPy}",
        "NumPy is the Python package for arrays of numbers. localmix uses it.",
    ),
    (
        "{Which models can I use|What models are there|Which models does localmix know|What models "
        "can I run|Which models are supported|What models does localmix support|Which model should "
        "I use|Which model is the best|What model should I try}",
        "Try mistral first, and mixtral if you have enough memory. tiny needs no download. "
        "`localmix search` finds more.",
    ),
    (
        "{How much memory does <m> need|How much RAM do I need for <m>|How big is <m>|How large is "
        "<m>|Does <m> fit into my memory|How much disk does <m> need|Will <m> run here|Can I run "
        "<m>|Can my laptop run <m>|Is my computer good enough for <m>|Does <m> run here|Will <m> "
        "run on my computer|Will it run here|Will <m> fit|Is my machine fast enough for <m>|Is <m> "
        "too big for my computer}",
        "{Ask|Type} `localmix fit <m>`. It tells memory, disk and tokens per second for this "
        "machine.",
    ),
    (
        "{Is localmix free|What does localmix cost|What license does localmix have|Is localmix "
        "open source|How much does localmix cost|Which license has localmix|Can I use localmix for "
        "free|Is it free}",
        "localmix is free, under the Apache 2.0 license.",
    ),
    (
        "{Do you send my data|Is my data private|Does localmix send data|Is it private|Can I use "
        "it offline|Does it work offline|Do I need the internet|Does it work without internet|Is "
        "the internet needed}",
        "The model runs on your own computer, so your words stay there. Only a download needs the "
        "internet.",
    ),
    (
        "{Where are the models stored|Where does localmix keep its models|Where are my models|In "
        "which folder are the models|Where is the store|Can I change the folder of the models}",
        "In the user data folder of your system. LOCALMIX_HOME sets another place.",
    ),
    (
        "{Why is the first start slow|Why does it compile|What are kernels|Why does the first run "
        "take long|What is a kernel|What does it compile}",
        "The kernels are small functions, compiled once for your CPU. After that the start is "
        "fast.",
    ),
    (
        "{Which commands are there|What commands are there|What commands does localmix have|List "
        "the commands|What commands can I use|Name the commands of localmix}",
        "run, pull, list, show, rm, fit, bench, search, import and more. `localmix --help` shows "
        "all.",
    ),
    (
        "{What does localmix run do|What does run do|What is localmix run|What does the run "
        "command do}",
        "`localmix run` and a model opens the chat, or answers once when you give a prompt.",
    ),
    (
        "{What does localmix pull do|What does pull do|What is localmix pull|What does the pull "
        "command do}",
        "`localmix pull` downloads a model and verifies it.",
    ),
    (
        "{What does localmix fit do|What does fit do|What is localmix fit|What does the fit "
        "command do}",
        "`localmix fit` says whether a model will run here, and how fast.",
    ),
    (
        "{What does localmix bench do|What does bench do|What is localmix bench|What does the "
        "bench command do}",
        "`localmix bench` measures tokens per second on this machine.",
    ),
    (
        "{What does localmix list do|What does list do|What is localmix list|What does localmix ls "
        "do}",
        "`localmix list` shows the models on this computer.",
    ),
    (
        "{What does localmix rm do|What does rm do|What is localmix rm|What does localmix doctor "
        "do}",
        "`localmix rm` removes a model, and `localmix doctor` checks this machine.",
    ),
    (
        "{What does /bye do|What is /bye|What does slash bye mean}",
        "/bye leaves the chat.",
    ),
    (
        "{What is a prompt|What does prompt mean|Explain prompt}",
        "A prompt is the text that you give to a model.",
    ),
    (
        "{What is prefill|What is decode|What is the difference between prefill and decode}",
        "Prefill reads the prompt, many tokens at once. Decode writes the answer, one token at a "
        "time.",
    ),
    (
        "{What is the KV cache|What is a KV cache|What does the cache hold}",
        "The cache keeps the keys and values of earlier tokens, so that they are not computed "
        "again.",
    ),
    (
        "{What is Ollama|Can I use my Ollama models|Does localmix find my Ollama models}",
        "Ollama is another program for local models. `localmix list` also finds the models of "
        "Ollama.",
    ),
]  # fmt: skip


def about_localmix(rng: random.Random) -> tuple[str, str]:
    """Return a question about localmix and its answer."""
    how = rng.random() < 0.55
    question, reply = rng.choices(HOW_TO, weights=_HOW_WEIGHTS)[0] if how else rng.choice(QUESTIONS)
    model = rng.choice(MODEL if rng.random() < 0.8 else NAMES)
    if "pull" in reply or "fit <m>" in reply:
        model = rng.choice(MODEL)
    shown = rng.choice((model, model.capitalize())) if model != "tiny" else model
    asked = capital(expand(f"{HOW} {question}" if how else question, rng, {"m": shown}))
    mark = "?" if rng.random() < 0.75 and not asked.startswith(("I ", "Show", "Tell")) else ""
    return asked + mark, expand(reply, rng, {"m": model})


_HOW_WEIGHTS = [3.0 if i in (0, 2, 5, 6, 8) else 1.0 for i in range(len(HOW_TO))]
