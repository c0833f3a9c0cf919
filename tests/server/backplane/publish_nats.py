"""Publishes a text to NATS, without a library: publish_nats.py PORT SUBJECT TEXT"""
import socket
import sys

port, subject, text = sys.argv[1], sys.argv[2].encode(), sys.argv[3].encode()
with socket.create_connection(("127.0.0.1", int(port))) as nats:
    lines = nats.makefile("rb")
    lines.readline()  # what the server says of itself
    nats.sendall(b'CONNECT {"verbose":false}\r\nPUB %s %d\r\n%s\r\nPING\r\n'
                 % (subject, len(text), text))
    print(lines.readline().decode().strip())
