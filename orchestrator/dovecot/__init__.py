"""All that knows Dovecot: commands and their meaning, the wire format, the HTTP client."""
