"""A chat with the openai SDK as it comes: it tries again by itself. TIMEOUT is how many seconds it waits.

Where the SDK gives up, the call is made once more, as a program would that does not want to end over it.
"""

import os

from openai import APIStatusError, OpenAI

client = OpenAI(timeout=float(os.environ["TIMEOUT"]))


def chat():
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "What is a farthing?"}]
    )
    print("answer:", raw.parse().choices[0].message.content)
    print("resent:", raw.headers.get("farthing-resent"))


try:
    chat()
except APIStatusError as error:
    print("failed:", error.status_code)
    chat()
