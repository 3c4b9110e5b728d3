"""A CrewAI crew whose model and whose tool are both paid per call, through `farthing proxy`.

    PROXY=http://127.0.0.1:4020 TOKEN=fth_… WEATHER=https://weather.example MODEL_URL=https://inference.example/v1 \
        python crewai_crew.py
"""

import os

# Nothing is sent to anybody but the model and the API.
os.environ.setdefault("CREWAI_DISABLE_TELEMETRY", "true")
os.environ.setdefault("OTEL_SDK_DISABLED", "true")

import httpx
from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool

PROXY, TOKEN = os.environ["PROXY"], os.environ["TOKEN"]


@tool("weather")
def weather(city: str) -> str:
    """The weather in a city, from an API that costs a fraction of a cent per call."""
    answer = httpx.get(
        f"{PROXY}/{os.environ['WEATHER']}/weather/{city}",
        headers={"Authorization": f"Bearer {TOKEN}", "Farthing-Max-Price": "$0.01"},
        timeout=60,
    )
    # When it is refused, the agent reads why, and what to do about it.
    return answer.text


model = LLM(
    model=f"openai/{os.environ.get('MODEL', 'gpt-4o-mini')}",
    base_url=f"{PROXY}/{os.environ['MODEL_URL']}",
    api_key=TOKEN,
)
forecaster = Agent(
    role="forecaster",
    goal="Say what the weather is",
    backstory="You look things up before you speak.",
    llm=model,
    tools=[weather],
)
task = Task(
    description="What is the weather in berlin?",
    expected_output="One sentence.",
    agent=forecaster,
)
print(Crew(agents=[forecaster], tasks=[task]).kickoff())
