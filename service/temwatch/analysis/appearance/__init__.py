"""How particles look in the picture: what is kept of it, and what that says of each of them."""
