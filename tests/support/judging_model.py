"""A model that answers and judges: texts that hold a word of a category are of that category."""

from support.fake_model import FakeModel

WORDS = {"bomb": "B", "hate": "C", "pills": "D"}


class JudgingModel(FakeModel):
    """The fake model, with the part that moderation needs; letters as `--categories` all has them.

    Attributes:
        judged: what it was asked to judge, whole questions.
    """

    is_base = False

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.judged = []

    def tokenize(self, text, add_bos=True, parse_special=False):
        return [ord(character) for character in ("^" if add_bos else "") + text]

    def score(self, prompt, continuations):
        question = self.prompt_text(prompt)
        self.judged.append(question)
        text = question.split("\nText:\n")[1].rsplit("\n\nAnswer with", 1)[0]
        best = next((letter for word, letter in WORDS.items() if word in text), "A")
        return [0.0 if self.prompt_text(ids) == best else -3.0 for ids in continuations]

    def generate(self, prompt, **options):
        generation = super().generate(prompt, **options)
        generation.stats.dropped_tokens = 0
        return generation
