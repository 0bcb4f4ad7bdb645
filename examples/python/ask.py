"""Asks iqra-authz whether an API key may do an action on a business. Python 3.9 or later, no packages.

    AUTHZ_URL=http://localhost:8080 AUTHZ_TOKEN=iqra_svc_... python3 ask.py "Token iqra_..." call:create bakery

Exits with 0 where it is allowed, 1 where it is denied, 3 where there is no answer. No failure is a yes.
"""

import http.client, json, os, sys
from urllib.parse import urlsplit


def ask(authorization, action, business_id=None):
    """The reply, allow or deny. `authorization`: the client's header, as it was received. Raises where there is no answer."""
    url = urlsplit(os.environ["AUTHZ_URL"])
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = connect(url.netloc, timeout=0.5)  # seconds, of each wait for the network, not of all of them together
    headers = {"Authorization": f"Bearer {os.environ['AUTHZ_TOKEN']}", "Content-Type": "application/json"}
    question = {"authorization": authorization, "action": action, "businessId": business_id}
    try:
        connection.request("POST", url.path.rstrip("/") + "/authorize", json.dumps(question), headers)
        response = connection.getresponse()  # http.client follows no redirect
        reply = json.loads(response.read())
    finally:
        connection.close()
    if response.status != 200:
        raise ValueError(f"HTTP {response.status} {reply['Code']}: {reply['Message']}")
    about = reply["Data"]["action"], reply["Data"]["businessId"]
    if about != (action, business_id) or reply["Success"] is not (reply["Code"] == "OK"):
        raise ValueError("what came is no decision on this question")
    return reply


if __name__ == "__main__":
    try:
        reply = ask(*sys.argv[1:4])
        print(reply["Code"], reply["Message"])
    except Exception as error:  # whatever it is: Python itself would exit with 1, which says denied
        print(f"no answer: {error}", file=sys.stderr)
        sys.exit(3)
    sys.exit(0 if reply["Success"] is True else 1)
