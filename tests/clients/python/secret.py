"""Requests one secret over mTLS, like an SDS client in delta: ADDRESS CA CERTIFICATE KEY NODE CLUSTER NAME. Prints one
line with the result: `given NAMES`, `removed NAMES`, or `error CODE`."""

import queue
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc

TYPE_URL = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
METHOD = "/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets"

# Fields of DeltaDiscoveryResponse, and of the Resources in it.
RESOURCES, REMOVED, NAME = 2, 6, 3


def main() -> None:
    address, ca, certificate, key, node, cluster, name = sys.argv[1:]
    credentials = grpc.ssl_channel_credentials(
        Path(ca).read_bytes(), Path(key).read_bytes(), Path(certificate).read_bytes()
    )
    call = grpc.secure_channel(address, credentials).stream_stream(METHOD)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    identity = text(1, node.encode()) + text(2, cluster.encode())
    requests.put(text(1, identity) + text(2, TYPE_URL.encode()) + text(3, name.encode()))
    try:
        answer = dict_of(next(call(iter(requests.get, None), timeout=30)))
    except grpc.RpcError as error:
        print("error", error.code().name, flush=True)
        return
    given = [dict_of(resource)[NAME][0].decode() for resource in answer.get(RESOURCES, [])]
    if given:
        print("given", *given, flush=True)
    else:
        print("removed", *(removed.decode() for removed in answer.get(REMOVED, [])), flush=True)


def text(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    encoded = b""
    while value > 0x7F:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def dict_of(message: bytes) -> dict[int, list[bytes]]:
    """The length-delimited fields of a message, by their number."""
    fields: dict[int, list[bytes]] = {}
    rest = iter(message)
    for first in rest:
        key = number(first, rest)
        if key & 7 == 0:
            number(next(rest), rest)
            continue
        assert key & 7 == 2, f"wire type {key & 7}"
        length = number(next(rest), rest)
        fields.setdefault(key >> 3, []).append(bytes(next(rest) for _ in range(length)))
    return fields


def number(first: int, rest: Iterator[int]) -> int:
    value, shift = first & 0x7F, 7
    while first & 0x80:
        first = next(rest)
        value |= (first & 0x7F) << shift
        shift += 7
    return value


if __name__ == "__main__":
    main()
