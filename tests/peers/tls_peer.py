"""A TLS peer on Python's ssl: many servers at once, or one client through a proxy.

    tls_peer.py serve '[{"cert": …, "key": …, "max": "1.2", "ciphers": …, "alpn": […], "clientCa": …}]'
    tls_peer.py connect '{"proxy": "host:port", "target": "host:port", "ca": …, "crl": …, "max": …, "ciphers": …}'
"""
import json, socket, ssl, sys, threading, warnings

warnings.simplefilter("ignore")
VERSIONS = {"1.0": ssl.TLSVersion.TLSv1, "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def restrict(context, options):
    if "max" in options:
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = VERSIONS[options["max"]]
    if "ciphers" in options:
        context.set_ciphers(options["ciphers"])
    if "alpn" in options:
        context.set_alpn_protocols(options["alpn"])


def answer(context, plain):
    try:
        with context.wrap_socket(plain, server_side=True) as connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    except OSError:
        pass


def serve(options):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options["cert"], options["key"])
    restrict(context, options)
    if "clientCa" in options:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(options["clientCa"])
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=answer, args=(context, plain), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def connect(options):
    context = ssl.create_default_context(cafile=options.get("ca"))
    if "crl" in options:
        context.load_verify_locations(options["crl"])
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    restrict(context, options)
    host, port = options["proxy"].rsplit(":", 1)
    plain = socket.create_connection((host, int(port)))
    plain.sendall(f"CONNECT {options['target']} HTTP/1.1\r\nHost: {options['target']}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += plain.recv(1)
    name = options["target"].rsplit(":", 1)[0]
    with context.wrap_socket(plain, server_hostname=name) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        print(connection.version(), connection.recv(15))


role, given = sys.argv[1], json.loads(sys.argv[2])
if role == "serve":
    print("listening", *[serve(options) for options in given], flush=True)
    threading.Event().wait()
else:
    try:
        connect(given)
    except OSError as error:
        sys.exit(str(error))
