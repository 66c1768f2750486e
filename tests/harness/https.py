"""The HTTPS interface as a program uses it: through curl."""
import json
import subprocess

from . import schema


def curl(gw, path, body=None, certs=None, more=(), host="127.0.0.1", ca=None):
    """(curl's exit status, HTTP status, answer). `gw` has tls_port and certs; a result is checked against the verb's
    schema."""
    certs = certs or gw.certs
    argv = ["curl", "-sS", "--noproxy", "*", "--max-time", "60", "-w", "\n%{http_code}", "--cacert",
            ca or gw.certs / "ca.crt", f"https://{host}:{gw.tls_port}{path}"]
    if (certs / "client.crt").exists():
        argv += ["--cert", certs / "client.crt", "--key", certs / "client.key"]
    if body is not None:
        argv += ["--data-binary", "@-", *(more or ["-H", "Content-Type: application/json"])]
    run = subprocess.run([*map(str, argv)], input=json.dumps(body).encode() if body is not None else b"",
                         capture_output=True, timeout=90)
    text, _, status = run.stdout.decode().rpartition("\n")
    try:
        answer = json.loads(text)
    except ValueError:
        return run.returncode, int(status or 0), text
    if path.startswith("/v1/") and isinstance(answer, dict) and {"result", "error"} & set(answer):
        value = answer["result"] if "result" in answer else {"error": answer["error"]}
        schema.check_value(schema.verb_of(path.split("/")[2:]), value, path, "https")
    return run.returncode, int(status), answer
