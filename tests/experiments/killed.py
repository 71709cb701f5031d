"""Runs an experiment on the scripted provider until it is done or killed; the calls sent are noted in a file."""

import sys

import aikit
from tests.experiments.setting import classify, plan_of


def main(home, notes, count):
    answer = classify()
    with open(notes, "a", buffering=1) as file:

        def reply(messages, options):
            said = answer(messages, options)
            file.write(f"{messages[0].role} {messages[-1].content}\n")
            return said

        options = {"reply": reply, "first_token_delay": 0.02}
        with aikit.open(home=home, config={"providers": {"scripted": {"options": options}}}) as kit:
            plan = plan_of(
                kit, "killed", count=int(count), model="scripted:one", stopping="group", looks=4, id="killed"
            )
            print("ready", flush=True)
            run = plan.start(concurrency=4).result()
            print(run.verdict.sentence, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
