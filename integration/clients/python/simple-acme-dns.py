"""Gets a certificate with PyPI's simple_acme_dns by dns-01, and writes chain.pem and key.pem.

Usage: python simple-acme-dns.py DIRECTORY HOOK NAME... (in the folder for the files; REQUESTS_CA_BUNDLE has the
root, and the hook sets and removes TXT records as lego's does)
"""

import pathlib
import subprocess
import sys

import simple_acme_dns

directory, hook, *names = sys.argv[1:]

client = simple_acme_dns.ACMEClient(
    domains=names, email="admin@example.com", directory=directory, new_account=True
)
client.generate_private_key_and_csr(key_type="ec256")
records = [
    (name, value)
    for name, values in client.request_verification_tokens().items()
    for value in values
]
for name, value in records:
    subprocess.run([hook, "present", f"{name}.", value], check=True)
client.request_certificate()
for name, value in records:
    subprocess.run([hook, "cleanup", f"{name}.", value], check=True)
pathlib.Path("chain.pem").write_bytes(client.certificate)
pathlib.Path("key.pem").write_bytes(client.private_key)
