"""Calls `chancery.test.Backend/Name` at the given target, ten times a second, until it is killed. A line per call:
`ok NAME`, or `error CODE MESSAGE`."""

import sys
import time

import grpc


def main() -> None:
    print(f"version grpcio {grpc.__version__}", flush=True)
    channel = grpc.insecure_channel(sys.argv[1])
    # google.protobuf.Empty in, google.protobuf.StringValue out.
    call = channel.unary_unary("/chancery.test.Backend/Name")
    while True:
        try:
            print("ok", call(b"", timeout=10, wait_for_ready=False)[2:].decode(), flush=True)
        except grpc.RpcError as error:
            print("error", error.code().name, " ".join(error.details().split()), flush=True)
        time.sleep(0.1)


if __name__ == "__main__":
    main()
