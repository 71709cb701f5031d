"""A small experiment with a known truth, on the scripted provider."""

import hashlib

from aikit.experiments import scorers


def draw(*parts):
    """A number from 0 to 1 that depends on nothing but the words."""
    return int(hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:8], 16) / 2**32


def classify(share_zero=0.6, share_few=0.85):
    """A model that is right on a fixed share of the texts, another for prompts that begin with a system message."""

    def reply(messages, options):
        text = messages[-1].content.removeprefix("Sentiment of: ")
        share = share_few if messages[0].role == "system" else share_zero
        right = draw(text, messages[0].role) < share
        good = text.endswith("good")
        return "positive" if good == right else "negative"

    return reply


def rows(count, start=0):
    return [
        {
            "text": f"item {n} {'good' if n % 2 else 'bad'}",
            "label": "positive" if n % 2 else "negative",
            "part": f"p{n % 3}",
        }
        for n in range(start, start + count)
    ]


LABEL = scorers.label(choices=("positive", "negative"))
VARIANTS = {"zero-shot": "Sentiment of: {{ text }}", "few-shot": [("system", "One word."), ("user", "{{ text }}")]}


def plan_of(kit, name, count=40, **changes):
    settings = {
        "variants": VARIANTS,
        "samples": rows(count),
        "target": "label",
        "scorers": [LABEL, scorers.one_word()],
        "primary": "label",
    }
    return kit.experiment(name, **{**settings, **changes})


def asked(kit):
    """The last user texts that the scripted model was asked, one per request."""
    return [messages[-1].content for messages, _ in kit._kit._parts.targets.find("scripted:one")[0].requests]
