// Providers' own libraries from npm, behind one address each: `POST /{provider}` answers
// 200 if the library takes the request for genuine and 401 with its words if not;
// `GET /` lists the providers, `GET /signed?base=URL` what the libraries can sign, as JSON.
//
// The argument is a file with the secrets, a JSON object of provider to text. The address
// is printed on standard output; it ends with its standard input.

import { generateKeyPairSync, sign as signWith } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

import { verifyRequest, signRequest } from "@contentful/node-apps-toolkit";
import { Signature } from "@hubspot/api-client";
import { validateSignature as lineValidates } from "@line/bot-sdk";
import { LinearWebhookClient } from "@linear/sdk/webhooks";
import * as octokit from "@octokit/webhooks-methods";
import { Paddle } from "@paddle/paddle-node-sdk";
import { WebhookVerificationError, validateEvent as polarValidates } from "@polar-sh/sdk/webhooks";
import { isValidSignature as sanityIsValid, encodeSignatureHeader } from "@sanity/webhook";
import "@shopify/shopify-api/adapters/node";
import { shopifyApi } from "@shopify/shopify-api";
import { verifyRequestSignature } from "@slack/events-api";
import { WorkOS } from "@workos-inc/node";
import { verifyKey } from "discord-interactions";
import * as gocardless from "gocardless-nodejs/webhooks";
import OpenAI from "openai";
import Razorpay from "razorpay";
import { validateWebhook as replicateValidates } from "replicate";
import { Resend } from "resend";
import { WebhooksHelper } from "square";
import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";
import twilio from "twilio";

const secrets = JSON.parse(readFileSync(process.argv[2], "utf8"));
const stripe = new Stripe("sk_test_none");
const must = (holds) => {
  if (!holds) throw new Error("the library says no");
};

// Each takes { method, url, path, headers, body, raw, secret } and throws if it is not genuine.
const judges = {
  contentful: ({ method, path, headers, body, secret }) =>
    must(verifyRequest(secret, { method, path, headers, body })),
  "hubspot-v1": ({ headers, body, secret }) =>
    must(
      Signature.isValid({
        signatureVersion: "v1",
        signature: headers["x-hubspot-signature"],
        clientSecret: secret,
        requestBody: body,
      }),
    ),
  "hubspot-v3": ({ method, url, headers, body, secret }) =>
    must(
      Signature.isValid({
        signatureVersion: "v3",
        signature: headers["x-hubspot-signature-v3"],
        clientSecret: secret,
        requestBody: body,
        url,
        method,
        timestamp: Number(headers["x-hubspot-request-timestamp"]),
      }),
    ),
  line: ({ headers, body, secret }) => must(lineValidates(body, secret, headers["x-line-signature"])),
  linear: ({ headers, raw, body, secret }) =>
    new LinearWebhookClient(secret).verify(
      raw,
      headers["linear-signature"],
      JSON.parse(body).webhookTimestamp,
    ),
  github: async ({ headers, body, secret }) =>
    must(await octokit.verify(secret, body, headers["x-hub-signature-256"])),
  paddle: async ({ headers, body, secret }) =>
    must(await new Paddle("none").webhooks.isSignatureValid(body, secret, headers["paddle-signature"])),
  polar: ({ headers, body, secret }) => {
    try {
      polarValidates(body, headers, secret);
    } catch (error) {
      // It also checks the payload's fields; only the signature is of interest here.
      if (error instanceof WebhookVerificationError) throw error;
    }
  },
  sanity: async ({ headers, body, secret }) =>
    must(await sanityIsValid(body, headers["sanity-webhook-signature"], secret)),
  shopify: async ({ raw, headers, body, secret, request, response }) => {
    const shopify = shopifyApi({
      apiKey: "none",
      apiSecretKey: secret,
      scopes: [],
      hostName: "localhost",
      apiVersion: "2026-01",
      isEmbeddedApp: false,
      logger: { level: 0 },
    });
    const { valid, reason } = await shopify.webhooks.validate({
      rawBody: body,
      rawRequest: request,
      rawResponse: response,
    });
    // It also wants headers that a sample may not have; the signature is checked first.
    must(valid || reason === "missing_headers");
  },
  slack: ({ headers, body, secret }) =>
    must(
      verifyRequestSignature({
        signingSecret: secret,
        requestSignature: headers["x-slack-signature"],
        requestTimestamp: headers["x-slack-request-timestamp"],
        body,
      }),
    ),
  workos: async ({ headers, body, secret }) =>
    must(
      await new WorkOS("none", { clientId: "none" }).webhooks.verifyHeader({
        payload: JSON.parse(body),
        sigHeader: headers["workos-signature"],
        secret,
      }),
    ),
  gocardless: ({ headers, body, secret }) =>
    gocardless.parse(body, secret, headers["webhook-signature"]),
  openai: ({ headers, body, secret }) =>
    new OpenAI({ apiKey: "none" }).webhooks.verifySignature(body, headers, secret),
  razorpay: ({ headers, body, secret }) =>
    must(Razorpay.validateWebhookSignature(body, headers["x-razorpay-signature"], secret)),
  replicate: async ({ headers, body, secret }) =>
    must(
      await replicateValidates({
        id: headers["webhook-id"],
        timestamp: headers["webhook-timestamp"],
        signature: headers["webhook-signature"],
        body,
        secret,
      }),
    ),
  resend: ({ headers, body, secret }) =>
    new Resend("re_none").webhooks.verify({
      payload: body,
      headers: {
        id: headers["svix-id"],
        timestamp: headers["svix-timestamp"],
        signature: headers["svix-signature"],
      },
      webhookSecret: secret,
    }),
  square: async ({ url, headers, body, secret }) =>
    must(
      await WebhooksHelper.verifySignature({
        requestBody: body,
        signatureHeader: headers["x-square-hmacsha256-signature"],
        signatureKey: secret,
        notificationUrl: url,
      }),
    ),
  "standard-webhooks": ({ headers, body, secret }) =>
    new StandardWebhook(secret).verify(body, headers),
  stripe: ({ headers, body, secret }) =>
    stripe.webhooks.constructEvent(body, headers["stripe-signature"], secret),
  svix: ({ headers, body, secret }) => new SvixWebhook(secret).verify(body, headers),
  twilio: ({ url, headers, body, secret }) => {
    const signature = headers["x-twilio-signature"];
    const form = Object.fromEntries(new URLSearchParams(body));
    must(
      url.includes("bodySHA256=")
        ? twilio.validateRequestWithBody(secret, signature, url, body)
        : twilio.validateRequest(secret, signature, url, form),
    );
  },
};

// What the libraries can sign: requests without their address, for a receiver at `url`.
const json = { "content-type": "application/json" };
const now = () => Math.floor(Date.now() / 1000);
const signers = {
  contentful: ({ url, secret }) => {
    const { pathname } = new URL(url);
    const headers = { "content-type": "application/vnd.contentful.management.v1+json" };
    const body = '{"sys":{"type":"Entry","id":"one"}}';
    const request = { method: "POST", path: pathname, headers, body };
    return { headers: { ...headers, ...signRequest(secret, request) }, body };
  },
  discord: ({ keys }) => {
    // The library only checks; what the platform's own crypto signs is checked by it first.
    const body = '{"id":"1","type":2,"data":{"name":"lighthouse"}}';
    const timestamp = String(now());
    const signature = signWith(null, Buffer.from(timestamp + body), keys.privateKey);
    return {
      headers: {
        ...json,
        "x-signature-ed25519": signature.toString("hex"),
        "x-signature-timestamp": timestamp,
      },
      body,
    };
  },
  github: async ({ secret }) => {
    const body = '{"zen":"Anything added dilutes everything else.","ünïcode":"✓"}';
    const headers = { ...json, "x-github-event": "star", "x-github-delivery": "oracle-1" };
    return { headers: { ...headers, "x-hub-signature-256": await octokit.sign(secret, body) }, body };
  },
  sanity: async ({ secret }) => {
    const body = '{"_id":"doc-1","title":"Lighthouses"}';
    const signature = await encodeSignatureHeader(body, Date.now(), secret);
    return { headers: { ...json, "sanity-webhook-signature": signature }, body };
  },
  "standard-webhooks": ({ secret }) => standard(StandardWebhook, "webhook", secret),
  stripe: ({ secret }) => {
    const payload = '{"id":"evt_oracle","object":"event","type":"invoice.paid"}';
    const signature = stripe.webhooks.generateTestHeaderString({ payload, secret });
    return { headers: { ...json, "stripe-signature": signature }, body: payload };
  },
  svix: ({ secret }) => standard(SvixWebhook, "svix", secret),
  twilio: ({ url, secret }) => {
    const form = { MessageSid: "SM1", MessageStatus: "delivered", Body: "Grüße + mehr" };
    const signature = twilio.getExpectedTwilioSignature(secret, url, form);
    return {
      headers: {
        "content-type": "application/x-www-form-urlencoded",
        "x-twilio-signature": signature,
      },
      body: new URLSearchParams(form).toString(),
    };
  },
};

function standard(Webhook, prefix, secret) {
  const body = '{"type":"invoice.paid","data":{"id":"inv_1"}}';
  const at = new Date();
  const signature = new Webhook(secret).sign("msg_oracle", at, body);
  return {
    headers: {
      ...json,
      [`${prefix}-id`]: "msg_oracle",
      [`${prefix}-timestamp`]: String(Math.floor(at.getTime() / 1000)),
      [`${prefix}-signature`]: signature,
    },
    body,
  };
}

async function signed(base) {
  const keys = generateKeyPairSync("ed25519");
  const publicKey = keys.publicKey
    .export({ format: "der", type: "spki" })
    .subarray(-32)
    .toString("hex");
  const all = [];
  for (const [provider, signer] of Object.entries(signers)) {
    const secret = provider === "discord" ? publicKey : secrets[provider];
    const url = `${base}/webhooks/${provider}`;
    const { headers, body } = await signer({ url, secret, keys });
    if (provider === "discord") {
      const { "x-signature-ed25519": signature, "x-signature-timestamp": timestamp } = headers;
      must(await verifyKey(body, signature, timestamp, publicKey));
    }
    all.push({ provider, secret, url, headers, body });
  }
  return all;
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const raw = Buffer.concat(chunks);
  const url = `http://${request.headers.host}${request.url}`;
  const { pathname, searchParams } = new URL(url);
  const answer = (status, value) => {
    const text = JSON.stringify(value);
    response.writeHead(status, { ...json, "content-length": Buffer.byteLength(text) });
    response.end(text);
  };
  try {
    if (request.method === "GET" && pathname === "/") return answer(200, Object.keys(judges));
    if (request.method === "GET") return answer(200, await signed(searchParams.get("base")));
    const provider = pathname.slice(1);
    const { method, headers } = request;
    const body = raw.toString("utf8");
    const secret = secrets[provider];
    await judges[provider]({
      method, url, path: request.url, headers, body, raw, secret, request, response,
    });
    answer(200, { genuine: provider });
  } catch (error) {
    answer(401, { refused: String(error) });
  }
});

server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
