"""Publishes a text to Redis, without a library: publish_redis.py PORT CHANNEL TEXT"""
import socket
import sys

port, *words = sys.argv[1:]
words = [word.encode() for word in ["PUBLISH", *words]]
command = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
with socket.create_connection(("127.0.0.1", int(port))) as redis:
    redis.sendall(command)
    print("servers:", redis.recv(100)[1:].decode().strip())
