"""A client of an MCP server on the official Python SDK that does what it is told.

Each line on stdin is a task as JSON; each line on stdout says what came of it. tests/peers/mcp-client.mjs does the same
on the TypeScript SDK, and names the tasks.
"""

import argparse
import asyncio
import json
import os
import sys

import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult


class User:
    """Who sits in front of the client."""

    def __init__(self):
        self.says = {"action": "cancel"}
        self.asked = []

    async def answer(self, _context, question):
        self.asked.append(as_json(question))
        return ElicitResult(**self.says)


class Calls:
    """Calls of tools, with the progress that was told."""

    def __init__(self, client):
        self.client = client

    async def call(self, name, arguments, cancel_at=None):
        progress, breaking = [], asyncio.Event()

        async def on_progress(done, total, message):
            progress.append({"progress": done, "total": total, "message": message})
            if cancel_at and cancel_at in (message or ""):
                breaking.set()

        calling = asyncio.create_task(self.client.call_tool(name, arguments, progress_callback=on_progress))
        broken = asyncio.create_task(breaking.wait())
        await asyncio.wait([calling, broken], return_when=asyncio.FIRST_COMPLETED)
        broken.cancel()
        if breaking.is_set() and not calling.done():
            calling.cancel()
        result = await calling
        return as_json(result) | {"progress": progress}


def as_json(model):
    return model.model_dump(by_alias=True, mode="json", exclude_none=True)


def server(options):
    if options.url is None:
        return StdioServerParameters(command=options.command, args=["mcp"], env=dict(os.environ))
    shown = {"authorization": f"Bearer {options.token}"}
    return streamable_http_client(options.url, http_client=httpx2.AsyncClient(headers=shown, timeout=60))


def tasks(client):
    async def hello():
        return {
            "revision": client.protocol_version,
            "server": as_json(client.server_info),
            "capabilities": as_json(client.server_capabilities),
            "instructions": client.instructions,
        }

    async def named(giving):
        return as_json(await giving)

    return {
        "hello": hello,
        "tools": lambda: named(client.list_tools()),
        "call": Calls(client).call,
        "resources": lambda: named(client.list_resources()),
        "templates": lambda: named(client.list_resource_templates()),
        "read": lambda uri: named(client.read_resource(uri)),
        "prompts": lambda: named(client.list_prompts()),
        "prompt": lambda name, arguments: named(client.get_prompt(name, arguments)),
    }


async def done(task, given):
    try:
        return await task(**given)
    except asyncio.CancelledError:
        return {"error": {"message": "cancelled"}}
    except MCPError as error:
        return {"error": as_json(error.error)}
    except Exception as error:
        return {"error": {"message": f"{type(error).__name__}: {error}"}}


async def main(options):
    user = User()
    mode = "auto" if options.newest else "legacy"
    asking = {} if options.mute else {"elicitation_callback": user.answer}
    async with Client(server(options), mode=mode, **asking) as client:
        known = tasks(client)
        while line := await asyncio.to_thread(sys.stdin.readline):
            given = json.loads(line)
            task = known[given.pop("task")]
            user.says, user.asked = given.pop("user_says", {"action": "cancel"}), []
            said = await done(task, given)
            print(json.dumps(said | {"asked": user.asked}), flush=True)


parser = argparse.ArgumentParser()
parser.add_argument("--newest", action="store_true", help="asks for the newest revision of MCP before `initialize`")
parser.add_argument("--url")
parser.add_argument("--token")
parser.add_argument("--command")
parser.add_argument("--mute", action="store_true", help="a client that cannot show questions")
asyncio.run(main(parser.parse_args()))
