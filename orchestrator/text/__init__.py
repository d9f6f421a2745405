"""What people write: YAML, expressions, numbers and names as they are written."""
