// A priced API on @x402/express: GET /weather, POST /echo, and GET /fails, whose handler answers 500 after payment.
import { createServer } from "node:http";
import express from "express";
import { HTTPFacilitatorClient } from "@x402/core/http";
import { x402ResourceServer } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware } from "@x402/express";
import { args, fail, ready } from "./common.mjs";

const options = args(
  {
    port: { type: "string", default: "0" },
    facilitator: { type: "string" },
    "facilitator-key": { type: "string" },
    "pay-to": { type: "string" },
    network: { type: "string", default: "eip155:84532" },
    price: { type: "string", default: "$0.01" },
    "asset-json": { type: "string" },
    "payment-flow": { type: "string" },
    "max-timeout-seconds": { type: "string", default: "300" },
  },
  ["facilitator", "pay-to"],
);

const bearer = options["facilitator-key"];
const authorization = { Authorization: `Bearer ${bearer}` };
const createAuthHeaders = async () => ({ verify: authorization, settle: authorization, supported: authorization });
const facilitator = new HTTPFacilitatorClient({ url: options.facilitator, ...(bearer && { createAuthHeaders }) });
const server = new x402ResourceServer(facilitator).register("eip155:*", new ExactEvmScheme());

const flow = options["payment-flow"];
const accepts = {
  scheme: "exact",
  network: options.network,
  payTo: options["pay-to"],
  // {"amount": "2500", "asset": "0x…", "extra": {"name": "USDC", "version": "2"}}
  price: options["asset-json"] ? JSON.parse(options["asset-json"]) : options.price,
  maxTimeoutSeconds: Number(options["max-timeout-seconds"]),
  ...(flow && { extra: { paymentFlow: flow } }),
};
const route = { accepts, description: "The weather", mimeType: "application/json" };

// The middleware asks for /supported at once, without waiting: ask first, so that `ready` means ready to sell.
await server.initialize().catch((error) => fail(`express-server: ${error.message}: ${error.cause?.message ?? ""}`, 1));

const calls = { weather: 0, echo: 0, fails: 0 };
const app = express();
app.disable("x-powered-by");
app.use(express.json());
app.get("/calls", (_, response) => response.json(calls));
app.use(paymentMiddleware({ "GET /weather": route, "POST /echo": route, "GET /fails": route }, server));
app.get("/weather", (_, response) => response.json({ weather: "sunny", celsius: 21, call: ++calls.weather }));
app.post("/echo", (request, response) => response.json({ echo: request.body, call: ++calls.echo }));
app.get("/fails", (_, response) => response.status(500).json({ error: "the handler failed", call: ++calls.fails }));

ready(createServer(app), options.port);
