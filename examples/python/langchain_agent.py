"""A LangChain agent whose model and whose tool are both paid per call, through `farthing proxy`.

    PROXY=http://127.0.0.1:4020 TOKEN=fth_… WEATHER=https://weather.example MODEL_URL=https://inference.example/v1 \
        python langchain_agent.py
"""

import os

import httpx
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

PROXY, TOKEN = os.environ["PROXY"], os.environ["TOKEN"]


@tool
def weather(city: str) -> str:
    """The weather in a city, from an API that costs a fraction of a cent per call."""
    answer = httpx.get(
        f"{PROXY}/{os.environ['WEATHER']}/weather/{city}",
        headers={"Authorization": f"Bearer {TOKEN}", "Farthing-Max-Price": "$0.01"},
        timeout=60,
    )
    # When it is refused, the agent reads why, and what to do about it.
    return answer.text


model = ChatOpenAI(
    model=os.environ.get("MODEL", "gpt-4o-mini"),
    base_url=f"{PROXY}/{os.environ['MODEL_URL']}",
    api_key=TOKEN,
)
agent = create_agent(model, [weather])
result = agent.invoke({"messages": [{"role": "user", "content": "What is the weather in berlin?"}]})
print(result["messages"][-1].content)
