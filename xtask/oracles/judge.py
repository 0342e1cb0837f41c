"""Providers' own libraries from PyPI, behind one address each.

`POST /{provider}` answers 200 if the library takes the request for genuine and 401 with
its words if not; `GET /` lists the providers, `GET /signed?base=URL` what the libraries
can sign, as JSON. The argument is a file with the secrets, a JSON object of provider to
text. The address is printed on standard output; it ends with its standard input.
"""

import json
import sys
import threading
import time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import braintree
import razorpay
import standardwebhooks
import stripe
import svix
from discord_interactions import verify_key
from hubspot.utils.signature import Signature
from linebot.v3.webhook import SignatureValidator
from slack_sdk.signature import SignatureVerifier
from square.utils.webhooks_helper import verify_signature
from twilio.request_validator import RequestValidator

with open(sys.argv[1], encoding="utf-8") as file:
    SECRETS = json.load(file)


def must(holds):
    if not holds:
        raise ValueError("the library says no")


def hubspot(version, header):
    def judge(request):
        timestamp = request.headers.get("x-hubspot-request-timestamp")
        must(
            Signature.is_valid(
                signature=request.headers[header],
                client_secret=request.secret,
                request_body=request.body,
                http_method="POST",
                http_uri=request.url,
                signature_version=version,
                timestamp=timestamp,
            )
        )

    return judge


def twilio(request):
    validator = RequestValidator(request.secret)
    form = dict(parse_qsl(request.body, keep_blank_values=True))
    parameters = request.body if "bodySHA256=" in request.url else form
    must(validator.validate(request.url, parameters, request.headers["x-twilio-signature"]))


JUDGES = {
    "hubspot-v1": hubspot("v1", "x-hubspot-signature"),
    "hubspot-v3": hubspot("v3", "x-hubspot-signature-v3"),
    "line": lambda r: must(
        SignatureValidator(r.secret).validate(r.body, r.headers["x-line-signature"])
    ),
    "razorpay": lambda r: must(
        razorpay.Client(auth=("none", "none")).utility.verify_webhook_signature(
            r.body, r.headers["x-razorpay-signature"], r.secret
        )
    ),
    "slack": lambda r: must(
        SignatureVerifier(r.secret).is_valid(
            r.body,
            r.headers["x-slack-request-timestamp"],
            r.headers["x-slack-signature"],
        )
    ),
    "square": lambda r: must(
        verify_signature(
            request_body=r.body,
            signature_header=r.headers["x-square-hmacsha256-signature"],
            signature_key=r.secret,
            notification_url=r.url,
        )
    ),
    "standard-webhooks": lambda r: standardwebhooks.Webhook(r.secret).verify(r.body, r.headers),
    "stripe": lambda r: stripe.Webhook.construct_event(
        r.body, r.headers["stripe-signature"], r.secret
    ),
    "svix": lambda r: svix.Webhook(r.secret).verify(r.body, r.headers),
    "twilio": twilio,
}


def standard(library, prefix):
    def sign(secret, url):
        body = '{"type":"invoice.paid","data":{"id":"inv_2"}}'
        at = datetime.now(timezone.utc)
        signature = library.Webhook(secret).sign("msg_oracle_py", at, body)
        return {
            "content-type": "application/json",
            f"{prefix}-id": "msg_oracle_py",
            f"{prefix}-timestamp": str(int(at.timestamp())),
            f"{prefix}-signature": signature,
        }, body

    return sign


def sign_slack(secret, url):
    body = '{"type":"event_callback","event_id":"Ev1","event":{"type":"message"}}'
    timestamp = str(int(time.time()))
    signature = SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=body)
    return {
        "content-type": "application/json",
        "x-slack-request-timestamp": timestamp,
        "x-slack-signature": signature,
    }, body


def sign_twilio(secret, url):
    form = {"MessageSid": "SM2", "MessageStatus": "sent", "Body": "Ünï & more"}
    return {
        "content-type": "application/x-www-form-urlencoded",
        "x-twilio-signature": RequestValidator(secret).compute_signature(url, form),
    }, urlencode(form)


def sign_braintree(secret, url):
    gateway = braintree.BraintreeGateway(
        braintree.Configuration(
            environment=braintree.Environment.Sandbox,
            merchant_id="none",
            public_key=secret["public_key"],
            private_key=secret["private_key"],
        )
    )
    form = gateway.webhook_testing.sample_notification("subscription_went_past_due", "one")
    return {"content-type": "application/x-www-form-urlencoded"}, urlencode(form)


SIGNERS = {
    "braintree": sign_braintree,
    "slack": sign_slack,
    "standard-webhooks": standard(standardwebhooks, "webhook"),
    "svix": standard(svix, "svix"),
    "twilio": sign_twilio,
}


def signed(base):
    """What each library signs, for a receiver below `base`."""
    for provider, sign in SIGNERS.items():
        url = f"{base}/webhooks/{provider}"
        headers, body = sign(SECRETS[provider], url)
        yield {"provider": provider, "url": url, "headers": headers, "body": body}


class Handler(BaseHTTPRequestHandler):
    """One request: a list, what is signed, or a judgement."""

    def do_GET(self):
        parts = urlsplit(self.path)
        if parts.path == "/":
            return self.answer(200, list(JUDGES))
        return self.answer(200, list(signed(parse_qs(parts.query)["base"][0])))

    def do_POST(self):
        self.body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.url = f"http://{self.headers['host']}{self.path}"
        provider = urlsplit(self.path).path.lstrip("/")
        self.secret = SECRETS[provider]
        self.headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            JUDGES[provider](self)
        except Exception as error:  # whatever a library raises is its no
            return self.answer(401, {"refused": repr(error)})
        return self.answer(200, {"genuine": provider})

    def answer(self, status, value):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Says nothing: the one who asks prints what matters."""


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"http://127.0.0.1:{server.server_port}", flush=True)
sys.stdin.read()
