"""TLS: how a host's certificate is checked, and what is to be done when there is no connection. Pure but for files."""

from __future__ import annotations

import ssl

from orchestrator.dovecot.endpoint import Tls
from orchestrator.dovecot.exchange import NotSent, Obstacle
from orchestrator.errors import InputError

_NAME_IT = "name the CA in tls: {ca_file: ...}"
_OTHER_NAME = (
    "it holds for other names (its subjectAltName counts, not its CN): say tls: {server_name: NAME} with one of them"
)
_NOT_OURS = (
    "the host does not accept the certificate in tls: {cert_file: ...}: it must be one of a CA that the host trusts"
)
_WANTS_ONE = "the host wants a client certificate: give tls: {cert_file: ..., key_file: ...}"
_TOO_OLD = "the host speaks no TLS 1.2 or newer: set ssl_min_protocol there"
_NO_TLS = "the port speaks no TLS: say scheme: http if it is the plain API, or give the TLS port"
_TOO_WEAK = "its key or signature is too weak for the OpenSSL of this machine: give the host a new certificate"

_CERTIFICATES = {  # OpenSSL's codes of X509_verify_cert
    9: "compare the clocks of both machines, or wait until it is valid",
    10: "renew the host's certificate; if it is new, compare the clocks of both machines",
    18: f"{_NAME_IT}, or the certificate itself",
    19: _NAME_IT,
    20: f"{_NAME_IT}; a host with an intermediate CA must send its certificate too",
    21: f"{_NAME_IT}; a host with an intermediate CA must send its certificate too",
    23: "renew the host's certificate: it was revoked",
    62: _OTHER_NAME,
    64: _OTHER_NAME,
    66: _TOO_WEAK,
    67: _TOO_WEAK,
    68: _TOO_WEAK,
}
_HANDSHAKES = {  # OpenSSL's reasons
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _TOO_OLD,
    "TLSV1_ALERT_PROTOCOL_VERSION": _TOO_OLD,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": f"{_WANTS_ONE}; or it has no cipher in common with this machine",
    "DH_KEY_TOO_SMALL": _TOO_WEAK,
    "EE_KEY_TOO_SMALL": _TOO_WEAK,
    "TLSV1_UNRECOGNIZED_NAME": "the host has no certificate for this name: correct tls: {server_name: ...}",
    "TLSV1_ALERT_UNRECOGNIZED_NAME": "the host has no certificate for this name: correct tls: {server_name: ...}",
    "UNEXPECTED_EOF_WHILE_READING": "the host closed the connection: does this port speak TLS?",
}
_REFUSALS = {  # alerts with which a host ends a handshake that this side may take for ended (TLS 1.3): it has read no request
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _WANTS_ONE,
    "TLSV1_ALERT_UNKNOWN_CA": _NOT_OURS,
    "SSLV3_ALERT_BAD_CERTIFICATE": _NOT_OURS,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _NOT_OURS,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": _NOT_OURS,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _NOT_OURS,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _NOT_OURS,
    "TLSV1_ALERT_ACCESS_DENIED": _NOT_OURS,
}


def context(tls: Tls) -> ssl.SSLContext:
    """How connections to hosts with these settings are made.

    Raises:
        InputError: a CA or client certificate file cannot be read, or the server's name cannot be one.
    """
    try:
        made = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file:
            made.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        raise InputError.at(
            f"cannot load the TLS files {tls.ca_file or ''} {tls.cert_file or ''}: {error}", "tls"
        ) from None
    # Python 3.13 checks strictly by RFC 5280, which the CA that `openssl req -x509` makes does not pass: it has no key usage.
    # On every Python it is as with curl: not strict, and a CA in ca_file that is no root is enough.
    made.verify_flags = (made.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN) & ~ssl.VERIFY_X509_STRICT
    if not tls.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    try:
        made.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=tls.server_name)
    except (ValueError, TypeError):
        raise InputError.at(f"{tls.server_name!r} is not a name that a certificate can have", "tls") from None
    return made


def no_connection(error: Exception) -> NotSent:
    """What a failed handshake means; nothing of a request was sent."""
    if isinstance(error, ssl.CertificateError):
        told = getattr(error, "verify_message", "") or str(error)
        remedy = _CERTIFICATES.get(getattr(error, "verify_code", 0), "")
        return NotSent(
            f"the server's certificate is not accepted: {told.rstrip('.')}",
            obstacle=Obstacle.CERTIFICATE,
            remedy=remedy,
        )
    reason = _reason(error)
    remedy = _HANDSHAKES.get(reason) or _REFUSALS.get(reason) or "compare ssl settings there and tls here"
    words = reason.replace("_", " ").lower() or str(error) or type(error).__name__
    return NotSent(f"TLS handshake failed: {words}", obstacle=Obstacle.TLS, remedy=remedy)


def refused(error: BaseException | None) -> NotSent | None:
    """What it means that a connection broke, if the host refused the handshake with it after all; else None."""
    return no_connection(error) if isinstance(error, ssl.SSLError) and _reason(error) in _REFUSALS else None


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or (
        "UNEXPECTED_EOF_WHILE_READING" if isinstance(error, ssl.SSLEOFError) else ""
    )
