"""Networks that find people's faces, bodies and their key points."""
