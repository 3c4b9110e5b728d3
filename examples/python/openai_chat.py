"""The openai SDK against a model that is paid per call: whole answers, and streamed ones.

OPENAI_BASE_URL is the proxy's address with the model's behind it, OPENAI_API_KEY the proxy's token:

    OPENAI_BASE_URL=http://127.0.0.1:4020/https://inference.example/v1 OPENAI_API_KEY=fth_… python openai_chat.py
"""

import os

from openai import OpenAI

MODEL = os.environ.get("MODEL", "gpt-4o-mini")
QUESTION = [{"role": "user", "content": "What is a farthing?"}]

client = OpenAI()

raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION)
print("answer:", raw.parse().choices[0].message.content)
print("paid:", raw.headers.get("farthing-price"), "purchase:", raw.headers.get("farthing-purchase"))

print("streamed:", end=" ", flush=True)
for chunk in client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True):
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
print()
