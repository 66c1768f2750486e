"""A stand-in for Terraform's google provider, where that cannot be downloaded: real Terraform talks to it as to one.

It knows the schema in google_facts.txt and nothing of Google: what is planned is what was asked for, and what a cloud
would choose (addresses, links) is made up. So everything that is Terraform's own is real (validation, expressions,
for_each, what is known when, lifecycle, the graph) and nothing that is Google's. The protocol is Terraform's plugin
protocol 5.
"""
import json
import os
import re
import socket
from concurrent import futures
from pathlib import Path

import grpc
import msgpack

FACTS = Path(__file__).parent / "google_facts.txt"
ADDRESS = "hashicorp/google"
UNKNOWN = msgpack.ExtType(0, b"\0")  # how Terraform encodes a value that is not known yet
LIST = 2  # NestedBlock.NestingMode


# ---- google_facts.txt ---------------------------------------------------------------------------------------------

def read_facts(text):
    """{resource: {"attributes": {name: (type, mode, new)}, "blocks": {name: (block, least, most)}}}"""
    resources, stack = {}, []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if found := re.fullmatch(r"resource (\w+)", line):
            stack = [{"attributes": {}, "blocks": {}}]
            resources[found[1]] = stack[0]
        elif found := re.fullmatch(r"(\w+) \{(\d) (\d|\*)", line):
            block = {"attributes": {}, "blocks": {}}
            stack[-1]["blocks"][found[1]] = (block, int(found[2]), 0 if found[3] == "*" else int(found[3]))
            stack.append(block)
        elif line == "}":
            stack.pop()
        elif found := re.fullmatch(r"(\w+): ([\w()]+) (required|optional|computed|default)( new)?", line):
            stack[-1]["attributes"][found[1]] = (found[2], found[3], bool(found[4]))
        else:
            raise ValueError(f"{FACTS.name}:{number}: {line}")
    return resources


# ---- protocol buffers: the little that is needed ------------------------------------------------------------------

def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, bool) or isinstance(value, int):
        return varint(number << 3) + varint(int(value)) if value else b""
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def parse(data):
    """{field number: its last value}"""
    out, at = {}, 0

    def number():
        nonlocal at
        n = shift = 0
        while True:
            byte = data[at]
            at += 1
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return n
    while at < len(data):
        key = number()
        if key & 7 == 0:
            out[key >> 3] = number()
        else:
            length = number()
            out[key >> 3] = data[at:at + length]
            at += length
    return out


def dynamic(value):
    return field(1, msgpack.packb(value))


def undynamic(data):
    return msgpack.unpackb(parse(data)[1], ext_hook=msgpack.ExtType, strict_map_key=False)


def type_json(name):
    if found := re.fullmatch(r"(\w+)\((\w+)\)", name):
        return json.dumps([found[1], found[2]])
    return json.dumps(name)


def block_message(block):
    out = b""
    for name, (kind, mode, _) in sorted(block["attributes"].items()):
        out += field(2, field(1, name) + field(2, type_json(kind)) + field(4, mode == "required")
                     + field(5, mode in ("optional", "default")) + field(6, mode in ("computed", "default")))
    for name, (inner, least, most) in sorted(block["blocks"].items()):
        out += field(3, field(1, name) + field(2, block_message(inner)) + field(3, LIST) + field(4, least)
                     + field(5, most))
    return out


def schema(block):
    return field(2, block_message(block))


# ---- values ----------------------------------------------------------------------------------------------------------

def planned(block, value, prior):
    """What was asked for; what a cloud would choose is unknown until it is made."""
    for name, (_, mode, _) in block["attributes"].items():
        if value.get(name) is None and mode in ("computed", "default") and not (prior and prior.get(name) is not None):
            value[name] = UNKNOWN
    for name, (inner, _, _) in block["blocks"].items():
        before = (prior or {}).get(name) or []
        if isinstance(value.get(name), list):
            for i, item in enumerate(value[name]):
                planned(inner, item, before[i] if i < len(before) else None)
    return value


class Cloud:
    """Makes up what a cloud would choose."""

    def __init__(self):
        self.addresses = 0

    def choose(self, kind, resource, name):
        if name == "address":
            self.addresses += 1
            return f"192.0.2.{self.addresses}"
        if kind == "number":
            return 1
        if kind.startswith(("set", "list")):
            return []
        if name == "email":
            return f"{resource['account_id']}@{resource['project']}.iam.gserviceaccount.com"
        if name == "member":
            return f"serviceAccount:{resource['account_id']}@{resource['project']}.iam.gserviceaccount.com"
        return f"made-up/{resource.get('name') or resource.get('account_id') or 'x'}/{name}"

    def make(self, block, value, resource=None):
        resource = resource or value
        for name, (kind, _, _) in block["attributes"].items():
            if value.get(name) == UNKNOWN:
                value[name] = self.choose(kind, resource, name)
        for name, (inner, _, _) in block["blocks"].items():
            for item in value.get(name) or []:
                self.make(inner, item, resource)
        return value


class Provider(grpc.GenericRpcHandler):
    def __init__(self, facts):
        self.facts, self.cloud = facts, Cloud()
        self.calls = {
            "GetSchema": self.get_schema, "PrepareProviderConfig": lambda r: field(1, parse(r).get(1, b"")),
            "PlanResourceChange": self.plan, "ApplyResourceChange": self.apply,
            "UpgradeResourceState": self.upgrade, "ReadResource": lambda r: field(1, parse(r)[2]),
        }

    def service(self, details):
        service, method = details.method.rsplit("/", 1)
        if service != "/tfplugin5.Provider":  # streams of the plugin library, which can do without
            return None
        call = self.calls.get(method, lambda request: b"")  # an empty answer: nothing to complain of
        return grpc.unary_unary_rpc_method_handler(lambda request, context: call(request))

    def get_schema(self, _):
        empty = {"attributes": {}, "blocks": {}}
        return field(1, schema(empty)) + b"".join(
            field(2, field(1, name) + field(2, schema(block))) for name, block in self.facts.items())

    def plan(self, request):
        request = parse(request)
        block, value, prior = self.facts[request[1].decode()], undynamic(request[3]), undynamic(request[2])
        if value is None:
            return field(1, dynamic(None))
        replaces = [name for name, (_, _, new) in block["attributes"].items()
                    if new and prior and value[name] != prior[name]]
        path = [field(2, field(1, field(1, name))) for name in replaces]
        # What takes the old one's place is planned as if there had been none.
        return field(1, dynamic(planned(block, value, None if replaces else prior))) + b"".join(path)

    def apply(self, request):
        request = parse(request)
        value = undynamic(request[3])
        return field(1, dynamic(value and self.cloud.make(self.facts[request[1].decode()], value)))

    def upgrade(self, request):
        return field(1, dynamic(json.loads(parse(parse(request)[3])[1])))


def serve(folder):
    """Starts it on a socket in folder; returns the server and what Terraform's environment needs."""
    path = os.path.join(folder, "provider.sock")
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", 64 << 20)])
    server.add_generic_rpc_handlers((Provider(read_facts(FACTS.read_text())),))
    server.add_insecure_port(f"unix:{path}")
    server.start()
    attach = {ADDRESS: {"Protocol": "grpc", "ProtocolVersion": 5, "Pid": os.getpid(), "Test": True,
                        "Addr": {"Network": "unix", "String": path}}}
    return server, {"TF_REATTACH_PROVIDERS": json.dumps(attach)}
