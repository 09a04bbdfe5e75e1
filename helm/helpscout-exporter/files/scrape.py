"""Asks the Service whether the exporter is healthy and shows its metrics; `helm test` runs this.

Arguments: scheme, host, port, and the path of the metrics, which is empty where they are behind a
password. With the scheme tcp only the port is tried: all of it is behind a client certificate.
"""

import socket
import ssl
import sys
import time
import urllib.error
import urllib.request

SECONDS = 60


def look(scheme: str, host: str, port: str, path: str) -> str:
    """Return what is there; raise OSError if that is not as it should be."""
    if scheme == "tcp":
        socket.create_connection((host, int(port)), timeout=5).close()
        return f"{host}:{port} answers"
    # Whether it answers is the question, not who it is: Prometheus checks the certificate.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    base = f"{scheme}://{host}:{port}"
    opener.open(f"{base}/-/healthy", timeout=5).close()
    if not path:
        return f"{base} is healthy"
    with opener.open(f"{base}{path}", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    info = [line for line in lines if line.startswith("helpscout_exporter_build_info{")]
    if not info:
        raise OSError(f"{base}{path} shows no helpscout_exporter_build_info")
    return info[0]


def main() -> None:
    """Look until it is well, for a minute."""
    until = time.monotonic() + SECONDS
    while True:
        try:
            sys.stdout.write(look(*sys.argv[1:]) + "\n")
        except OSError as error:
            if time.monotonic() > until:
                sys.exit(str(error))
            time.sleep(1)
        else:
            return


if __name__ == "__main__":
    main()
